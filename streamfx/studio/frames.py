"""Facts and single frames of media files, for the pictures of the page."""

from __future__ import annotations

import hashlib
import io
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from streamfx.media.filters.graph import Filter

if TYPE_CHECKING:
    from torch import Tensor

    from streamfx.frame import Frame

PREVIEW_PIXELS = 1280 * 720  # frames are scaled down to about this area
THUMBNAIL_WIDTH = 320  # pixels
THUMBNAIL_AT = 0.2  # share of the video's duration
QUALITY = 90  # of JPEG files


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What the page shows about a file."""

    width: int  # pixels, upright and with square pixels
    height: int
    rate: Fraction | None  # frames per second
    duration: Fraction | None  # seconds; None for images
    audio: bool = False

    @property
    def step(self) -> Fraction:
        """Seconds from one frame to the next."""
        return 1 / self.rate if self.rate else Fraction(1, 25)

    def snap(self, time: float) -> Fraction:
        """The time of the frame that is shown at `time` seconds, for a constant frame rate."""
        last = max(Fraction(0), self.duration - self.step) if self.duration else Fraction(0)
        number = math.floor(Fraction(time).limit_denominator(10**6) / self.step + Fraction(1, 1000))
        return min(max(Fraction(0), number * self.step), last)


def describe(path: Path) -> MediaInfo:
    """The properties of a video or an image. Raises StreamfxError for any other file."""
    stat = path.stat()
    return _describe(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1000)
def _describe(path: Path, modified: int, size: int) -> MediaInfo:
    from streamfx.media.input.reader import Reader

    with Reader(path) as reader:
        info, audio = reader.info, bool(reader.input and reader.input.streams.audio)
        width, height = _display_size(info.width, info.height, info.sample_aspect_ratio)
        still = info.duration is None or (info.rate is not None and info.duration * info.rate <= 1)
        return MediaInfo(width, height, info.rate, None if still else info.duration, audio)


def frame_at(path: Path, time: Fraction = Fraction(0), pixels: int = PREVIEW_PIXELS) -> Frame:
    """The frame of a video at `time` seconds, or an image; scaled down to at most about `pixels`.

    Recent frames are cached. Raises StreamfxError.
    """
    stat = path.stat()
    with _frame_lock:  # one decoder at a time: more would only compete for the cores
        return _frame_at(path, stat.st_mtime_ns, time, pixels)


_frame_lock = Lock()


@lru_cache(maxsize=12)
def _frame_at(path: Path, modified: int, time: Fraction, pixels: int) -> Frame:
    from streamfx.media.input.reader import Reader

    with Reader(path, start=time) as reader:
        info = reader.info
        width, height = _display_size(info.width, info.height, info.sample_aspect_ratio)
        scale = min(1.0, math.sqrt(pixels / (width * height)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        filters = []
        if size != (info.width, info.height):
            filters = [Filter("scale", f"{size[0]}:{size[1]}:flags=lanczos"), Filter("setsar", "1")]
        return next(reader.frames(filters))


def _display_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Width and height with square pixels; neither is less than before."""
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


def jpeg(image: Tensor, quality: int = QUALITY) -> bytes:
    """An image [3, H, W] RGB 0..1 as a JPEG file."""
    import numpy as np
    from PIL import Image

    values = image.cpu().numpy()  # torch's threads would wait for each other on busy cores
    pixels = np.ascontiguousarray((values.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def thumbnail(path: Path, cache: Path) -> bytes:
    """A JPEG of a video or an image, THUMBNAIL_WIDTH pixels wide or less; kept in the folder `cache`."""
    stat = path.stat()
    key = hashlib.sha256(f"{path} {stat.st_mtime_ns} {stat.st_size}".encode()).hexdigest()[:24]
    file = cache / f"{key}.jpg"
    with suppress(OSError):
        return file.read_bytes()
    duration = describe(path).duration or Fraction(0)
    content = jpeg(frame_at(path, duration * Fraction(THUMBNAIL_AT).limit_denominator(100), 320 * 180).image, 80)
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(file)
    return content
