"""The mirror effect."""

from fractions import Fraction

import torch

from streamfx.effects.mirror import Mirror
from streamfx.frame import Frame

CPU = torch.device("cpu")
FRAME = Frame(torch.rand(3, 5, 7), Fraction(1), Fraction(1, 25), alpha=torch.rand(1, 5, 7))


def test_swaps_left_and_right():
    (out,) = Mirror().build(CPU)(FRAME, {})
    assert torch.equal(out.image[:, :, 0], FRAME.image[:, :, -1])
    assert torch.equal(out.image[:, 0, :], FRAME.image[:, 0, :].flip(-1))
    assert torch.equal(out.alpha[0, 2, 1], FRAME.alpha[0, 2, 5])


def test_twice_restores_the_original():
    step = Mirror().build(CPU)
    (once,) = step(FRAME, {})
    (twice,) = step(once, {})
    assert torch.equal(twice.image, FRAME.image)
    assert torch.equal(twice.alpha, FRAME.alpha)
