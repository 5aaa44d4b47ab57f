"""The studio's page: the frame around the views, built with NiceGUI."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui
from nicegui.events import GenericEventArguments

from streamfx.errors import StreamfxError
from streamfx.studio.format import clock
from streamfx.studio.library import kind_of
from streamfx.studio.notices import attempt, explain, note, warn
from streamfx.studio.routes import add_routes
from streamfx.studio.session import Session
from streamfx.studio.views.compare import CompareView
from streamfx.studio.views.dream import DreamView, enqueue_dream
from streamfx.studio.views.look import LookView
from streamfx.studio.views.media import MediaView
from streamfx.studio.views.project_menu import ProjectMenu
from streamfx.studio.views.render import RenderView
from streamfx.studio.views.timeline import TimelineView, enqueue_timeline
from streamfx.studio.views.view import View
from streamfx.studio.workspace import Workspace

log = logging.getLogger("streamfx")

STATIC = Path(__file__).with_name("static")
VIEWS: dict[str, Callable[[Session], View]] = {
    "Media": MediaView,
    "Look": LookView,
    "Compare": CompareView,
    "Dream": DreamView,
    "Timeline": TimelineView,
    "Render": RenderView,
}
_SAVE_EVERY, _POLL = 1.0, 0.5  # seconds


def build_app(workspace: Workspace) -> FastAPI:
    """The server's application, without the guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_routes(app, workspace)
    nicegui_app.add_static_files("/studio/static", STATIC)

    @ui.page("/", title="streamfx studio")
    def page() -> None:
        session = Session(workspace)
        Page(session).build()
        ui.context.client.on_delete(lambda: _close(session))
        workspace.warm_up()

    ui.run_with(app, title="streamfx studio", dark=True, language="en-US", tailwind=False, show_welcome_message=False)
    return app


def _close(session: Session) -> None:
    """A page was closed: save its project, and drop its previews."""
    session.workspace.previews.drop(session.key)
    with suppress(StreamfxError):
        session.save()


class Page:
    """One open page."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.panels: dict[str, ui.element] = {}
        self.views: dict[str, View] = {name: view(session) for name, view in VIEWS.items()}

    def build(self) -> None:
        """Create the elements."""
        ui.add_head_html('<link rel="stylesheet" href="/studio/static/studio.css">')
        ui.add_head_html('<script src="/studio/static/studio.js" defer></script>')
        ui.colors(primary="#e2a55a", dark="#141618", dark_page="#141618", negative="#e07a6e", positive="#86b98b")
        self._header()
        with ui.element("main").classes("views"):
            for name, view in self.views.items():
                panel = ui.element("section").classes("view").props(f'role="tabpanel" aria-label="{name}"')
                panel.set_visibility(False)
                self.panels[name] = panel
                with panel:
                    view.build()
        self.show("Look" if self.session.project.source else "Media")
        self._listen()

    def show(self, name: str) -> None:
        """Show one view."""
        self.tabs.set_value(name)
        for other, panel in self.panels.items():
            panel.set_visibility(other == name)
            if other != name:
                self.views[other].hidden()
        self.views[name].shown()

    def _header(self) -> None:
        with ui.element("header").classes("bar"):
            with ui.element("div").classes("brand"):
                ui.html('<span class="mark" aria-hidden="true"></span><b>streamfx</b>&nbsp;studio')
            self.tabs = ui.tabs(on_change=lambda event: self.show(event.value)).props("dense no-caps inline-label")
            with self.tabs:
                for name in VIEWS:
                    ui.tab(name)
            ui.element("div").classes("grow")
            ProjectMenu(self.session).build()
            self.clip = ui.label().classes("clip")
            self.status = ui.button(on_click=lambda: self.show("Render")).props("flat dense no-caps").classes("pill")
            queue = ui.button("Add to queue", icon="add", on_click=self._enqueue).props(
                "unelevated no-caps dense text-color=dark"
            )
            queue.classes("main-button").props('title="Ctrl-Enter" aria-keyshortcuts="Control+Enter"')
        self._show_clip()
        self.session.subscribe(self._changed)

    def _show_clip(self) -> None:
        self.clip.set_text(self.session.project.source or "no clip chosen")

    def _changed(self, what: str) -> None:
        if what in ("source", "project"):
            self._show_clip()
        if what == "command" and (self.session.subject != "Look" or self.tabs.value in ("Dream", "Timeline")):
            self.show(self.session.subject)

    def _listen(self) -> None:
        session = self.session
        keys: dict[str, Callable[[], object]] = {
            "back": lambda: session.step(-1),
            "forward": lambda: session.step(1),
            "back10": lambda: session.step(-10),
            "forward10": lambda: session.step(10),
            "in": lambda: session.set_span(session.project.time, session.project.end),
            "out": lambda: session.set_span(session.project.start, session.project.time + session.frame_seconds),
            "play": lambda: self.views[str(self.tabs.value)].play(),
        }

        async def on_key(event: GenericEventArguments) -> None:
            name = str(event.args)
            if name == "enqueue":
                await self._enqueue()
            if name.isdigit() and 0 < int(name) <= len(VIEWS):
                self.show(list(VIEWS)[int(name) - 1])
            elif name in keys:
                attempt(keys[name])

        ui.on("studio-key", on_key)
        ui.on("studio-uploaded", self._uploaded)
        ui.timer(_SAVE_EVERY, lambda: attempt(session.save))
        ui.timer(_POLL, self._show_status)

    def _uploaded(self, event: GenericEventArguments) -> None:
        """A file was dropped on the page: list it, and choose it if it is a clip."""
        if "error" in event.args:
            warn(str(event.args["error"]))
            return
        name, view = str(event.args["name"]), str(self.tabs.value)
        if kind_of(name) in ("video", "image") and view not in ("Dream", "Timeline"):
            attempt(lambda: self.session.choose_source(name))
        self.views[view].shown()
        note(f"added {name}")

    async def _enqueue(self) -> None:
        """Queue what the open view is about."""
        session = self.session
        if self.tabs.value == "Dream":
            await enqueue_dream(session)
            return
        if self.tabs.value == "Timeline":
            await enqueue_timeline(session)
            return
        try:
            entry = await asyncio.to_thread(session.workspace.enqueue_project, session.project)
        except (StreamfxError, OSError) as error:
            warn(explain(error))
            return
        note(f"added to the queue: {entry.target}")

    def _show_status(self) -> None:
        entries = self.session.workspace.queue.entries
        running = next((entry for entry in entries if entry.state == "running"), None)
        waiting = sum(entry.state == "waiting" for entry in entries)
        text = "idle"
        if running is not None:
            left = running.seconds_left
            text = f"{running.share:.0%}" + ("" if left is None else f" · {clock(left)} left")
        if waiting:
            text += f" · {waiting} waiting"
        self.status.set_text(text)
        self.status.classes(add="busy" if running else "", remove="" if running else "busy")
