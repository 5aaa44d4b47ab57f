"""Chooses the layers of a dream by pictures of what they do to the start image."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from nicegui import background_tasks, ui

from streamfx.errors import StreamfxError
from streamfx.studio.event_loop import on_event_loop
from streamfx.studio.layer_pictures import default_layers
from streamfx.studio.routes import BLANK
from streamfx.studio.session import Session


class LayerPicker:
    """A grid of layers; those that are chosen take turns in the video."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._cards: dict[str, ui.element] = {}
        self._images: dict[str, ui.element] = {}
        self._chosen: list[str] = []
        self._image = ""  # whose pictures are shown
        self._loading = False

    def build(self, change: Callable[[str], object]) -> None:
        """Create the elements; `change` gets the chosen layers as text."""
        self._change = change
        with ui.element("div").classes("side-head"):
            ui.html("<h2>Layers</h2>")
            self.text = ui.label().classes("dim mono")
        self.grid = ui.element("div").classes("layer-grid").props('role="listbox" aria-multiselectable="true"')

    def show(self, image: str, layers: str) -> None:
        """Show the choice, and paint the pictures of a new image."""
        self._chosen = [layer.strip() for layer in layers.split(",") if layer.strip()]
        self.text.set_text(", ".join(self._chosen) or "in turn")
        if not self._loading:
            self._loading = True
            background_tasks.create(self._load(), name="layers")
        self._mark()
        if image != self._image and self._cards:
            self._image = image
            self._paint()

    async def _load(self) -> None:
        """Fill the grid; the first time, the networks are imported, which takes seconds."""
        layers = await asyncio.to_thread(default_layers)
        if not self.grid.is_deleted:
            self._fill(layers)
            self._mark()
            self._image = str(self.session.project.dream.get("start_image") or "")
            self._paint()

    def _mark(self) -> None:
        """Mark the chosen layers."""
        for layer, card in self._cards.items():
            on = layer in self._chosen
            card.classes(add="chosen" if on else "", remove="" if on else "chosen")
            card.props(f'aria-selected="{str(on).lower()}"')

    def _fill(self, layers: list[str]) -> None:
        with self.grid:
            for layer in layers:
                card = ui.element("button").classes("layer").props('type="button" role="option"')
                card.on("click", lambda layer=layer: self._toggle(layer))
                with card:
                    self._images[layer] = ui.element("img").props(f'alt="" src="{BLANK}"')
                    ui.label(layer)
                self._cards[layer] = card

    def _toggle(self, layer: str) -> None:
        chosen = [name for name in self._chosen if name != layer]
        self._change(", ".join(chosen if layer in self._chosen else [*chosen, layer]))

    def _paint(self) -> None:
        name = self._image
        for picture in self._images.values():
            picture.props(f'src="{BLANK}"')
        try:
            path = self.session.workspace.library.existing(name)
        except StreamfxError:
            return
        show = on_event_loop(lambda layer, file: self._show_picture(name, layer, file))
        self.session.workspace.previews.paint_layers(self.session.key, path, show)

    def _show_picture(self, image: str, layer: str, file: Path) -> None:
        picture = self._images[layer]
        if image == self._image and not picture.is_deleted:
            picture.props(f'src="/studio/gallery/{file.name}"')
