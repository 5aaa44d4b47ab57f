"""The view Media: choose a file, look at any frame, set in and out points."""

from __future__ import annotations

import asyncio
from html import escape
from pathlib import Path

from nicegui import background_tasks, ui

from streamfx.errors import StreamfxError
from streamfx.studio.format import clock, size
from streamfx.studio.frames import describe
from streamfx.studio.library import MediaFile
from streamfx.studio.notices import attempt
from streamfx.studio.routes import file_url, frame_url, thumbnail_url
from streamfx.studio.session import Session
from streamfx.studio.views.transport import Transport

_PLAYABLE = (".mp4", ".m4v", ".webm", ".mov", ".ogv", ".mkv")


class MediaView:
    """The files of the folder, and the chosen one."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.transport = Transport(session, self.play)
        self._files: list[MediaFile] = []
        self._playing = False

    def build(self) -> None:
        """Create the elements."""
        library = self.session.workspace.library
        with ui.element("div").classes("split media"):
            with ui.element("aside").classes("side"):
                with ui.element("div").classes("side-head"):
                    ui.html("<h2>Files</h2>")
                    add = ui.button("Add a file", icon="upload", on_click=lambda: ui.run_javascript("studio.pick()"))
                    add.props("flat dense no-caps")
                ui.label(_shown(library.folder)).classes("path")
                self.list = ui.element("div").classes("files").props('role="listbox" aria-label="Files"')
                ui.label("or drop files anywhere on the page").classes("hint")
            with ui.element("div").classes("stage-column"):
                with ui.element("div").classes("stage"):
                    self.picture = ui.element("img").classes("picture").props('alt="The chosen frame"')
                    self.video = ui.element("video").classes("picture player").props('preload="none"')
                    self.video.set_visibility(False)
                    self.empty = ui.label("Choose a video or an image").classes("empty")
                self.transport.build()
                self.facts = ui.label().classes("facts")
        self.session.subscribe(self._changed)
        self._changed("source")

    def shown(self) -> None:
        """List the files again."""
        files = [file for file in self.session.workspace.library.media() if file.kind in ("video", "image")]
        if files != self._files:
            self._files = files
            self._fill()

    def hidden(self) -> None:
        """Stop playback."""
        if self._playing:
            self.play()

    def play(self) -> None:
        """Start or stop playback; where it stops becomes the chosen frame."""
        project, info = self.session.project, self.session.info
        if not info or not info.duration or not project.source.lower().endswith(_PLAYABLE):
            return
        self._playing = not self._playing
        self.video.set_visibility(self._playing)
        self.picture.set_visibility(not self._playing)
        self.transport.button.props(f"icon={'pause' if self._playing else 'play_arrow'}")
        if self._playing:
            self.video.props(f'src="{file_url(project.source)}"')
            ui.run_javascript(f"studio.play({self.video.id}, {project.time})")
        else:
            background_tasks.create(self._stop(), name="stop playback")

    async def _stop(self) -> None:
        with self.picture:
            time = await ui.run_javascript(f"studio.stop({self.video.id})")
        self.session.seek(float(time or 0))

    def _fill(self) -> None:
        self.list.clear()
        with self.list:
            if not self._files:
                ui.label("No videos or images here yet.").classes("hint")
            for file in self._files:
                self._card(file)
        background_tasks.create(self._durations(), name="durations")

    def _card(self, file: MediaFile) -> None:
        chosen = file.name == self.session.project.source
        card = ui.element("button").classes("file" + (" chosen" if chosen else ""))
        card.props(f'type="button" role="option" aria-selected="{str(chosen).lower()}" data-file="{escape(file.name)}"')
        card.on("click", lambda: attempt(lambda: self.session.choose_source(file.name)))
        with card:
            picture = ui.element("img").props(f'src="{thumbnail_url(file.name)}" loading="lazy" alt=""')
            picture.on("error", js_handler="event => { event.target.style.visibility = 'hidden'; }")
            with ui.element("span").classes("file-text"):
                ui.label(file.name).classes("file-name")
                label = ui.label(size(file.size)).classes("file-size")
        card.file, card.label = file, label  # type: ignore[attr-defined]

    async def _durations(self) -> None:
        """Add the durations of videos to their cards; reading them takes a while."""
        for card in list(self.list.default_slot.children):
            file: MediaFile | None = getattr(card, "file", None)
            if file is None:
                continue
            try:
                path = self.session.workspace.library.existing(file.name)
                info = await asyncio.to_thread(describe, path)
            except (StreamfxError, OSError):
                text = "cannot be read"
            else:
                length = f"{clock(float(info.duration), 1)} · " if info.duration else ""
                text = f"{length}{info.width}×{info.height} · {size(file.size)}"
            if card.is_deleted:
                return
            card.label.set_text(text)  # type: ignore[attr-defined]

    def _changed(self, what: str) -> None:
        project, info = self.session.project, self.session.info
        if what in ("source", "project"):
            for card in self.list.default_slot.children:
                chosen = getattr(card, "file", None) is not None and card.file.name == project.source  # type: ignore[attr-defined]
                card.classes(add="chosen" if chosen else "", remove="" if chosen else "chosen")
                card.props(f'aria-selected="{str(chosen).lower()}"')
            self.empty.set_visibility(not project.source)
            self.picture.set_visibility(bool(project.source))
            if self._playing:
                self.play()
        if what in ("source", "project", "time") and project.source:
            self.picture.props(f'src="{frame_url(project.source, self.session.time)}"')
        if info:
            rate = f" · {float(info.rate):g} frames/s" if info.rate and info.duration else ""
            sound = " · with audio" if info.audio else ""
            self.facts.set_text(f"{project.source} · {info.width}×{info.height}{rate}{sound}{_span_text(self.session)}")


def _shown(folder: Path) -> str:
    """The path of a folder, short if it is in the home folder."""
    home = Path.home()
    return str(Path("~", folder.relative_to(home))) if folder.is_relative_to(home) else str(folder)


def _span_text(session: Session) -> str:
    project, info = session.project, session.info
    if (project.start is None and project.end is None) or not info or not info.duration:
        return ""
    end = float(info.duration) if project.end is None else project.end
    return f" · renders {clock(project.start or 0, 2)} to {clock(end, 2)}"
