"""The trails effect."""

from fractions import Fraction

import pytest
import torch

from streamfx.effects.trails import Trails
from streamfx.errors import StreamfxError
from streamfx.frame import Frame

CPU = torch.device("cpu")


def trailed(decay, values, cuts=()):
    step, memory = Trails(decay).build(CPU), {}
    frames = [Frame(torch.full((3, 2, 2), v), Fraction(i), Fraction(1), i in cuts) for i, v in enumerate(values)]
    return [out.image.mean().item() for frame in frames for out in step(frame, memory)]


def test_a_flash_fades_by_the_decay():
    assert trailed(0.5, [0.0, 1.0, 0.0, 0.0]) == [0.0, 0.5, 0.25, 0.125]


def test_extreme_decays():
    assert trailed(0, [0.0, 1.0, 0.25]) == [0.0, 1.0, 0.25]
    assert trailed(1, [0.25, 1.0, 0.0]) == [0.25, 0.25, 0.25]


def test_a_cut_resets_the_trails():
    assert trailed(0.5, [1.0, 0.0, 1.0], cuts=[1]) == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan"), True, "0.5"])
def test_invalid_decays_are_errors(decay):
    with pytest.raises(StreamfxError, match=r"trails: decay is .*, but must be a number from 0 to 1"):
        Trails(decay)
