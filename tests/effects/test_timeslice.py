"""The timeslice effect."""

from fractions import Fraction

import pytest
import torch

from streamfx.chain import build_chain
from streamfx.effects.timeslice import Timeslice
from streamfx.errors import StreamfxError
from streamfx.frame import Frame

CPU = torch.device("cpu")


def frames(count, height=4, width=8, cuts=(), alpha=False):
    """Frame i is i/64 everywhere, which 16-bit floats hold exactly."""
    for i in range(count):
        image = torch.full((3, height, width), i / 64)
        yield Frame(image, Fraction(i), Fraction(1), i in cuts, image[:1].clone() if alpha else None)


def shown_frames(effect, count, **options):
    """The frame number that each column (or row) of the last output shows."""
    step, memory = effect.build(CPU), {}
    outputs = [output for frame in frames(count, **options) for output in step(frame, memory)]
    image = outputs[-1].image[0] * 64
    line = image[0] if effect.past in ("left", "right") else image[:, 0]
    return [round(value, 2) for value in line.tolist()]


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        ("right", [8.75, 8.25, 7.75, 7.25, 6.75, 6.25, 5.75, 5.25]),
        ("left", [5.25, 5.75, 6.25, 6.75, 7.25, 7.75, 8.25, 8.75]),
        ("bottom", [8.5, 7.5, 6.5, 5.5]),
        ("top", [5.5, 6.5, 7.5, 8.5]),
    ],
)
def test_slices_get_older_toward_the_past_side(past, expected):
    assert shown_frames(Timeslice(4, past), 10) == expected


def test_slices_before_the_first_frame_show_it():
    assert shown_frames(Timeslice(4), 2) == [0.75, 0.25, 0, 0, 0, 0, 0, 0]
    assert shown_frames(Timeslice(4), 1) == [0] * 8


def test_a_cut_resets_the_slices():
    assert shown_frames(Timeslice(4), 10, cuts=[8]) == [8.75, 8.25, 8, 8, 8, 8, 8, 8]


def test_more_slices_than_columns():
    assert shown_frames(Timeslice(1000), 20) == [18.5, 17.5, 16.5, 15.5, 14.5, 13.5, 12.5, 11.5]
    assert shown_frames(Timeslice(3), 20, width=1) == [18.5]


def test_alpha_is_sliced_too():
    step, memory = Timeslice(4).build(CPU), {}
    outputs = [output for frame in frames(10, alpha=True) for output in step(frame, memory)]
    assert torch.equal(outputs[-1].alpha, outputs[-1].image[:1])


def test_memory_is_limited_to_half_of_the_frames():
    step, memory = Timeslice(20).build(CPU), {}
    for frame in frames(100, height=10, width=200):
        list(step(frame, memory))
    size = sum(v.untyped_storage().nbytes() for v in memory.values() if isinstance(v, torch.Tensor))
    assert size <= (20 + 2) * (3 * 10 * 200 * 2) / 2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"frames": 1}, "whole number from 2 to 1000"), ({"frames": 2.5}, "whole"), ({"past": "up"}, "left, right, top")],
)
def test_invalid_settings_are_errors(settings, reason):
    with pytest.raises(StreamfxError, match=reason):
        Timeslice(**settings)


@pytest.mark.parametrize("past", ["left", "right", "top", "bottom"])
def test_both_steps_give_the_same_images(past):
    effect, inputs = Timeslice(5, past), list(frames(12, alpha=True))
    outputs = []
    for step in (effect.build(CPU), effect.build_scheduled(CPU)):
        memory = {}
        outputs.append([output for frame in inputs for output in step(frame, memory)])
    for one, other in zip(*outputs, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.alpha, other.alpha)
    assert sum(isinstance(value, torch.Tensor) for value in memory.values()) == 5  # independent of the number of frames


def test_frames_can_follow_a_schedule():
    (effect,) = build_chain(r"timeslice=frames='0\:(2 + 0*t), 9\:(8 + 0*t)'")
    step, memory = effect.build(CPU), {}
    outputs = [float(64 * output.image[0, 0, -1]) for frame in frames(20) for output in step(frame, memory)]
    assert outputs[2] == pytest.approx(2 - 1.875)  # the last column at frames=2
    assert outputs[19] == pytest.approx(19 - 7.5)  # at frames=8
