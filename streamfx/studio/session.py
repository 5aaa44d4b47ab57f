"""One open page: its project, and the views to update when it changes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.studio.event_loop import on_event_loop
from streamfx.studio.frames import MediaInfo, describe
from streamfx.studio.library import clean_name
from streamfx.studio.previews import Preview
from streamfx.studio.project import UNTITLED, Project, free_name, project_of, save_project
from streamfx.studio.render_command import Given, check_chain
from streamfx.studio.workspace import Workspace


class Session:
    """The state of one page. Each page has a project of its own; the queue is shared."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.project = workspace, workspace.last_project()
        self.key = secrets.token_hex(8)  # of this page, for previews
        self.preview: Preview | None = None  # the answer to the latest request
        self.preview_url = ""  # the latest preview picture
        self.info: MediaInfo | None = None  # of the project's source
        self.subject = ""  # the view that shows what the latest command line is about
        self.unsaved = False
        self._listeners: list[Callable[[str], object]] = []
        if self.project.source:
            try:
                self._describe()
            except (StreamfxError, OSError):
                self.project.source = ""  # the file is gone

    def subscribe(self, listener: Callable[[str], object]) -> None:
        """Call `listener` with what has changed.

        That is "source", "time", "span", "chain", "output", "dream", "timeline", "project", "command" or "preview".
        """
        self._listeners.append(listener)

    def changed(self, what: str) -> None:
        """Tell the views about a change of the project, which is saved soon."""
        self.unsaved = True
        self._name()
        for listener in self._listeners:
            listener(what)

    def choose_source(self, name: str) -> None:
        """Make a file the source. Raises StreamfxError if it cannot be read."""
        previous = self.project.source
        if name == previous:
            return
        self.project.source = name
        try:
            self._describe()
        except StreamfxError:
            self.project.source = previous
            raise
        project = self.project
        project.start, project.end, project.time = None, None, 0.0
        if self.info and self.info.duration:
            project.time = float(self.info.snap(float(self.info.duration) * 0.2))
        self.changed("source")

    def load(self, project: Project) -> None:
        """Save this project and show another one. Raises StreamfxError if its source or chain cannot be used."""
        self.save()
        check_chain(project.chain, self.workspace.library)
        previous, self.project = self.project, project
        try:
            self._describe()
        except StreamfxError:
            self.project = previous
            raise
        self.changed("project")

    def use(self, given: Given) -> None:
        """Set the page to a command line. Raises StreamfxError if its source cannot be used."""
        project, other = replace(self.project), project_of(given)
        project.take(other)
        self.load(project)
        self.subject = "Dream" if other.dream else "Timeline" if other.timeline else "Look"
        self.changed("command")

    def save_as(self, name: str) -> None:
        """Save the project under another name; nothing is overwritten. Raises StreamfxError."""
        if clean_name(name) == self.project.name:
            return
        self.save()
        self.project.name = free_name(name, self.workspace.library)
        save_project(self.project, self.workspace.library)

    def _name(self) -> None:
        """Name a new project after its first file."""
        project = self.project
        file = project.source or project.timeline or str(project.dream.get("start_image") or "")
        if project.name == UNTITLED and file:
            project.name = free_name(Path(file).stem, self.workspace.library)

    def seek(self, time: float) -> None:
        """Move to the frame shown at `time` seconds."""
        if self.info and self.info.duration:
            self.project.time = float(self.info.snap(time))
            self.changed("time")

    def step(self, frames: int) -> None:
        """Move by a number of frames."""
        if self.info:
            self.seek(self.project.time + float(self.info.step) * frames + 1e-6)

    def set_span(self, start: float | None, end: float | None) -> None:
        """Set the in and out points; None for the start and the end of the source. Raises StreamfxError."""
        if start is not None and end is not None and end <= start:
            raise StreamfxError("the out point must be after the in point")
        self.project.start, self.project.end = start, end
        self.changed("span")

    @property
    def time(self) -> Fraction:
        """The moment of the previews, seconds."""
        return self.info.snap(self.project.time) if self.info else Fraction(0)

    @property
    def frame_seconds(self) -> float:
        """Seconds that one frame of the source is shown."""
        return float(self.info.step) if self.info else 0.0

    def source_path(self) -> Path:
        """The file of the source. Raises StreamfxError."""
        return self.workspace.library.existing(self.project.source)

    def request_preview(self) -> None:
        """Ask for the preview of the present moment; it arrives as the change "preview". Needs a running event loop."""
        project = self.project
        number = round((float(self.time) - (project.start or 0.0)) / self.frame_seconds) if self.frame_seconds else 0
        self.preview = None
        self.workspace.previews.request(
            self.key,
            self.source_path(),
            self.time,
            project.chain,
            max(0, number),
            on_event_loop(self._take_preview),
        )

    def _take_preview(self, preview: Preview) -> None:
        self.preview = preview
        if preview.url:
            self.preview_url = preview.url
        for listener in self._listeners:
            listener("preview")

    def save(self) -> None:
        """Save the project if it has changed and there is anything in it. Raises StreamfxError."""
        project = self.project
        if self.unsaved and (project.source or project.dream or project.timeline):
            save_project(project, self.workspace.library)
        self.unsaved = False

    def _describe(self) -> None:
        self.info = describe(self.source_path()) if self.project.source else None
