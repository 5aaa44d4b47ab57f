"""FFmpeg filters as an effect, for chains that mix them with our own effects."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, ClassVar, cast

from streamfx.frame import Frame, Memory, Step
from streamfx.media.filters.graph import (
    BUFFERING_FILTERS,
    TIME_FILTERS,
    Filter,
    FilterGraph,
    available_filters,
    graph_text,
)
from streamfx.media.gpu.nvidia import driver_of
from streamfx.media.gpu.surfaces import to_image, to_video_frame
from streamfx.media.probe import FULL, Coding

if TYPE_CHECKING:
    import av
    import torch
    from torch import Tensor

__all__ = ["BUFFERING_FILTERS", "TIME_FILTERS", "Filter", "FilterGraph", "Filters", "available_filters", "graph_text"]

log = logging.getLogger("streamfx")

_TICK = Fraction(1, 1_411_200_000)  # seconds, half a flick: exact for 1/90000, 1/1000, 1/15360, 1/12800 and NTSC rates
_FORMATS = ("gbrp16le", "gbrap16le")  # the second if frames have alpha or filters add it
_RGB = 0  # matrix coefficients of H.273


@dataclass(frozen=True, slots=True)
class Filters:
    """Consecutive FFmpeg filters. Their state is inside FFmpeg, so they restart after a resume."""

    nodes: tuple[Filter, ...]

    segment_length: ClassVar = 3000

    def __post_init__(self) -> None:
        FilterGraph(self.nodes, time_base=_TICK)  # raises errors early

    def __str__(self) -> str:
        return graph_text(self.nodes)

    def build(self, device: torch.device) -> Step:
        """A step that filters frames as 16-bit RGB; it lags by one frame, to know each frame's duration."""
        if driver_of(device):
            log.warning("FFmpeg filter %s runs on the CPU: frames are copied from %s to the CPU and back", self, device)
        running: dict[int, _Running] = {}  # by the graph number in the memory
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
    """A running filter graph, and the cuts of the frames inside it."""

    def __init__(self, nodes: tuple[Filter, ...], duration: Fraction) -> None:
        self.rate = (1 / duration).limit_denominator(100_000) if duration else None
        self.graph = FilterGraph(nodes, time_base=_TICK, rate=self.rate, pix_fmts=_FORMATS)
        self.retimes = any(node.name in TIME_FILTERS for node in nodes)  # output times do not match input times
        self.cuts: deque[Fraction] = deque()  # times of cuts still inside the graph
        self.pushed = self.pulled = 0  # shot numbers

    def push(self, frame: Frame | None, device: torch.device) -> Iterator[Frame]:
        """Yields the frames that are ready; a `duration` of 0 is unknown."""
        for video_frame in self.graph.push(None if frame is None else self._to_video_frame(frame)):
            image, alpha = to_image(video_frame, device)
            opaque = video_frame.opaque or (None, Fraction(0), None)
            pts, duration, shot = cast("tuple[Fraction, Fraction, int]", opaque)
            same_timing = self.graph.time_base == _TICK and self.graph.rate == self.rate and not self.retimes
            if pts is None or not same_timing or round(pts / _TICK) != video_frame.pts:
                pts, duration = (video_frame.pts or 0) * self.graph.time_base, Fraction(0)
                if self.graph.rate and not self.retimes:
                    duration = 1 / self.graph.rate
            yield Frame(image, pts, duration, self._starts_shot(pts, shot), alpha)

    def _to_video_frame(self, frame: Frame) -> av.VideoFrame:
        """The frame as 16-bit planes, which carry its exact time, duration and shot through the filters."""
        coding = Coding(_FORMATS[frame.alpha is not None], FULL, _RGB)
        video_frame = to_video_frame(frame.image, frame.alpha, coding)
        video_frame.pts, video_frame.time_base = round(frame.pts / _TICK), _TICK
        video_frame.duration = round(frame.duration / _TICK)
        if frame.cut:
            self.cuts.append(frame.pts)
            self.pushed += 1
        video_frame.opaque = (frame.pts, frame.duration, self.pushed)
        return video_frame

    def _starts_shot(self, pts: Fraction, shot: int | None) -> bool:
        """Whether an output frame starts a new shot."""
        if self.retimes:
            previous, self.pulled = self.pulled, self.pulled if shot is None else shot
            return previous != self.pulled
        starts = False
        while self.cuts and self.cuts[0] <= pts:
            self.cuts.popleft()
            starts = True
        return starts


def _hold(frame: Frame, memory: Memory) -> None:
    memory.update(image=frame.image, pts=frame.pts, duration=frame.duration, cut=int(frame.cut))
    if frame.alpha is not None:
        memory["alpha"] = frame.alpha


def _release(until: Fraction | None, memory: Memory) -> Iterator[Frame]:
    """Yields the frame in memory, shown `until` the next one; the last frame uses its own or the previous duration."""
    if "image" not in memory:
        return
    pts, duration = cast(Fraction, memory["pts"]), cast(Fraction, memory["duration"])
    if until is not None and until > pts:
        duration = until - pts
    memory["last"] = duration = duration or cast(Fraction, memory.get("last", Fraction(1, 25)))
    image, alpha = cast("Tensor", memory.pop("image")), cast("Tensor | None", memory.pop("alpha", None))
    yield Frame(image, pts, duration, bool(memory["cut"]), alpha)
