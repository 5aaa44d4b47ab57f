"""One open page: its project, and the views to update when it changes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.studio.frames import MediaInfo, describe
from streamfx.studio.previews import Preview
from streamfx.studio.project import Project, save_project
from streamfx.studio.workspace import Workspace


class Session:
    """The state of one page. Each page has a project of its own; the queue is shared."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.project = workspace, workspace.last_project()
        self.key = secrets.token_hex(8)  # of this page, for previews
        self.preview: Preview | None = None  # the answer to the latest request
        self.preview_url = ""  # the latest preview picture
        self.info: MediaInfo | None = None  # of the project's source
        self.unsaved = False
        self._listeners: list[Callable[[str], object]] = []
        if self.project.source:
            try:
                self._describe()
            except (StreamfxError, OSError):
                self.project.source = ""  # the file is gone

    def subscribe(self, listener: Callable[[str], object]) -> None:
        """Call `listener` with what has changed.

        That is "source", "time", "span", "chain", "output", "dream", "timeline", "project" or "preview".
        """
        self._listeners.append(listener)

    def changed(self, what: str) -> None:
        """Tell the views about a change of the project, which is saved soon."""
        self.unsaved = True
        for listener in self._listeners:
            listener(what)

    def choose_source(self, name: str) -> None:
        """Make a file the source. Raises StreamfxError if it cannot be read."""
        previous = self.project.source
        self.project.source = name
        try:
            self._describe()
        except StreamfxError:
            self.project.source = previous
            raise
        project = self.project
        project.name, project.start, project.end, project.time = Path(name).stem, None, None, 0.0
        if self.info and self.info.duration:
            project.time = float(self.info.snap(float(self.info.duration) * 0.2))
        self.changed("source")

    def load(self, project: Project) -> None:
        """Show another project. Raises StreamfxError if its source cannot be used."""
        previous, self.project = self.project, project
        try:
            if project.source:
                self._describe()
        except StreamfxError:
            self.project = previous
            raise
        self.changed("project")

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
        project, loop = self.project, asyncio.get_running_loop()
        number = round((float(self.time) - (project.start or 0.0)) / self.frame_seconds) if self.frame_seconds else 0
        self.preview = None
        self.workspace.previews.request(
            self.key,
            self.source_path(),
            self.time,
            project.chain,
            max(0, number),
            lambda preview: loop.call_soon_threadsafe(self._take_preview, preview),
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
        self.info = describe(self.source_path())
