"""Deinterlace a source that turns out to be interlaced after its first frame."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain

from av import VideoFrame

from streamfx.media.filters.graph import Filter, FilterGraph

log = logging.getLogger("streamfx")


def deinterlaced(name: str, frames: Iterable[VideoFrame], tick: Fraction) -> Iterator[VideoFrame]:
    """Yield the frames; from the first interlaced one on, those marked as interlaced pass through bwdif.

    `tick` is the frames' time base in seconds, `name` the source in messages. Frames on a GPU stay as they are.
    """
    graph: FilterGraph | None = None
    for frame in chain(frames, [None]):
        if graph is None:
            if frame is None:
                return
            if not frame.interlaced_frame or frame.format.name == "cuda":
                yield frame
                continue
            at = float((frame.pts or 0) * tick)
            log.warning("'%s' is interlaced from %.2f s on: deinterlaced with bwdif", name, at)
            filters = [Filter("bwdif", "mode=send_frame:deint=interlaced"), Filter("format", frame.format.name)]
            graph = FilterGraph(filters, time_base=tick)
        for filtered in graph.push(frame):
            filtered.time_base = graph.time_base
            yield filtered
