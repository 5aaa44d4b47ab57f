"""Time bases and frame rates of outputs."""

from fractions import Fraction

import pytest
import torch
from av import VideoFrame

from streamfx.frame import Frame
from streamfx.media.output.timestamps import changed_rate, rate_of, time_base

BASE = Fraction(1, 90000)


@pytest.mark.parametrize(
    ("duration", "base"),
    [
        (Fraction(1, 25), BASE),
        (Fraction(1001, 30000), BASE),
        (Fraction(1, 7), Fraction(1, 630000)),
        (Fraction(1, 99991), BASE),  # an exact one would have too many ticks
    ],
)
def test_time_base(duration, base):
    assert time_base(None, duration) == base


@pytest.mark.parametrize(
    ("duration", "rate"),
    [(Fraction(1, 25), 25), (Fraction(0), None), (BASE, None)],
    ids=["25 a second", "unknown", "one tick"],
)
def test_rate_of_a_frame(duration, rate):
    assert changed_rate(None, Frame(torch.zeros(3, 1, 1), Fraction(0), duration), BASE) == rate
    frame = VideoFrame(16, 16, "gray")
    frame.time_base, frame.duration = BASE, round(duration / BASE)
    assert rate_of(frame) == rate
