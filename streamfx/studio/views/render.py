"""The view Render: the queue, the finished videos, and the command of each."""

from __future__ import annotations

import asyncio
from datetime import datetime

from nicegui import ui

from streamfx.errors import StreamfxError
from streamfx.studio.library import kind_of
from streamfx.studio.notices import attempt, explain, note, warn
from streamfx.studio.partial import join_finished_part
from streamfx.studio.queue import Entry, State
from streamfx.studio.render_command import check_command, shell_line
from streamfx.studio.routes import file_url
from streamfx.studio.session import Session
from streamfx.studio.views.next_render import NextRender

_POLL = 0.5  # seconds
_BUTTONS: dict[State, tuple[tuple[str, str, str], ...]] = {  # icon, label and method of Renders
    "waiting": (("pause", "Pause", "pause"), ("close", "Cancel", "cancel")),
    "running": (("pause", "Pause", "pause"), ("close", "Cancel", "cancel")),
    "paused": (("play_arrow", "Resume", "resume"), ("close", "Cancel", "cancel")),
    "failed": (("refresh", "Try again", "resume"), ("delete_outline", "Remove", "remove")),
    "canceled": (("refresh", "Render again", "resume"), ("delete_outline", "Remove", "remove")),
    "finished": (("delete_outline", "Remove from the list", "remove"),),
}


class RenderView:
    """The queue at the left, the next and the chosen render at the right."""

    def __init__(self, session: Session) -> None:
        self.session, self.workspace = session, session.workspace
        self.next = NextRender(session)
        self.chosen: int | None = None
        self._drawn: object = None
        self._rows: dict[int, _Row] = {}

    def build(self) -> None:
        """Create the elements."""
        with ui.element("div").classes("split render"):
            with ui.element("aside").classes("side wide"):
                with ui.element("div").classes("side-head"):
                    ui.html("<h2>Queue</h2>")
                    self.hold = ui.button(on_click=self._toggle_hold).props("flat dense no-caps")
                self.list = ui.element("div").classes("queue").props('role="list" aria-label="Queue"')
            with ui.element("div").classes("detail"):
                self.next.build()
                self.detail = ui.element("div").classes("card result")
        ui.timer(_POLL, self.refresh)
        self.refresh()

    def shown(self) -> None:
        """The view has been opened."""
        self.next.visible = True
        self.next.show()

    def hidden(self) -> None:
        """Another view has been opened."""
        self.next.visible = False

    def play(self) -> None:
        """Play or pause the video of the chosen render."""
        ui.run_javascript("const v = document.querySelector('.result video'); v && (v.paused ? v.play() : v.pause())")

    def refresh(self) -> None:
        """Draw what has changed: the list if entries or states have, else only the progress."""
        entries = self.workspace.queue.entries
        state = [(entry.id, entry.state, entry.message) for entry in entries], self.workspace.queue.held, self.chosen
        if self.chosen is None and entries:
            self.chosen = entries[-1].id
        if state != self._drawn:
            self._drawn = state
            self._draw(entries)
        for entry in entries:
            self._rows[entry.id].update(entry)

    def _draw(self, entries: list[Entry]) -> None:
        held = self.workspace.queue.held
        self.hold.set_text("Start the queue" if held else "Hold the queue")
        self.hold.props(f"icon={'play_arrow' if held else 'pause'}")
        self.list.clear()
        self._rows = {}
        with self.list:
            if not entries:
                ui.label("Nothing queued. Choose a clip and a look, then press Ctrl-Enter.").classes("hint")
            for entry in entries:
                self._rows[entry.id] = _Row(self, entry)
        self.detail.clear()
        chosen = next((entry for entry in entries if entry.id == self.chosen), None)
        self.detail.set_visibility(chosen is not None)
        if chosen is not None:
            with self.detail:
                self._draw_detail(chosen)

    def _draw_detail(self, entry: Entry) -> None:
        with ui.element("div").classes("card-head"):
            ui.html("<h2>Render</h2>")
            ui.label(entry.target).classes("grow dim")
            if entry.state in ("running", "paused"):
                part = ui.button("Play the finished part", on_click=lambda: self._play_part(entry))
                part.props("flat dense no-caps")
        self.player = ui.element("div").classes("result-stage")
        if entry.state == "finished":
            self._show_video(file_url(entry.target), entry.target)
        elif entry.message:
            with self.player:
                ui.label(entry.message).classes("problem").props('role="alert"')
        else:
            self.player.set_visibility(False)
        with ui.element("div").classes("command"):
            ui.label(shell_line(entry.arguments)).classes("mono line grow")
            use = ui.button("Use again", on_click=lambda: attempt(lambda: self._use(entry))).props("flat dense no-caps")
            use.props('title="Set the page to the settings of this render"')
            ui.button("Copy", on_click=lambda: self._copy(entry)).props("flat dense no-caps")
        ui.label(_facts(entry)).classes("facts")

    def _show_video(self, url: str, name: str) -> None:
        self.player.clear()
        self.player.set_visibility(True)
        with self.player:
            if kind_of(name) == "image" or name.endswith(".gif"):
                ui.element("img").props(f'src="{url}" alt="{name}"')
            else:
                ui.element("video").props(f'src="{url}" controls playsinline preload="metadata" aria-label="{name}"')

    async def _play_part(self, entry: Entry) -> None:
        note("joining the finished part …")
        try:
            part = await asyncio.to_thread(join_finished_part, entry, self.workspace.library)
        except (StreamfxError, OSError) as error:
            warn(explain(error))
            return
        self._show_video(f"/studio/part/{entry.id}/{part.name}", part.name)

    def _use(self, entry: Entry) -> None:
        given, _ = check_command(entry.arguments, self.workspace.read, self.workspace.library)
        self.session.use(given)
        note("the page is set to this render")

    def _copy(self, entry: Entry) -> None:
        ui.clipboard.write(shell_line(entry.arguments, self.workspace.library.folder))
        note("copied, with the folder")

    def _toggle_hold(self) -> None:
        attempt(lambda: self.workspace.queue.hold(not self.workspace.queue.held))
        self.refresh()


