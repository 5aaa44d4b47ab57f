"""One fast pass over a source without effects: its frames, its cuts, and points from which to read parts of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from streamfx.media.filters.graph import Filter
from streamfx.media.input.reader import Reader
from streamfx.media.input.resume_points import ResumePoint, digest, pts_of


@dataclass(frozen=True, slots=True)
class ScanPoint:
    """A frame at which reading can start."""

    at: ResumePoint
    previous: Fraction | None  # start of the frame before, in seconds; None for the first frame
    cut: bool  # whether the frame starts a new shot


@dataclass(frozen=True, slots=True)
class Scan:
    """All frames of a source, after its leading filters."""

    frames: int
    duration: Fraction  # of the first frame, in seconds; 0 if unknown
    points: Sequence[ScanPoint]  # by number: the first frame, each `interval`-th one, and each cut


def scan_source(
    reader: Reader,
    filters: Sequence[Filter],
    interval: int,
    *,
    cuts: bool = True,
    progress: Callable[[Fraction], None] | None = None,
) -> Scan:
    """Decode the newly opened `reader` through FFmpeg `filters` to its end, with a point at each `interval`-th frame.

    `cuts` is whether to find cuts. `progress` is called with the end of each frame, in seconds.
    """
    points: list[ScanPoint] = []
    previous: Fraction | None = None
    duration, count = Fraction(0), 0
    for number, frame in enumerate(reader.video_frames(filters)):
        time = pts_of(frame)
        if number == 1 and previous is not None and time > previous:
            duration = time - previous
        elif number == 0:
            duration = frame.duration * (frame.time_base or Fraction(0))
        before = reader.cuts.copy()
        cut = cuts and reader.cuts.is_cut(frame)
        if cut or number % interval == 0:
            point = ResumePoint(number, time, digest(frame), before.state(), reader.damaged_at)
            points.append(ScanPoint(point, previous, cut))
        previous, count = time, number + 1
        if progress:
            progress(time + frame.duration * (frame.time_base or Fraction(0)))
    return Scan(count, duration, points)
