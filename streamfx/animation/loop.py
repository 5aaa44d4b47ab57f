"""Seamless loops: crossfade the last frames of a video into frames generated before its first one."""

from __future__ import annotations

CROSSFADE = 1.5  # seconds


def crossfade_frames(fps: float, count: int) -> int:
    """Length of the crossfade in frames, for a video of `count` frames: at most a third of it."""
    return min(max(1, round(CROSSFADE * fps)), max(1, count // 3))


def crossfade_weight(from_end: int, length: int) -> float:
    """Weight 0..1 of the frame before the start in the `from_end`-th last frame, counted from 1.

    Each frame is generated from the previous one and so keeps its share; the weights are chosen so that the total
    follows a smoothstep and reaches 1 in the last frame. 0 outside the last `length` frames.
    """
    if not 0 < from_end <= length:
        return 0.0
    previous, current = (_smoothstep(index / length) for index in (length - from_end, length - from_end + 1))
    return 1 - (1 - current) / (1 - previous)


def _smoothstep(x: float) -> float:
    return x * x * (3 - 2 * x)
