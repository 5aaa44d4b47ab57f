"""The chain as a list of parts, the controls of the chosen one, and the text with its errors."""

from __future__ import annotations

from html import escape
from typing import Any

from nicegui import ui

from streamfx.effects import EFFECTS
from streamfx.errors import StreamfxError
from streamfx.studio import chain_edit
from streamfx.studio.notices import attempt
from streamfx.studio.session import Session
from streamfx.studio.views.settings_panel import SettingsPanel

_BY_GALLERY = frozenset(("preset", "blend", "blend_share", "mask_start"))
_DOCS = "https://ffmpeg.org/ffmpeg-filters.html"


class ChainPanel:
    """Edits the chain of the project."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.chosen = 0
        self._typed = ""  # the text in the field, which may be invalid
        self._drawn: object = None

    def build(self) -> None:
        """Create the elements."""
        with ui.element("div").classes("side-head"):
            ui.html("<h2>Chain</h2>")
            with ui.element("div"):
                with ui.button("Effect", icon="add").props("flat dense no-caps"), ui.menu().props("auto-close"):
                    for name in EFFECTS:
                        ui.menu_item(name, on_click=lambda name=name: self._add(name))
                ui.button("Filter", icon="add", on_click=self._open_filters).props("flat dense no-caps")
        self.parts = ui.element("div").classes("parts").props('role="list" aria-label="Chain"')
        self.controls = ui.element("div").classes("controls")
        self.text: ui.textarea = ui.textarea(
            "Chain as text", on_change=lambda: self._on_text(str(self.text.value or ""))
        )
        self.text.props("dense outlined autogrow spellcheck=false").classes("mono chain-text")
        self.problem = ui.html("").classes("chain-problem").props('role="alert"')
        self._filters()
        self.session.subscribe(self._changed)
        self._changed("chain")

    def _changed(self, what: str) -> None:
        if what not in ("chain", "project"):
            return
        chain = self.session.project.chain
        if self._typed != chain:
            self._typed = chain
            self.text.set_value(chain)
        self._show_problem(None)
        self._draw()

    def _draw(self) -> None:
        """Draw the parts and controls, unless only values have changed, which the controls show already."""
        parts = chain_edit.parts_of(self.session.project.chain)
        self.chosen = max(0, min(self.chosen, len(parts) - 1))
        state = [(part.label, part.name) for part in parts], self.chosen
        if state == self._drawn:
            return
        self._drawn = state
        self.parts.clear()
        with self.parts:
            for index, part in enumerate(parts):
                self._part(index, part)
            if not parts:
                ui.label("Nothing yet: choose a look below, or add an effect.").classes("hint")
        self.controls.clear()
        if parts and parts[self.chosen].name:
            with self.controls:
                SettingsPanel(self._set, _BY_GALLERY).build(parts[self.chosen])

    def _part(self, index: int, part: chain_edit.Part) -> None:
        with ui.element("div").classes("part" + (" chosen" if index == self.chosen else "")).props('role="listitem"'):
            button = ui.element("button").classes("part-name").props('type="button"')
            button.on("click", lambda: self._choose(index))
            with button:
                ui.label(part.label)
            remove = ui.button(icon="close", on_click=lambda: attempt(lambda: self._remove(index)))
            remove.props(f'flat round dense size="xs" aria-label="Remove {escape(part.name or "filters")}"')

    def _choose(self, index: int) -> None:
        self.chosen = index
        self._draw()

    def _set(self, name: str, value: Any) -> None:
        self._take(chain_edit.with_setting(self.session.project.chain, self.chosen, name, value))

    def _add(self, name: str) -> None:
        def add() -> None:
            chain = chain_edit.with_part(self.session.project.chain, name)
            self.chosen = len(chain_edit.parts_of(chain)) - 1
            self._take(chain)

        attempt(add)

    def _remove(self, index: int) -> None:
        self._take(chain_edit.without_part(self.session.project.chain, index))

    def _on_text(self, text: str) -> None:
        """The text was edited: take it if it is valid, else show what is wrong and where."""
        if text == self._typed:
            return
        self._typed = text
        problem = chain_edit.find_problem(text, self.session.workspace.library)
        self._show_problem(problem)
        if problem is None:
            self._take(text)

    def _take(self, chain: str) -> None:
        problem = chain_edit.find_problem(chain, self.session.workspace.library)
        if problem is not None:
            raise StreamfxError(problem.message)
        self.session.project.chain = chain
        self.session.changed("chain")

    def _show_problem(self, problem: chain_edit.Problem | None) -> None:
        self.problem.set_visibility(problem is not None)
        if problem is None:
            return
        marked = ""
        if problem.offset is not None:
            before, after = self._typed[: problem.offset], self._typed[problem.offset :]
            end = next((index for index, char in enumerate(after) if char in ",;" and index), len(after))
            marked = f"<code>{escape(before)}<mark>{escape(after[:end]) or '&nbsp;'}</mark>{escape(after[end:])}</code>"
        self.problem.set_content(f"<p>{escape(problem.message)}</p>{marked}")

    def _filters(self) -> None:
        """The dialog with FFmpeg's filters."""
        with ui.dialog() as self.dialog, ui.element("div").classes("card filters"):
            with ui.element("div").classes("card-head"):
                ui.html("<h2>FFmpeg filters</h2>")
                ui.html(f'<a href="{_DOCS}" target="_blank" rel="noopener noreferrer">their options at ffmpeg.org</a>')
            search: ui.input = ui.input("Search", on_change=lambda: self._list_filters(str(search.value or "")))
            search.props("dense outlined autofocus clearable")
            self.found = ui.element("div").classes("found").props('role="list"')

    def _open_filters(self) -> None:
        self._list_filters("")
        self.dialog.open()

    def _list_filters(self, words: str) -> None:
        self.found.clear()
        with self.found:
            for name, description in chain_edit.search_filters(words):
                row = ui.element("button").classes("found-row").props('type="button"')
                row.on("click", lambda name=name: self._add_filter(name))
                with row:
                    ui.label(name).classes("mono")
                    ui.label(description).classes("dim")

    def _add_filter(self, name: str) -> None:
        self.dialog.close()
        self._add(name)
