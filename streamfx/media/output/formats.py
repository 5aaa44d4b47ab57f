"""Which container an output becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from streamfx.errors import StreamfxError, unknown
from streamfx.media.input.image_sequence import is_numbered


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of output: FFmpeg's muxer, its options, and what it is for."""

    muxer: str
    options: dict[str, str] = field(default_factory=dict)
    pipe: bool = True  # can be written without going back
    steady: bool = False  # knows only a constant frame rate
    lossless: bool = False  # pictures are handed on, not delivered: no quality is lost by default
    one_picture: bool = False
    gap: Fraction | None = None  # seconds that a picture lasts at least; players show shorter ones for longer

    @property
    def halves_chroma(self) -> bool:
        """Whether its encoders are at their best with 4:2:0, whose sides are even."""
        return self.muxer not in ("gif", "apng", "image2")


_FRAGMENTED = {"movflags": "frag_keyframe+delay_moov+default_base_moof"}
FORMATS = {  # what --format takes
    "mp4": Format("mp4", {"movflags": "faststart"}, pipe=False),
    "fmp4": Format("mp4", _FRAGMENTED),
    "mov": Format("mov", {"movflags": "faststart"}, pipe=False),
    "matroska": Format("matroska"),
    "webm": Format("webm"),
    "mpegts": Format("mpegts"),
    "avi": Format("avi", pipe=False, steady=True),
    "flv": Format("flv"),
    "nut": Format("nut", lossless=True),
    "yuv4mpegpipe": Format("yuv4mpegpipe", steady=True, lossless=True),
    "rawvideo": Format("rawvideo", steady=True, lossless=True),
    "gif": Format("gif", {"loop": "0"}, gap=Fraction(1, 50)),
    "apng": Format("apng", {"plays": "0"}, pipe=False),
}
ENDINGS = {
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
}


def format_of(target: str, asked: str | None) -> Format:
    """The format of an output path, '-' or URL, `asked` for by name or told by its ending."""
    if asked is not None:
        chosen = FORMATS.get({"mkv": "matroska", "ts": "mpegts", "y4m": "yuv4mpegpipe"}.get(asked, asked))
        if chosen is None:
            raise unknown("format", asked, FORMATS)
    elif target == "-":
        return FORMATS["nut"]
    elif "://" in target:
        chosen = FORMATS.get(SCHEMES.get(target.split("://")[0], ""))
    else:
        ending = Path(target).suffix.lower()
        if ending in STILL_ENCODERS:
            many = is_numbered(target)
            return Format("image2", {} if many else {"update": "1"}, one_picture=not many)
        chosen = FORMATS.get(ENDINGS.get(ending, ""))
    if chosen is None:
        known = " ".join(sorted([*ENDINGS, *STILL_ENCODERS]))
        raise StreamfxError(f"cannot tell the format of '{target}'; give --format, or one of these endings: {known}")
    if not chosen.pipe and (target == "-" or Path(target).is_fifo()):
        pipes = ", ".join(name for name, known in FORMATS.items() if known.pipe)
        hint = "use fmp4 (fragmented mp4)" if chosen.muxer in ("mp4", "mov") else "use nut"
        raise StreamfxError(f"{chosen.muxer} cannot be written to a pipe: {hint}; these can: {pipes}")
    return chosen
