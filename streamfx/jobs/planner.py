"""Splits a job into pieces, which can be rendered in any order and on different machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from streamfx.effects.defaults import warm_up
from streamfx.frame import Effect
from streamfx.media.filters.effect import Filters
from streamfx.media.input.resume_points import ResumePoint
from streamfx.media.input.scan import Scan, ScanPoint

GRID = 10  # frames between the points at which pieces and warm-ups may begin, besides cuts


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a video, rendered by one task into one segment."""

    number: int  # from 0
    first: int  # number of its first input frame, after the filters in front
    stop: int  # number of the frame after its last one
    start: ResumePoint  # from which to read; the frames before `first` only warm up the effects
    begin: Fraction  # start of the first frame, in seconds
    previous: Fraction | None  # start of the frame before, in seconds; None for the first frame of the video

    @property
    def frames(self) -> int:
        """Frames of the video in this piece."""
        return self.stop - self.first


def warm_up_of(chain: Sequence[Effect]) -> float | None:
    """Frames that the effects of a chain need before a piece; None if one of them cannot be split.

    The memory of each effect depends on the frames from the one before, so the warm-ups add up. FFmpeg filters need
    none: those in front run from the start of the source, and others must be stateless.
    """
    known = [warm_up(effect) for effect in chain if not isinstance(effect, Filters)]
    return None if None in known else sum(value for value in known if value is not None)


def plan_pieces(scan: Scan, frames: float, length: int) -> list[Piece]:
    """Pieces of about `length` frames, each with a warm-up of `frames`, but not across a cut.

    With frames = math.inf, pieces begin at cuts only, so a long shot is one piece.
    """
    points = {point.at.number: point for point in scan.points}
    bounds = [0, *_boundaries(scan, frames, length), scan.frames]
    return [
        Piece(
            number,
            first,
            stop,
            _start(scan.points, points[first], frames).at,
            points[first].at.time,
            points[first].previous,
        )
        for number, (first, stop) in enumerate(pairwise(bounds))
    ]


def _boundaries(scan: Scan, frames: float, length: int) -> list[int]:
    """The numbers of the frames at which a piece begins, without 0.

    A cut is taken once a piece has half its length, because it needs no warm-up; another point at the full length.
    The last piece is not shorter than half.
    """
    bounds: list[int] = []
    last = 0
    for point in scan.points:
        number = point.at.number
        done, left = number - last, scan.frames - number
        at_cut = point.cut and done >= length / 2
        in_shot = frames != math.inf and done >= length
        if number and (at_cut or in_shot) and left >= length / 2:
            bounds.append(number)
            last = number
    return bounds


def _start(points: Sequence[ScanPoint], first: ScanPoint, frames: float) -> ScanPoint:
    """The point from which to read, so that `frames` frames come before `first`, or all of its shot."""
    if not frames or first.cut:
        return first
    before = [point for point in points if point.at.number <= first.at.number]
    cut = next((point for point in reversed(before) if point.cut), before[0])
    enough = next((point for point in reversed(before) if first.at.number - point.at.number >= frames), before[0])
    return max(cut, enough, key=lambda point: point.at.number)
