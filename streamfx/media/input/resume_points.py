"""Resume points: positions in a source at which an interrupted run can resume, with a digest of the next frame."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from av import VideoFrame
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import Filter

# FFmpeg filters whose output depends on the current frame only; greyedge is missing because it is not deterministic
_NAMES = """
    alphaextract avgblur bilateral cas chromahold chromakey chromashift colorbalance colorchannelmixer colorcontrast
    colorcorrect colorhold colorize colorkey colorlevels colorspace colortemperature convolution copy crop curves
    deflate despill dilation drawbox drawgrid edgedetect erosion exposure fieldorder fillborders format gblur gradfun
    hflip hue huesaturation il inflate kirsch lenscorrection limiter lut lut3d lutrgb lutyuv median
    monochrome negate noformat null pad pixelize prewitt pseudocolor rgbashift roberts rotate scale scharr
    selectivecolor setdar setparams setrange setsar shear shuffleplanes sobel swaprect swapuv tonemap transpose
    unsharp v360 vflip vibrance xbr yaepblur
"""
STATELESS = frozenset(_NAMES.split())
# in expressions: frame counters, random numbers and stored values, which depend on earlier frames
_STATEFUL_TERMS = re.compile(r"(?<!\w)(?:n|N|in|on|random|randomi|st|ld)(?![\w=])")


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A position in a source before a frame. Field names are keys of the manifest."""

    number: int  # of the next frame, from 0
    time: Fraction  # start of that frame, in seconds
    digest: str  # SHA-256 of that frame as decoded
    cuts: str  # state of the CutDetector after the frames before
    damaged_at: Fraction | None  # seconds from the start of the source at which earlier data was damaged


def stateful_filter(filters: Sequence[Filter]) -> str | None:
    """Return the name of the first filter whose output may depend on earlier frames; None if there is none."""
    for node in filters:
        if node.name not in STATELESS or _STATEFUL_TERMS.search(node.options):
            return node.name
    return None


def digest(frame: VideoFrame) -> str:
    """Return the SHA-256 of the samples of a frame in host memory."""
    context = CodecContext.create("rawvideo", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
    context.time_base = frame.time_base or Fraction(1, 1000)
    sha256 = hashlib.sha256()
    for packet in context.encode(frame):
        sha256.update(memoryview(packet))
    return sha256.hexdigest()


def pts_of(frame: VideoFrame) -> Fraction:
    """Return the start of a frame in seconds."""
    return (frame.pts or 0) * (frame.time_base or Fraction(0))


def find_by_time(frames: Iterator[VideoFrame], point: ResumePoint) -> VideoFrame | None:
    """Return the frame of a resume point by its time, from frames that start before it; None if it has changed."""
    for frame in frames:
        time = pts_of(frame)
        if time >= point.time:
            return frame if time == point.time and digest(frame) == point.digest else None
    return None


def find_by_index(name: str, frames: Iterator[VideoFrame], point: ResumePoint) -> VideoFrame:
    """Return the frame of a resume point by its number, from all frames. Raises StreamfxError if its digest differs."""
    for number, frame in enumerate(frames):
        if number == point.number:
            if digest(frame) == point.digest:
                return frame
            break
    raise StreamfxError(
        f"frame {point.number} of '{name}' has changed since the run was interrupted; start over with -y"
    )
