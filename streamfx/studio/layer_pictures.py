"""Small pictures of what each layer of the network dreams into an image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from streamfx.studio.frames import frame_at, jpeg
from streamfx.studio.preview import IsStale
from streamfx.studio.stills import StillRenderer

PIXELS = 224 * 126  # of a picture


def default_layers() -> list[str]:
    """The main layers of the network that is used by default."""
    from streamfx.deepdream.networks import choose_network, main_layers

    return main_layers(choose_network("auto", []).name)


class LayerPictures:
    """The cache of the pictures, in a folder."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def file(self, image: Path, layer: str) -> Path:
        """Where the picture of a layer is, or will be."""
        stat = image.stat()
        key = hashlib.sha256(f"{image} {stat.st_mtime_ns} {stat.st_size} {layer}".encode()).hexdigest()[:20]
        return self._cache / f"layer-{key}.jpg"

    def paint(
        self, image: Path, renderer: StillRenderer, is_stale: IsStale, report: Callable[[str, Path], object]
    ) -> None:
        """Dream each layer into the image; `report` gets each layer with its file. Returns early if it gets stale."""
        from streamfx.effects.dream import Dream

        for layer in default_layers():
            file = self.file(image, layer)
            if not file.is_file():
                if is_stale():
                    return
                frame = frame_at(image, pixels=PIXELS)
                content = jpeg(renderer.render(frame, [Dream(layer=layer, octaves=2, steps=8, coherence="off")]), 85)
                with suppress(OSError):
                    self._cache.mkdir(parents=True, exist_ok=True)
                    part = file.with_suffix(f".{os.getpid()}.part")
                    part.write_bytes(content)
                    part.replace(file)
            report(layer, file)
