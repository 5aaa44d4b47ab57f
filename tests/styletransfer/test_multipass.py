"""Passes go to and fro over a shot, each from what the one before left."""

from fractions import Fraction

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.motion.flow import Motion
from streamfx.styletransfer.multipass import LONGEST, held, hold, paint_shot

SIZE = 16, 24


def stay(previous, current):
    return Motion(torch.zeros(2, *SIZE), torch.ones(1, *SIZE))


def test_every_other_pass_goes_backwards_from_what_was_painted():
    frames = [torch.full((3, *SIZE), number / 10) for number in range(3)]
    calls = []

    def repaint(seen, prior, own):
        told = [None if each is None else round(each.mean().item(), 3) for each in (prior and prior.warped, own)]
        calls.append((round(seen.mean().item() * 10), *told))
        return seen + 0.01 * len(calls)

    painted = paint_shot(frames, repaint, stay, 2)
    assert calls == [
        (0, None, None),
        (1, 0.01, None),
        (2, 0.12, None),
        (2, None, 0.23),
        (1, 0.24, 0.12),
        (0, 0.15, 0.01),
    ]
    assert [round(each.mean().item(), 3) for each in painted] == [0.06, 0.15, 0.24]


def test_held_frames_come_back_whole_and_are_not_too_many():
    memory = {}
    for number in range(LONGEST):
        hold(memory, Frame(torch.zeros(3, 1, 1), Fraction(number), Fraction(1), alpha=torch.ones(1, 1, 1)))
    frames = list(held(memory))
    assert [frame.pts for frame in frames] == list(range(LONGEST))
    assert all(frame.alpha is not None for frame in frames)
    with pytest.raises(StreamfxError, match="take one pass"):
        hold(memory, frames[0])
