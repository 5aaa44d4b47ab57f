"""Time base and frame rate of an output, from its source and its frames."""

from __future__ import annotations

from fractions import Fraction
from math import lcm

from av import VideoFrame

from streamfx.frame import Frame
from streamfx.media.input.reader import Reader
from streamfx.media.probe import JITTER, plausible

MAX_TICKS_PER_SECOND = 1 << 30  # supported by all containers


def time_base(source: Reader | None, duration: Fraction) -> Fraction:
    """A time base in which the source's timestamps are exact, and `duration` too if an effect changed the rate."""
    base = source.info.time_base if source else Fraction(1, 90000)
    if duration and (duration / base).denominator != 1:
        finer = Fraction(1, lcm(base.denominator, duration.denominator))
        base = finer if finer.denominator <= MAX_TICKS_PER_SECOND else base
    return base


def changed_rate(source: Reader | None, frame: Frame, base: Fraction) -> Fraction | None:
    """Frames per second from the frame's duration if that differs from the source's rate; `base` is the time base."""
    if not frame.duration:
        return None
    if source is not None and source.rate and base == source.info.time_base:
        changed = abs(frame.duration * source.rate - 1) > JITTER if source.constant_frame_rate else False
        return plausible(1 / frame.duration) if changed else None
    return plausible(1 / frame.duration)


def rate_of(frame: VideoFrame) -> Fraction | None:
    """Frames per second from the frame's duration."""
    return plausible(1 / (frame.duration * frame.time_base)) if frame.duration and frame.time_base else None
