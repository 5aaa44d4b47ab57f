"""Closed captions (ATSC A/53), which are side data of decoded frames, are kept while frames become tensors and back.

PyAV reads side data but cannot set it. So the side data of a decoded frame waits in a carrier, a tiny copy of the
frame, and the new pixels are painted into an enlarged carrier.
"""

from __future__ import annotations

import logging
from collections import deque
from fractions import Fraction

from av import VideoFrame
from av.sidedata.sidedata import Type as SideDataType

from streamfx.media.filters.graph import Filter, FilterGraph
from streamfx.media.input.side_data import DROP_ICC_PROFILE
from streamfx.media.pixel_formats import coding_of, copy_planes, tag

log = logging.getLogger("streamfx")

CODECS = frozenset(("h264", "hevc", "mpeg2video", "av1", "vvc"))  # whose frames may have captions
MAX_WAITING = 1000  # carriers, if an effect swallows frames
_SHRINK = (Filter("crop", "min(iw,16):min(ih,16):0:0:exact=1"), Filter("copy"), DROP_ICC_PROFILE)


class Captions:
    """The captions of the source `name`, on their way from a reader to a writer, which may be in another thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._added, self._checked = _Shrinker(), _Shrinker()  # one for each thread
        self._waiting: deque[tuple[Fraction, VideoFrame]] = deque(maxlen=MAX_WAITING)  # carriers with times in seconds
        self._lost = False

    def add(self, frame: VideoFrame, time: Fraction) -> None:
        """Note the captions of a decoded frame that is shown from `time` on, in seconds."""
        if not self._lost and (carrier := self._added.carrier(frame)) is not None:
            self._waiting.append((time, carrier))

    def take(self, time: Fraction) -> VideoFrame | None:
        """Remove the carriers up to `time` and return the last one; None if there are none."""
        carrier = None
        while self._waiting and self._waiting[0][0] <= time:
            _, carrier = self._waiting.popleft()
        return carrier

    def lose(self, cause: str) -> None:
        """Warn once that the captions are lost."""
        if not self._lost:
            log.warning("the closed captions of '%s' are lost: %s", self._name, cause)
        self._lost = True

    def lose_those_of(self, frame: VideoFrame, cause: str) -> None:
        """Warn once if a frame that is written without its captions has some."""
        if not self._lost and self._checked.carrier(frame) is not None:
            self.lose(cause)


class _Shrinker:
    """Makes carriers."""

    def __init__(self) -> None:
        self._graph: FilterGraph | None = None
        self._shape: tuple[int, int, str] | None = None

    def carrier(self, frame: VideoFrame) -> VideoFrame | None:
        """A tiny frame with the side data of `frame`; None if that has no captions."""
        shape = frame.height, frame.width, frame.format.name
        if self._graph is None or shape != self._shape:
            self._graph, self._shape = FilterGraph(_SHRINK, time_base=frame.time_base or Fraction(1)), shape
        carrier = next(self._graph.push(frame))
        return carrier if SideDataType.A53_CC in carrier.side_data else None


class CaptionPainter:
    """Puts the side data of carriers into frames."""

    def __init__(self) -> None:
        self._graph: FilterGraph | None = None
        self._shape: tuple[int, int, str, int, int, str] | None = None

    def with_captions(self, frame: VideoFrame, carrier: VideoFrame) -> VideoFrame:
        """A copy of `frame`, in the memory of the CPU, with the side data of `carrier`."""
        small = carrier.height, carrier.width, carrier.format.name
        shape = (*small, frame.height, frame.width, frame.format.name)
        if self._graph is None or shape != self._shape:
            enlarge = Filter("scale", f"{frame.width}:{frame.height}:flags=neighbor")
            filters = enlarge, Filter("format", frame.format.name)
            self._graph, self._shape = FilterGraph(filters, time_base=Fraction(1)), shape
        painted = next(self._graph.push(carrier))
        copy_planes(painted, frame.planes)
        painted.pts, painted.time_base, painted.duration = frame.pts, frame.time_base, frame.duration
        tag(painted, coding_of(frame))
        return painted
