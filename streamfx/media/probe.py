"""What a source says about itself, and what this build of FFmpeg can do."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from fractions import Fraction

import av
import av.codec
import av.error
from av.video.format import VideoFormat

UNSPECIFIED = 2  # of matrix, primaries and transfer, as H.273 counts them
LIMITED, FULL = 1, 2  # colour ranges, as FFmpeg counts them


@dataclass(frozen=True, slots=True)
class Coding:
    """How samples code colour: FFmpeg's pixel format and the code points of ITU-T H.273."""

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
    """The picture stream of a source, read once when it is opened. Sizes are those of the upright picture."""

    height: int
    width: int
    rate: Fraction | None  # frames a second, average; None where the source does not say
    time_base: Fraction  # seconds a tick
    duration: Fraction | None  # seconds; None where the source does not say (pipes, cameras)
    coding: Coding
    sample_aspect_ratio: Fraction  # width of a pixel over its height
    interlaced: bool
    mastering: bytes | None = None  # AVMasteringDisplayMetadata of HDR10, as FFmpeg lays it out
    light_level: bytes | None = None  # AVContentLightMetadata of HDR10

    @property
    def frames(self) -> int | None:
        """How many frames to expect; None where the source does not say."""
        if self.duration is None or self.rate is None:
            return None
        return max(1, round(self.duration * self.rate))


def depth(pix_fmt: str) -> int:
    """Bits per component of a pixel format."""
    components = VideoFormat(pix_fmt).components
    return max((component.bits for component in components), default=8)


def has_alpha(pix_fmt: str) -> bool:
    """Whether a pixel format can say how transparent a pixel is."""
    fmt = VideoFormat(pix_fmt)
    return fmt.has_palette or any(component.is_alpha for component in fmt.components)


def encoders(kind: str = "video") -> frozenset[str]:
    """Names of the encoders of this build: kind is "video", "audio" or "subtitle"."""
    return _codecs(kind, "w")


def decoders(kind: str = "video") -> frozenset[str]:
    """Names of the decoders of this build: kind is "video", "audio" or "subtitle"."""
    return _codecs(kind, "r")


def _codecs(kind: str, mode: str) -> frozenset[str]:
    found = set()
    for name in av.codec.codecs_available:
        try:
            codec = av.codec.Codec(name, "w" if mode == "w" else "r")
        except ValueError:  # this build has it the other way round only
            continue
        if codec.type == kind:
            found.add(name)
    return frozenset(found)


def versions() -> dict[str, str]:
    """Versions of PyAV, FFmpeg and FFmpeg's libraries."""
    libraries = {name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())}
    return {"python": platform.python_version(), "av": av.__version__, "ffmpeg": av.ffmpeg_version_info} | libraries
