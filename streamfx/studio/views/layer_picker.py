"""Chooses the layers of a dream by pictures of what they do to the start image."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from nicegui import ui

from streamfx.errors import StreamfxError
from streamfx.studio.layer_pictures import default_layers
from streamfx.studio.session import Session


class LayerPicker:
    """A grid of layers; those that are chosen take turns in the video."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._cards: dict[str, ui.element] = {}
        self._images: dict[str, ui.element] = {}
        self._chosen: list[str] = []
        self._image = ""

    def build(self, change: Callable[[str], object]) -> None:
        """Create the elements; `change` gets the chosen layers as text."""
        self._change = change
        with ui.element("div").classes("side-head"):
            ui.html("<h2>Layers</h2>")
            self.text = ui.label().classes("dim mono")
        self.grid = ui.element("div").classes("layer-grid").props('role="listbox" aria-multiselectable="true"')

    @property
    def is_empty(self) -> bool:
        """Whether the layers are not shown yet, because the engine is still being imported."""
        return not self._cards

    def show(self, image: str, layers: str) -> None:
        """Show the choice, and paint the pictures of a new image."""
        self._chosen = [layer.strip() for layer in layers.split(",") if layer.strip()]
        self.text.set_text(", ".join(self._chosen) or "in turn")
        if not self._cards and self.session.workspace.is_engine_ready:
            self._fill()
        for layer, card in self._cards.items():
            on = layer in self._chosen
            card.classes(add="chosen" if on else "", remove="" if on else "chosen")
            card.props(f'aria-selected="{str(on).lower()}"')
        if image != self._image and self._cards:
            self._image = image
            self._paint()

    def _fill(self) -> None:
        with self.grid:
            for layer in default_layers():
                card = ui.element("button").classes("layer").props('type="button" role="option"')
                card.on("click", lambda layer=layer: self._toggle(layer))
                with card:
                    self._images[layer] = ui.element("img").props('alt=""')
                    ui.label(layer)
                self._cards[layer] = card

    def _toggle(self, layer: str) -> None:
        chosen = [name for name in self._chosen if name != layer]
        self._change(", ".join(chosen if layer in self._chosen else [*chosen, layer]))

    def _paint(self) -> None:
        try:
            path = self.session.workspace.library.existing(self._image)
        except StreamfxError:
            return
        loop = asyncio.get_running_loop()
        self.session.workspace.previews.paint_layers(
            f"{self.session.key}-layers",
            path,
            lambda layer, file: loop.call_soon_threadsafe(self._show_picture, layer, file),
        )

    def _show_picture(self, layer: str, file: Path) -> None:
        image = self._images.get(layer)
        if image is not None and not image.is_deleted:
            image.props(f'src="/studio/gallery/{file.name}"')
