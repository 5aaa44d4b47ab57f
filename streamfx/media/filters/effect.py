"""FFmpeg filters as an effect like any other, between two of ours."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, cast

from streamfx.frame import Frame, Memory, Step
from streamfx.media.filters.graph import (
    HOLDING_FILTERS,
    TIME_FILTERS,
    Filter,
    FilterGraph,
    available_filters,
    graph_text,
)
from streamfx.media.gpu.nvidia import driver_of
from streamfx.media.gpu.surfaces import to_image, to_picture
from streamfx.media.probe import FULL, Coding

if TYPE_CHECKING:
    import av
    import torch
    from torch import Tensor

__all__ = ["HOLDING_FILTERS", "TIME_FILTERS", "Filter", "FilterGraph", "Filters", "available_filters", "graph_text"]

log = logging.getLogger("streamfx")

_TICK = Fraction(1, 1_411_200_000)  # half a flick: exact for 1/90000, 1/1000, 1/15360, 1/12800 and the NTSC rates
_FORMATS = ("gbrp16le", "gbrap16le")  # with alpha where frames have it or filters make it
_RGB = 0  # the matrix of pictures that are RGB, in H.273


@dataclass(frozen=True, slots=True)
class Filters:
    """A run of FFmpeg filters. What they remember is FFmpeg's own: after a resume they begin anew."""

    nodes: tuple[Filter, ...]

    def __post_init__(self) -> None:
        FilterGraph(self.nodes, time_base=_TICK)  # for its errors

    def __str__(self) -> str:
        return graph_text(self.nodes)

    def build(self, device: torch.device) -> Step:
        """The step that hands frames to a graph as 16-bit RGB; it lags by one, to know how long each lasts."""
        if driver_of(device):
            log.warning("FFmpeg's %s works on the CPU: frames go from %s to the CPU and back for it", self, device)
        running: dict[int, _Running] = {}  # by the number that stands in each memory
        numbers = count(1)

        def step(frame: Frame | None, memory: Memory) -> Iterator[Frame]:
            number = cast(int, memory.get("graph", 0))
            if number not in running and frame is not None:
                number = memory["graph"] = next(numbers)
                running[number] = _Running(self.nodes, frame.duration)
            if number in running:
                for filtered in running[number].push(frame, device):
                    yield from _release(filtered.pts, memory)
                    _hold(filtered, memory)
            if frame is None:
                yield from _release(None, memory)
                running.pop(number, None)

        return step


class _Running:
    """A filter graph at work, and what is known of the frames inside it."""

    def __init__(self, nodes: tuple[Filter, ...], duration: Fraction) -> None:
        self.rate = (1 / duration).limit_denominator(100_000) if duration else None
        self.graph = FilterGraph(nodes, time_base=_TICK, rate=self.rate, pix_fmts=_FORMATS)
        self.moves = any(node.name in TIME_FILTERS for node in nodes)  # times that come out say nothing of those before
        self.cuts: deque[Fraction] = deque()  # times of cuts that went in and have not come out
        self.pushed = self.pulled = 0  # the number of the shot

    def push(self, frame: Frame | None, device: torch.device) -> Iterator[Frame]:
        """Frames that are ready; a `duration` of 0 means that it is not known."""
        for picture in self.graph.push(None if frame is None else self._picture(frame)):
            image, alpha = to_image(picture, device)
            pts, duration, shot = cast("tuple[Fraction, Fraction, int]", picture.opaque or (None, Fraction(0), None))
            kept = self.graph.time_base == _TICK and self.graph.rate == self.rate and not self.moves
            if pts is None or not kept or round(pts / _TICK) != picture.pts:
                pts, duration = (picture.pts or 0) * self.graph.time_base, Fraction(0)
                if self.graph.rate and not self.moves:
                    duration = 1 / self.graph.rate
            cut = self._passes_cut(pts, shot)
            yield Frame(image, pts, duration, cut, alpha)

    def _picture(self, frame: Frame) -> av.VideoFrame:
        """The frame as 16-bit planes, which carry its exact time, duration and shot through the filters."""
        coding = Coding(_FORMATS[frame.alpha is not None], FULL, _RGB)
        picture = to_picture(frame.image, frame.alpha, coding)
        picture.pts, picture.time_base = round(frame.pts / _TICK), _TICK
        picture.duration = round(frame.duration / _TICK)
        if frame.cut:
            self.cuts.append(frame.pts)
            self.pushed += 1
        picture.opaque = (frame.pts, frame.duration, self.pushed)
        return picture

    def _passes_cut(self, pts: Fraction, shot: int | None) -> bool:
        """Whether a frame that comes out begins another shot than the one before it."""
        if self.moves:
            before, self.pulled = self.pulled, self.pulled if shot is None else shot
            return before != self.pulled
        passed = False
        while self.cuts and self.cuts[0] <= pts:
            self.cuts.popleft()
            passed = True
        return passed


def _hold(frame: Frame, memory: Memory) -> None:
    memory.update(image=frame.image, pts=frame.pts, duration=frame.duration, cut=int(frame.cut))
    if frame.alpha is not None:
        memory["alpha"] = frame.alpha


def _release(until: Fraction | None, memory: Memory) -> Iterator[Frame]:
    """The frame in memory. It lasts until the next one; the last as long as it says, else as the one before."""
    if "image" not in memory:
        return
    pts, duration = cast(Fraction, memory["pts"]), cast(Fraction, memory["duration"])
    if until is not None and until > pts:
        duration = until - pts
    memory["last"] = duration = duration or cast(Fraction, memory.get("last", Fraction(1, 25)))
    image, alpha = cast("Tensor", memory.pop("image")), cast("Tensor | None", memory.pop("alpha", None))
    yield Frame(image, pts, duration, bool(memory["cut"]), alpha)
