"""Output formats: FFmpeg muxers, and how a path, URL or name selects one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.errors import StreamfxError, unknown
from streamfx.media.input.image_sequence import is_numbered
from streamfx.media.standard_streams import descriptor_of

if TYPE_CHECKING:
    from av.container import OutputContainer


@dataclass(frozen=True, slots=True)
class Format:
    """An output format: FFmpeg's muxer, its options and its limits."""

    muxer: str
    options: dict[str, str] = field(default_factory=dict)
    pipe: bool = True  # can be written without seeking
    constant_rate: bool = False  # no variable frame rate
    lossless: bool = False  # for another program, not for playback: lossless by default
    single_frame: bool = False
    min_duration: Fraction | None = None  # seconds per frame; players slow down shorter ones
    encoder: str | None = None  # FFmpeg's name, if the format is tied to one
    pix_fmts: tuple[str, ...] = ()  # the pixel formats to choose from, deeper than most sources; empty: any
    extension: str | None = None  # of images, if the format is tied to one

    @property
    def prefers_even_sizes(self) -> bool:
        """Whether its default encoders use 4:2:0, which needs an even width and height."""
        return self.muxer not in ("gif", "apng", "image2")


_FRAGMENTED = {"movflags": "frag_keyframe+delay_moov+default_base_moof"}
FORMATS = {  # values of --format
    "mp4": Format("mp4", {"movflags": "faststart"}, pipe=False),
    "fmp4": Format("mp4", _FRAGMENTED),
    "mov": Format("mov", {"movflags": "faststart"}, pipe=False),
    "matroska": Format("matroska"),
    "webm": Format("webm"),
    "mpegts": Format("mpegts"),
    "avi": Format("avi", pipe=False, constant_rate=True),
    "flv": Format("flv"),
    "nut": Format("nut", lossless=True),
    "yuv4mpegpipe": Format("yuv4mpegpipe", constant_rate=True, lossless=True),
    "rawvideo": Format("rawvideo", constant_rate=True, lossless=True),
    "gif": Format("gif", {"loop": "0"}, min_duration=Fraction(1, 50)),
    "apng": Format("apng", {"plays": "0"}, pipe=False),
    "prores": Format(
        "mov", {"movflags": "faststart"}, False, encoder="prores_ks", pix_fmts=("yuv444p10le", "yuva444p10le")
    ),
    "exr": Format("image2", pipe=False, encoder="exr", pix_fmts=("gbrpf32le", "gbrapf32le"), extension=".exr"),
    "png16": Format("image2", pipe=False, encoder="png", pix_fmts=("rgb48be", "rgba64be"), extension=".png"),
}
EXTENSIONS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
    ".avi": "avi",
    ".flv": "flv",
    ".nut": "nut",
    ".y4m": "yuv4mpegpipe",
    ".yuv": "rawvideo",
    ".gif": "gif",
    ".apng": "apng",
}
SCHEMES = {"rtmp": "flv", "udp": "mpegts", "srt": "mpegts", "tcp": "mpegts", "rtp": "mpegts"}
WITHOUT_CODEC_LIST = frozenset(("mpegts", "yuv4mpegpipe", "rawvideo"))  # FFmpeg does not know what these muxers hold
STILL_ENCODERS = {
    ".png": "png",
    ".jpg": "mjpeg",
    ".jpeg": "mjpeg",
    ".webp": "libwebp",
    ".bmp": "bmp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".ppm": "ppm",
    ".pgm": "pgm",
    ".tga": "targa",
    ".exr": "exr",
}


def format_of(target: str, name: str | None) -> Format:
    """The format of an output path, '-' or URL: by `name`, or else by its extension or scheme."""
    if name is not None:
        chosen = FORMATS.get({"mkv": "matroska", "ts": "mpegts", "y4m": "yuv4mpegpipe"}.get(name, name))
        if chosen is None:
            raise unknown("format", name, FORMATS)
    elif target == "-":
        return FORMATS["nut"]
    elif "://" in target:
        chosen = FORMATS.get(SCHEMES.get(target.split("://")[0], ""))
    else:
        extension = Path(target).suffix.lower()
        if extension in STILL_ENCODERS:
            return _images(target, FORMATS.get(STILL_ENCODERS[extension], Format("image2")))
        chosen = FORMATS.get(EXTENSIONS.get(extension, ""))
    if chosen is None:
        known = " ".join(sorted([*EXTENSIONS, *STILL_ENCODERS]))
        raise StreamfxError(f"cannot tell the format of '{target}'; give --format, or one of these extensions: {known}")
    if not chosen.pipe and (descriptor_of(target) is not None or Path(target).is_fifo()):
        pipes = ", ".join(key for key, form in FORMATS.items() if form.pipe)
        hint = "use fmp4 (fragmented mp4)" if chosen.muxer in ("mp4", "mov") else "use nut"
        raise StreamfxError(f"{name or chosen.muxer} cannot be written to a pipe: {hint}; formats for pipes: {pipes}")
    return _images(target, chosen) if chosen.muxer == "image2" else chosen


def _images(target: str, form: Format) -> Format:
    """The format for one image, or for numbered ones if `target` is a pattern."""
    if form.extension and Path(target).suffix.lower() != form.extension:
        example = f"frames/%05d{form.extension}"
        raise StreamfxError(f"'{target}' does not end in {form.extension}; give '{example}', or another --format")
    numbered = is_numbered(target)
    return replace(form, options={} if numbered else {"update": "1"}, single_frame=not numbered)


def lists_codec(output: OutputContainer, name: str) -> bool:
    """Whether FFmpeg allows the encoder or decoder of this name in a container; True if it does not know."""
    return output.format.name in WITHOUT_CODEC_LIST or name in output.supported_codecs
