"""Small pictures of every preset on one frame, painted in idle moments and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.presets import Preset, presets
from streamfx.studio.frames import frame_at, jpeg
from streamfx.studio.preview import IsStale
from streamfx.studio.stills import DRAFT_PIXELS, StillRenderer
from streamfx.version import __version__

WIDTH = 256  # pixels of a picture


@dataclass(frozen=True, slots=True)
class Moment:
    """The frame of a file at a time in seconds."""

    path: Path
    time: Fraction

    @property
    def key(self) -> str:
        """A hash that changes with the file."""
        stat = self.path.stat()
        text = f"{__version__} {self.path} {stat.st_mtime_ns} {stat.st_size} {self.time}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Gallery:
    """The cache of the pictures, in a folder."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def file(self, moment: Moment, preset: Preset) -> Path:
        """Where the picture of a preset is, or will be."""
        changed = preset.path.stat().st_mtime_ns
        return self._cache / f"{moment.key}-{preset.name}-{changed:x}.jpg"

    def missing(self, moment: Moment) -> list[Preset]:
        """The presets that have no picture of this moment yet."""
        return [preset for preset in presets() if not self.file(moment, preset).is_file()]

    def paint(
        self, moment: Moment, renderer: StillRenderer, is_stale: IsStale, report: Callable[[Preset, bool], object]
    ) -> None:
        """Paint the missing pictures; `report` gets every preset and whether there is a picture of it now.

        Returns early if it gets stale, between two pictures.
        """
        from streamfx.effects.style import Style

        for preset in presets():
            if self.file(moment, preset).is_file():
                report(preset, True)
                continue
            if is_stale():
                return
            frame = frame_at(moment.path, moment.time, DRAFT_PIXELS)
            try:
                image = renderer.render(frame, [Style(preset=preset.name)], draft=True)
            except StreamfxError:  # a preset without weights
                report(preset, False)
                continue
            self._store(self.file(moment, preset), _reduced(jpeg(image, 95)))
            report(preset, True)

    def _store(self, file: Path, content: bytes) -> None:
        with suppress(OSError):
            self._cache.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}.part")
            part.write_bytes(content)
            part.replace(file)


def _reduced(content: bytes) -> bytes:
    """A JPEG scaled to WIDTH."""
    import io

    from PIL import Image

    picture = Image.open(io.BytesIO(content))
    small = picture.resize((WIDTH, max(1, round(WIDTH * picture.height / picture.width))), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=88)
    return file.getvalue()
