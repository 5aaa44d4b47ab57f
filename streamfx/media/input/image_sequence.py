"""Numbered pictures as a film: 'frames/%05d.png', or a glob like 'TimeLapse/*.JPG' in natural order."""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av import VideoFrame

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import ffmpeg_messages
from streamfx.media.limits import check_said, check_size, decoder_options
from streamfx.media.side_data import upright

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream

IMAGE_ENDINGS = frozenset(
    [
        ".avif",
        ".bmp",
        ".dpx",
        ".exr",
        ".jp2",
        ".jpeg",
        ".jpg",
        ".jxl",
        ".pam",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".qoi",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
NUMBER = re.compile(r"%0?(\d*)d")


class Numbered:
    """Numbered pictures, opened: what `Container` is for a film. They come upright, and nothing lies beside them."""

    input = stream = length = None
    plain, constant = False, True

    def __init__(self, pattern: str, *, rate: Fraction, start: Fraction, end: Fraction | None) -> None:
        self.rate: Fraction | None = rate
        self.tick = 1 / rate  # seconds
        self._files = files_of(pattern)[round(start * rate) : None if end is None else round(end * rate)]
        self._begin = 0
        self.duration: Fraction | None = len(self._files) / rate
        self.offset = Fraction(0)
        self.broken: Fraction | None = None
        self.gathers = False
        self.packets: deque[Packet[Stream]] = deque()
        self.covers: dict[int, bytes] = {}

    def pictures(self) -> Generator[VideoFrame, None, None]:
        return decode_files(self._files, self.tick, self._begin)

    def go_to(self, moment: Fraction) -> bool:
        """Have `pictures()`, begun anew, start at `moment`, in seconds."""
        self._begin = round(moment / self.tick)
        return True

    def forget(self) -> None:
        """Nothing is remembered."""

    def drain(self) -> None:
        """There is nothing beside the pictures."""

    def read_until(self, moment: Fraction | None) -> None:
        """There is nothing beside the pictures."""

    def close(self) -> None:
        """No file stays open."""


def is_pattern(path: str) -> bool:
    """Whether a path stands for many pictures: it has a %d or a glob's wildcard in it, and is not a file itself."""
    if "://" in path or os.path.exists(path):
        return False
    return is_numbered(path) or (Path(path).suffix.lower() in IMAGE_ENDINGS and glob.has_magic(path))


def is_numbered(path: str) -> bool:
    """Whether a path has a %d or %05d for the number of each picture in it."""
    return bool(NUMBER.search(path)) and Path(path).suffix.lower() in IMAGE_ENDINGS


def files_of(pattern: str) -> list[Path]:
    """The files that a pattern stands for, in natural order ("img2" before "img10"); gaps in the numbering are fine."""
    if is_numbered(pattern):
        head, tail = NUMBER.split(pattern)[0], NUMBER.split(pattern)[-1]
        shape = re.compile(re.escape(head) + r"\d+" + re.escape(tail))
        names = [name for name in glob.glob(glob.escape(head) + "*" + glob.escape(tail)) if shape.fullmatch(name)]
    else:
        names = glob.glob(pattern)
    files = sorted((Path(name) for name in names if Path(name).is_file()), key=_natural)
    if not files:
        raise StreamfxError(f"no file matches '{pattern}'; give a pattern like 'frames/%05d.png' or 'frames/*.jpg'")
    return files


def decode_files(files: list[Path], tick: Fraction, begin: int = 0) -> Generator[VideoFrame, None, None]:
    """One picture a file from number `begin` on, each turned upright, pts counting from 0 in ticks of `tick` seconds.

    Raises StreamfxError that names a file which is no picture.
    """
    for number, file in enumerate(files[begin:], begin):
        picture, options = None, decoder_options()
        with (
            ffmpeg_messages() as messages,
            suppress(av.error.FFmpegError, IndexError),
            av.open(str(file), options=options) as container,
        ):
            stream = container.streams.video[0]
            check_size(str(file), stream.width, stream.height)
            stream.codec_context.options = options
            picture = next(container.decode(stream), None)
        if picture is None:
            check_said(str(file), [text for _, _, text in messages])
            raise StreamfxError(f"'{file}' is not a picture that FFmpeg can read; remove it or narrow the pattern")
        picture.pts, picture.duration, picture.time_base = number, 1, tick
        yield upright(picture)


def check_rate(rate: Fraction) -> Fraction:
    """A frame rate that a user gave, if it is one."""
    if not 0 < rate <= 1000:
        raise StreamfxError(f"frame rate {float(rate):g} is out of range; give one above 0 and up to 1000")
    return rate


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path)) if part]
