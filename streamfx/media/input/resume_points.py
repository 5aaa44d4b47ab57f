"""Places in a source that a run can go on from: which picture comes next there, and how it looked."""

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

# FFmpeg filters that make of a picture what they would make of it alone; greyedge does not each time that it is asked
_NAMES = """
    alphaextract avgblur bilateral cas chromahold chromakey chromashift colorbalance colorchannelmixer colorcontrast
    colorcorrect colorhold colorize colorkey colorlevels colorspace colortemperature convolution copy crop curves
    deflate despill dilation drawbox drawgrid edgedetect erosion exposure fieldorder fillborders format gblur gradfun
    hflip hue huesaturation il inflate kirsch lenscorrection limiter lut lut3d lutrgb lutyuv median
    monochrome negate noformat null pad pixelize prewitt pseudocolor rgbashift roberts rotate scale scharr
    selectivecolor setdar setparams setrange setsar shear shuffleplanes sobel swaprect swapuv tonemap transpose
    unsharp v360 vflip vibrance xbr yaepblur
"""
MEMORYLESS = frozenset(_NAMES.split())
# in expressions: the number of a picture, or what was computed for those before
_COUNTING = re.compile(r"(?<!\w)(?:n|N|in|on|random|randomi|st|ld)(?![\w=])")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a source stands: before the picture of a number."""

    number: int  # from 0
    moment: Fraction  # seconds at which that picture starts
    digest: str  # of that picture as it was decoded
    cuts: str  # what is remembered for finding cuts, behind the pictures before
    broken: Fraction | None  # seconds from the source's start, where it was damaged before


def what_remembers(filters: Sequence[Filter]) -> str | None:
    """The name of the first filter that may make something else of a picture because of those before it."""
    for node in filters:
        if node.name not in MEMORYLESS or _COUNTING.search(node.options):
            return node.name
    return None


def digest(picture: VideoFrame) -> str:
    """SHA-256 of a picture's samples; it lies on the host."""
    context = CodecContext.create("rawvideo", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = picture.width, picture.height, picture.format.name
    context.time_base = picture.time_base or Fraction(1, 1000)
    found = hashlib.sha256()
    for packet in context.encode(picture):
        found.update(memoryview(packet))
    return found.hexdigest()


def moment_of(picture: VideoFrame) -> Fraction:
    """Seconds at which a picture starts."""
    return (picture.pts or 0) * (picture.time_base or Fraction(0))


def found_in(pictures: Iterator[VideoFrame], mark: Mark) -> VideoFrame | None:
    """The picture of a mark, by its time and its looks, where reading began somewhere before it."""
    for picture in pictures:
        moment = moment_of(picture)
        if moment >= mark.moment:
            return picture if moment == mark.moment and digest(picture) == mark.digest else None
    return None


def counted_to(name: str, pictures: Iterator[VideoFrame], mark: Mark) -> VideoFrame:
    """The picture of a mark, where reading began with the first. Raises StreamfxError if it looks another way."""
    for number, picture in enumerate(pictures):
        if number == mark.number:
            if digest(picture) == mark.digest:
                return picture
            break
    raise StreamfxError(
        f"frame {mark.number} of '{name}' is not what it was when the run was stopped; begin anew with -y"
    )
