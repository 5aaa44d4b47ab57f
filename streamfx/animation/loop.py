"""Films that are shown in a loop: how the last frames run into what comes before the first."""

from __future__ import annotations

LOOP = 1.5  # seconds in which they do


def turning_frames(fps: float, count: int) -> int:
    """How many of the last frames of a film of `count` run into its beginning."""
    return min(max(1, round(LOOP * fps)), max(1, count // 3))


def pull(back: int, turning: int) -> float:
    """The share of what comes before the start in the frame that is the `back`-th from the end, counted from 1.

    A canvas that is fed back keeps what it was given, so that after all of these it has all of it, taken over
    smoothly. 0 for frames before the last `turning`.
    """
    if not 0 < back <= turning:
        return 0.0
    before, now = (_smooth(at / turning) for at in (turning - back, turning - back + 1))
    return 1 - (1 - now) / (1 - before)


def _smooth(x: float) -> float:
    return x * x * (3 - 2 * x)
