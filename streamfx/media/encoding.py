"""Requested output options, and the encoding chosen for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamfx.media.probe import Coding


@dataclass(frozen=True, slots=True)
class Output:
    """Options of an output; every one has a sensible default."""

    format: str | None = None  # one of FORMATS; None: by the extension, nut for stdout
    encoder: str | None = None  # FFmpeg's name; None: the best that the format supports
    crf: float | None = None  # constant rate factor, in the encoder's own scale
    options: dict[str, str] = field(default_factory=dict)  # passed to the encoder
    pix_fmt: str | None = None
    audio: bool = True
    overwrite: bool = False
    fast: bool = False  # faster encoding, larger files; explicit options win
    comment: str = ""  # written to the comment tag of the file


@dataclass(frozen=True, slots=True)
class Encoding:
    """The chosen encoder and the coding of its input frames."""

    encoder: str
    coding: Coding
    options: dict[str, str]
    pix_fmt: str  # of the encoder's input: that of `coding`, or pal8, to which a palette maps it
    device: str = ""  # the device in whose memory the frames are; "" is the CPU
