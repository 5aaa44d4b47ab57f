"""Preview pictures of all pages: one worker, one set of built effects, and the latest pictures in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from cachetools import LRUCache

from streamfx.errors import StreamfxError
from streamfx.studio.frames import PREVIEW_PIXELS, frame_at, jpeg
from streamfx.studio.gallery import Gallery, Moment
from streamfx.studio.lanes import Lanes
from streamfx.studio.layer_pictures import LayerPictures
from streamfx.studio.library import Library
from streamfx.studio.preview import IsStale, PreviewWorker
from streamfx.studio.section_picture import section_frames
from streamfx.studio.stills import DRAFT_PIXELS, StillRenderer

if TYPE_CHECKING:
    from torch import Tensor

Deliver: TypeAlias = "Callable[[Preview], object]"  # called on the worker's thread


@dataclass(frozen=True, slots=True)
class Preview:
    """A finished picture, or why there is none."""

    stage: Literal["draft", "full", "failed"]
    url: str = ""
    seconds: float = 0.0  # since the request
    message: str = ""


class Previews:
    """Renders frames through chains on one thread; the newest request of each page wins."""

    def __init__(self, library: Library) -> None:
        self.worker, self.renderer = PreviewWorker(), StillRenderer()
        self.gallery = Gallery(library.state / "gallery")
        self.layers = LayerPictures(library.state / "gallery")
        self._pictures: LRUCache[str, bytes] = LRUCache(24)
        self._numbers = count(1)

    def request(self, key: str, path: Path, time_at: Fraction, chain: str, number: int, deliver: Deliver) -> None:
        """Ask for a frame of a file through a chain: first as a draft, then at full size.

        `key` names the page, `number` is the frame's number for schedules. A newer request of the same key replaces
        this one.
        """
        began = time.perf_counter()

        def work(is_stale: IsStale) -> None:
            try:
                from streamfx.chain import build_chain

                effects = build_chain(chain)
                for stage, pixels in (("draft", DRAFT_PIXELS), ("full", PREVIEW_PIXELS)):
                    frame = frame_at(path, time_at, pixels)
                    image = self.renderer.render(frame, effects, draft=stage == "draft", number=number)
                    if stage == "full" and is_stale():
                        return
                    url = self.store(jpeg(image, 85 if stage == "draft" else 92))
                    deliver(Preview(stage, url, time.perf_counter() - began))  # type: ignore[arg-type]
                    if is_stale():
                        return
            except (StreamfxError, OSError, RuntimeError) as error:
                deliver(Preview("failed", message=str(error).splitlines()[0][:300]))

        self.worker.submit(key, work)

    def paint_gallery(self, key: str, moment: Moment, deliver: Callable[[str, bool], object]) -> None:
        """Paint the missing pictures of the gallery in idle moments; `deliver` gets each preset's name.

        A newer call with the same key replaces this one.
        """
        self.worker.submit_background(
            f"{key}-gallery",
            lambda is_stale: self.gallery.paint(
                moment, StillRenderer(keep=1), is_stale, lambda preset, done: deliver(preset.name, done)
            ),
        )

    def paint_layers(self, key: str, image: Path, deliver: Callable[[str, Path], object]) -> None:
        """Paint what each layer dreams into an image, in idle moments; `deliver` gets each layer with its file.

        A newer call with the same key replaces this one.
        """
        self.worker.submit_background(
            f"{key}-layers", lambda is_stale: self.layers.paint(image, StillRenderer(keep=1), is_stale, deliver)
        )

    def paint_section(self, key: str, lanes: Lanes, name: str, deliver: Deliver) -> None:
        """Paint a section of a timeline up to its middle, in idle moments; `deliver` gets its frames as they come.

        A newer call with the same key replaces this one.
        """

        def work(is_stale: IsStale) -> None:
            def show(image: Tensor) -> None:
                deliver(Preview("draft", self.store(jpeg(image, 85))))

            try:
                section_frames(lanes.timeline, lanes.analysis, name, is_stale, show)
            except (StreamfxError, OSError, RuntimeError) as error:
                deliver(Preview("failed", message=str(error).splitlines()[0][:300]))

        self.worker.submit_background(f"{key}-section", work)

    def drop(self, key: str) -> None:
        """Forget the work of a page that was closed."""
        self.worker.drop_request(key)
        for part in ("gallery", "layers", "section"):
            self.worker.drop_background(f"{key}-{part}")

    def store(self, content: bytes) -> str:
        """Keep a JPEG for a while; returns its address."""
        name = str(next(self._numbers))
        self._pictures[name] = content
        return f"/studio/preview/{name}"

    def picture(self, name: str) -> bytes | None:
        """A JPEG that was kept; None if it was dropped."""
        return self._pictures.get(name)

    def close(self) -> bool:
        """Stop the worker; False if it is still busy."""
        return self.worker.close()
