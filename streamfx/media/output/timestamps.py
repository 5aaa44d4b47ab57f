"""The ticks that a film's times are counted in, and its rate, by its source and its frames."""

from __future__ import annotations

from fractions import Fraction
from math import lcm

from av import VideoFrame

from streamfx.frame import Frame
from streamfx.media.input.reader import Reader

LONGEST_BASE = 1 << 30  # ticks a second that every container can count
JITTER = Fraction(1, 10)  # share of a frame by which containers that round times may move it, in a film or a mask


def time_base(source: Reader | None, duration: Fraction) -> Fraction:
    """Ticks that hold the source's times exactly, and frames of `duration` too where an effect changed the rate."""
    base = source.info.time_base if source else Fraction(1, 90000)
    if duration and (duration / base).denominator != 1:
        finer = Fraction(1, lcm(base.denominator, duration.denominator))
        base = finer if finer.denominator <= LONGEST_BASE else base
    return base


def changed_rate(source: Reader | None, frame: Frame, base: Fraction) -> Fraction | None:
    """Frames a second by the frame's duration, where that tells of another rate than the source's; ticks of `base`."""
    if not frame.duration:
        return None
    if source is not None and source.rate and base == source.info.time_base:
        told = abs(frame.duration * source.rate - 1) > JITTER if source.constant else False
        return 1 / frame.duration if told else None
    return 1 / frame.duration


def rate_of(picture: VideoFrame) -> Fraction | None:
    """Frames a second by the picture's own duration."""
    return 1 / (picture.duration * picture.time_base) if picture.duration and picture.time_base else None
