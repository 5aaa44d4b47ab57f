"""The view Look: a frame through the chain, the gallery of presets, and the settings."""

from __future__ import annotations

from nicegui import ui

from streamfx.errors import StreamfxError
from streamfx.presets import Preset, presets
from streamfx.studio import chain_edit
from streamfx.studio.event_loop import on_event_loop
from streamfx.studio.gallery import Moment
from streamfx.studio.notices import attempt
from streamfx.studio.previews import Preview
from streamfx.studio.routes import BLANK, frame_url
from streamfx.studio.session import Session
from streamfx.studio.views.chain_panel import ChainPanel
from streamfx.studio.views.transport import Transport

_GALLERY_POLL = 2.0  # seconds
_COMPILED = 5.0  # seconds; a preview that takes longer has compiled a network, once


class LookView:
    """Finds a look on the chosen frame."""

    def __init__(self, session: Session) -> None:
        self.session, self.previews = session, session.workspace.previews
        self.transport = Transport(session)
        self.chain = ChainPanel(session)
        self._cards: dict[str, ui.element] = {}
        self._painted: Moment | None = None
        self._visible = False
        self._wanted = False

    def build(self) -> None:
        """Create the elements."""
        with ui.element("div").classes("split look"):
            with ui.element("div").classes("stage-column"):
                with ui.element("div").classes("stage").props('title="Hold to see the original"'):
                    self.picture = ui.element("img").classes("picture preview").props('alt="Preview of the look"')
                    self.original = ui.element("img").classes("picture original").props('alt="The original frame"')
                    self.stage_text = ui.label().classes("stage-note").props('aria-live="polite"')
                    self.empty = ui.label("Choose a clip in the view Media first").classes("empty")
                self._blend_bar()
                self.transport.build()
                self.strip = ui.element("div").classes("strip").props('role="group" aria-label="Presets"')
            with ui.element("aside").classes("side right"):
                self.chain.build()
        self._fill_strip()
        self.session.subscribe(self._changed)
        ui.on("studio-blend", lambda event: attempt(lambda: self._blend_both(*map(str, event.args))))
        ui.timer(_GALLERY_POLL, self._paint_gallery)

    def shown(self) -> None:
        """The view has been opened."""
        self._visible = True
        self._changed("project")

    def hidden(self) -> None:
        """Another view has been opened."""
        self._visible = False

    def play(self) -> None:
        """There is nothing to play."""

    def _changed(self, what: str) -> None:
        if what == "preview":
            self._show()
        if what not in ("source", "project", "time", "chain"):
            return
        project = self.session.project
        self.empty.set_visibility(not project.source)
        for element in (self.picture, self.original):
            element.set_visibility(bool(project.source))
        self._show_choice()
        if what in ("source", "project"):
            self._paint_gallery()  # the pictures of another clip vanish at once
        if self._visible and project.source:
            if what != "chain":
                self.original.props(f'src="{frame_url(project.source, self.session.time)}"')
            self.stage_text.set_text("…")
            self.session.request_preview()

    def _show(self) -> None:
        """Show the newest preview, or why there is none."""
        preview = self.session.preview
        if preview is None:
            return
        failed = preview.stage == "failed"
        self.stage_text.classes(add="failed" if failed else "", remove="" if failed else "failed")
        self.stage_text.set_text(preview.message if failed else _timing(preview))
        if not failed:
            self.picture.props(f'src="{preview.url}" data-stage="{preview.stage}"')

    def _fill_strip(self) -> None:
        self.strip.clear()
        self._cards = {}
        with self.strip:
            for preset in presets():
                self._cards[preset.name] = self._card(preset)

    def _card(self, preset: Preset) -> ui.element:
        card = ui.element("div").classes("look-card").props(f'draggable="true" data-preset="{preset.name}"')
        with card:
            choose = ui.element("button").classes("look-choose").props('type="button" aria-pressed="false"')
            choose.on("click", lambda: attempt(lambda: self._choose(preset.name)))
            with choose:
                ui.element("img").props(f'alt="" draggable="false" src="{BLANK}"')
                ui.label(preset.name).classes("look-name")
            blend = ui.button(icon="compare", on_click=lambda: attempt(lambda: self._blend(preset.name)))
            blend.props(f'flat round dense size="sm" aria-label="Blend with {preset.name}"')
            blend.props('title="Blend with this; or drag one picture onto another"')
        return card

    def _choose(self, preset: str) -> None:
        project = self.session.project
        project.chain = chain_edit.with_preset(project.chain, preset)
        self.session.changed("chain")

    def _blend(self, preset: str) -> None:
        """Blend the style with another preset; with its own one, not any more."""
        style = chain_edit.find_style(self.session.project.chain)
        if style is None:
            self._choose(preset)
            return
        index, part = style
        same = preset in (getattr(part.effect, "preset", ""), getattr(part.effect, "blend", ""))
        values = {"blend": "" if same else preset, "blend_share": 0.5}
        self.session.project.chain = chain_edit.with_settings(self.session.project.chain, index, values)
        self.session.changed("chain")

    def _blend_both(self, first: str, second: str) -> None:
        """Blend two presets in equal shares."""
        chain = chain_edit.with_preset(self.session.project.chain, first)
        style = chain_edit.find_style(chain)
        assert style is not None
        values = {"blend": second, "blend_share": 0.5}
        self.session.project.chain = chain_edit.with_settings(chain, style[0], values)
        self.session.changed("chain")

    def _blend_bar(self) -> None:
        with ui.element("div").classes("blend-bar") as self.bar:
            self.first = ui.label().classes("look-name")
            self.share = ui.slider(min=0, max=1, step=0.01, on_change=self._set_share).props('aria-label="Blend"')
            self.second = ui.label().classes("look-name")
        self.bar.set_visibility(False)

    def _set_share(self) -> None:
        style = chain_edit.find_style(self.session.project.chain)
        if style is None or self.share.value is None or not getattr(style[1].effect, "blend", ""):
            return
        if getattr(style[1].effect, "blend_share", 0) != self.share.value:
            values = {"blend_share": round(float(self.share.value), 3)}
            self.session.project.chain = chain_edit.with_settings(self.session.project.chain, style[0], values)
            self.session.changed("chain")

    def _show_choice(self) -> None:
        """Mark the chosen presets, and show the blend."""
        try:
            style = chain_edit.find_style(self.session.project.chain)
        except StreamfxError:
            return
        effect = style[1].effect if style else None
        first, second = getattr(effect, "preset", ""), getattr(effect, "blend", "")
        for name, card in self._cards.items():
            for mark, on in (("chosen", name == first), ("second", name == second)):
                card.classes(add=mark if on else "", remove="" if on else mark)
            card.default_slot.children[0].props(f'aria-pressed="{str(name == first).lower()}"')
        self.bar.set_visibility(bool(second))
        if second:
            self.first.set_text(first)
            self.second.set_text(second)
            self.share.set_value(getattr(effect, "blend_share", 0.5))

    def _paint_gallery(self) -> None:
        """Show the pictures of the gallery, and paint those that are missing while no render is running."""
        project = self.session.project
        if not self._visible or not project.source or not self.session.workspace.is_engine_ready:
            return
        try:
            moment = Moment(self.session.source_path(), self.session.time)
            missing = {preset.name for preset in self.previews.gallery.missing(moment)}
        except (StreamfxError, OSError):
            return
        if moment != self._painted:
            self._painted = moment
            for name in self._cards:
                self._show_card(name, moment, name not in missing, waiting=name in missing)
            self._wanted = bool(missing)
        if self._wanted and not self.session.workspace.is_rendering:
            self._wanted = False
            show = on_event_loop(lambda name, painted: self._show_card(name, moment, painted))
            self.previews.paint_gallery(self.session.key, moment, show)

    def _show_card(self, name: str, moment: Moment, painted: bool, waiting: bool = False) -> None:
        """Show the picture of a preset of this moment, or none."""
        card = self._cards[name]
        if card.is_deleted or moment != self._painted:
            return
        image = card.default_slot.children[0].default_slot.children[0]
        card.classes(add="unpainted" if waiting else "", remove="" if waiting else "unpainted")
        address = BLANK
        if painted:
            file = next(preset for preset in presets() if preset.name == name)
            address = f"/studio/gallery/{self.previews.gallery.file(moment, file).name}"
        image.props(f'src="{address}"')


def _timing(preview: Preview) -> str:
    """The stage of a preview and how long it took, unless a network had to be compiled first."""
    return f"{preview.stage} · {preview.seconds:.2f} s" if preview.seconds < _COMPILED else preview.stage
