"""Numbered pictures as a film: 'frames/%05d.png', or a glob like 'TimeLapse/*.JPG' in natural order."""

from __future__ import annotations

import glob
import re
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av import VideoFrame

from streamfx.errors import StreamfxError

IMAGE_ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".tga", ".jxl"))
_NUMBER = re.compile(r"%0?(\d*)d")


def is_pattern(path: str) -> bool:
    """Whether a path stands for many pictures: it has a %d or a glob's wildcard in it, and is not a file itself."""
    if "://" in path or Path(path).exists():
        return False
    return bool(_NUMBER.search(path)) or (Path(path).suffix.lower() in IMAGE_ENDINGS and glob.has_magic(path))


def files_of(pattern: str) -> list[Path]:
    """The files that a pattern stands for, in natural order ("img2" before "img10"); gaps in the numbering are fine."""
    if _NUMBER.search(pattern):
        head, tail = _NUMBER.split(pattern)[0], _NUMBER.split(pattern)[-1]
        shape = re.compile(re.escape(head) + r"\d+" + re.escape(tail))
        names = [name for name in glob.glob(glob.escape(head) + "*" + glob.escape(tail)) if shape.fullmatch(name)]
    else:
        names = glob.glob(pattern)
    files = sorted((Path(name) for name in names if Path(name).is_file()), key=_natural)
    if not files:
        raise StreamfxError(f"no file matches '{pattern}'; give a pattern like 'frames/%05d.png' or 'frames/*.jpg'")
    return files


def decode_files(files: list[Path]) -> Generator[VideoFrame, None, None]:
    """One picture a file, pts counting up from 0; a file that is no picture is an error that names it."""
    for number, file in enumerate(files):
        try:
            with av.open(str(file)) as container:
                picture = next(container.decode(video=0), None)
        except (av.error.FFmpegError, IndexError):
            picture = None
        if picture is None:
            raise StreamfxError(f"'{file}' is not a picture that FFmpeg can read; remove it or narrow the pattern")
        picture.pts = number
        picture.duration = 1
        yield picture


def check_rate(rate: Fraction) -> Fraction:
    """A frame rate that a user gave, if it is one."""
    if not 0 < rate <= 1000:
        raise StreamfxError(f"frame rate {float(rate):g} is out of range; give one above 0 and up to 1000")
    return rate


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path)) if part]