class _Row:
    """An entry of the list."""

    def __init__(self, view: RenderView, entry: Entry) -> None:
        self._view, number = view, entry.id
        row = ui.element("div").classes(f"entry {entry.state}" + (" chosen" if view.chosen == number else ""))
        with row.props('role="listitem"'):
            title = ui.element("button").classes("entry-title").props('type="button"')
            title.on("click", lambda: self._choose(number))
            with title:
                ui.label(entry.target).classes("entry-name")
                self.text = ui.label().classes("entry-state")
            with ui.element("div").classes("entry-buttons"):
                if entry.state in ("waiting", "paused"):
                    self._button("arrow_upward", "Earlier", lambda: view.workspace.queue.move(number, -1))
                    self._button("arrow_downward", "Later", lambda: view.workspace.queue.move(number, 1))
                for icon, label, method in _BUTTONS[entry.state]:
                    self._button(icon, label, lambda name=method: getattr(view.workspace.renders, name)(number))
            with ui.element("div").classes("bar-back"):
                self.bar = ui.element("div").classes("bar-front").props('role="progressbar" aria-label="Progress"')

    def update(self, entry: Entry) -> None:
        """Show the progress."""
        self.text.set_text(entry.text)
        self.bar.style(f"width:{100 * entry.share:.1f}%").props(f'aria-valuenow="{100 * entry.share:.0f}"')

    def _choose(self, number: int) -> None:
        self._view.chosen = number
        self._view.refresh()

    def _button(self, icon: str, label: str, action: object) -> None:
        def act() -> None:
            attempt(action)  # type: ignore[arg-type]
            self._view.refresh()

        ui.button(icon=icon, on_click=act).props(f'flat round dense size="sm" aria-label="{label}" title="{label}"')


def _facts(entry: Entry) -> str:
    added = datetime.fromtimestamp(entry.added).strftime("%B %-d, %H:%M")
    speed = f" · {entry.fps:.1f} frames/s" if entry.fps and entry.state == "finished" else ""
    return f"added {added} · {entry.state}{speed}"
