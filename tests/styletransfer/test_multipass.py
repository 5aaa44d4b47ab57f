"""Passes over a shot alternate in direction and refine the previous pass."""

from fractions import Fraction

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.motion.occlusion import Motion
from streamfx.styletransfer.multipass import MAX_FRAMES, store_frame, stored_frames, stylize_shot

SIZE = 16, 24


def no_motion(previous, current):
    return Motion(torch.zeros(2, *SIZE), torch.ones(1, *SIZE))


def test_passes_alternate_in_direction_and_refine_the_previous_pass():
    frames = [torch.full((3, *SIZE), number / 10) for number in range(3)]
    calls = []

    def stylize(frame, neighbor, result):
        inputs = (neighbor and neighbor.warped, result)
        means = [None if image is None else round(image.mean().item(), 3) for image in inputs]
        calls.append((round(frame.mean().item() * 10), *means))
        return frame + 0.01 * len(calls)

    results = stylize_shot(frames, stylize, no_motion, 2)
    assert calls == [
        (0, None, None),
        (1, 0.01, None),
        (2, 0.12, None),
        (2, None, 0.23),
        (1, 0.24, 0.12),
        (0, 0.15, 0.01),
    ]
    assert [round(result.mean().item(), 3) for result in results] == [0.06, 0.15, 0.24]


def test_frames_are_stored_up_to_a_limit():
    memory = {}
    for number in range(MAX_FRAMES):
        store_frame(memory, Frame(torch.zeros(3, 1, 1), Fraction(number), Fraction(1), alpha=torch.ones(1, 1, 1)))
    frames = list(stored_frames(memory))
    assert [frame.pts for frame in frames] == list(range(MAX_FRAMES))
    assert all(frame.alpha is not None for frame in frames)
    with pytest.raises(StreamfxError, match=r"more than 250 frames, .*; use one pass"):
        store_frame(memory, frames[0])
