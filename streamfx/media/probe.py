"""Metadata of a source, and the codecs of this build of FFmpeg."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
import av.codec
import av.error
from av.codec.codec import UnknownCodecError
from av.format import ContainerFormat, formats_available
from av.video.format import VideoFormat

UNSPECIFIED = 2  # code point of matrix, primaries and transfer in H.273
LIMITED, FULL = 1, 2  # color ranges, FFmpeg's AVColorRange
MAX_RATE = 1000  # frames per second; what FFmpeg reports above this are ticks, not frames
TAG_ERRORS = "surrogateescape"  # for PyAV: tags that are not UTF-8 keep their bytes
JITTER = Fraction(1, 10)  # largest rounding error of container timestamps, as a share of a frame


@dataclass(frozen=True, slots=True)
class Coding:
    """How samples encode color: FFmpeg's pixel format and the code points of ITU-T H.273."""

    pix_fmt: str
    range: int = 0  # 0 unspecified, 1 limited, 2 full
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def depth(self) -> int:
        """Bits per component."""
        return depth(self.pix_fmt)

    @property
    def has_alpha(self) -> bool:
        return has_alpha(self.pix_fmt)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Properties of a source's video stream, read when it is opened. Height and width are those after rotation."""

    height: int
    width: int
    rate: Fraction | None  # average frames per second; None if unknown
    time_base: Fraction  # seconds per tick
    duration: Fraction | None  # seconds; None if unknown (pipes, cameras)
    coding: Coding
    sample_aspect_ratio: Fraction  # width of a pixel / its height
    interlaced: bool
    mastering: bytes | None = None  # HDR10: FFmpeg's AVMasteringDisplayMetadata struct
    light_level: bytes | None = None  # HDR10: FFmpeg's AVContentLightMetadata struct
    captions: bool = False  # closed captions (ATSC A/53) in the first frame

    @property
    def frames(self) -> int | None:
        """Expected number of frames; None if unknown."""
        if self.duration is None or self.rate is None:
            return None
        return max(1, round(self.duration * self.rate))


def plausible(rate: Fraction | None) -> Fraction | None:
    """The frame rate if it can be one, else None. FFmpeg reports 60000 as the average rate of raw DV, for example."""
    return rate if rate and rate <= MAX_RATE else None


def depth(pix_fmt: str) -> int:
    """Bits per component of a pixel format."""
    components = VideoFormat(pix_fmt).components
    return max((component.bits for component in components), default=8)


def has_alpha(pix_fmt: str) -> bool:
    """Whether a pixel format has an alpha channel, or a palette, which may have one."""
    fmt = VideoFormat(pix_fmt)
    return fmt.has_palette or any(component.is_alpha for component in fmt.components)


def encoders(kind: str = "video") -> frozenset[str]:
    """Names of the encoders in this build of FFmpeg; kind is "video", "audio" or "subtitle"."""
    return _codecs(kind, "w")


def decoders(kind: str = "video") -> frozenset[str]:
    """Names of the decoders in this build of FFmpeg; kind is "video", "audio" or "subtitle"."""
    return _codecs(kind, "r")


def _codecs(kind: str, mode: str) -> frozenset[str]:
    names = set()
    for name in av.codec.codecs_available:
        try:
            codec = av.codec.Codec(name, "w" if mode == "w" else "r")
        except UnknownCodecError:  # the build has only the encoder, or only the decoder
            continue
        if codec.type == kind:
            names.add(name)
    return frozenset(names)


@cache
def demuxers() -> frozenset[str]:
    """Names of the input formats and devices in this build of FFmpeg."""
    names = {name for entry in formats_available for name in entry.split(",")}
    return frozenset(name for name in names if ContainerFormat(name).is_input)


def versions() -> dict[str, str]:
    """Versions of PyAV, FFmpeg and FFmpeg's libraries."""
    libraries = {name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())}
    return {"python": platform.python_version(), "av": av.__version__, "ffmpeg": av.ffmpeg_version_info} | libraries
