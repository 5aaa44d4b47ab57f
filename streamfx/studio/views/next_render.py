"""The form of the next render: format, options, and its command line, which can be pasted as well."""

from __future__ import annotations

import asyncio

from nicegui import ui

from streamfx.errors import StreamfxError
from streamfx.studio.notices import explain, note, warn
from streamfx.studio.project import EXTENSIONS, Project
from streamfx.studio.session import Session
from streamfx.studio.views.command_line import CommandLine

_OPTIONS = {"size": "Input size", "fps": "Frames/s", "width": "Width", "crf": "Quality (crf)"}
_HINTS = {"size": "source", "fps": "source", "width": "source", "crf": "automatic"}


class NextRender:
    """What "Add to queue" would do now, as a form and as the command line."""

    def __init__(self, session: Session) -> None:
        self.session, self.workspace = session, session.workspace
        self.visible = False
        self.line = CommandLine(session, self._arguments)

    def build(self) -> None:
        """Create the elements."""
        with ui.element("div").classes("card"):
            with ui.element("div").classes("card-head"):
                ui.html("<h2>Next render</h2>")
                self.what = ui.label().classes("grow dim")
                add_all = ui.button("Add all videos", on_click=self._add_all).props("flat dense no-caps")
                add_all.props('title="Queue every video of the folder with these settings"')
            with ui.element("div").classes("fields"):
                self.form = ui.select(list(EXTENSIONS), label="Format", on_change=self._set_format)
                self.form.props("dense outlined options-dense").classes("field")
                self.fields = {name: self._field(name) for name in _OPTIONS}
                self.audio = ui.checkbox("Audio", value=True, on_change=self._set_audio).props("dense")
            self.line.build()
        self.session.subscribe(self._changed)
        self._fill()

    def show(self) -> None:
        """Show the command of the present settings."""
        self.what.set_text(self.session.project.source or "no clip chosen")
        self.line.show()

    def _arguments(self) -> list[str]:
        project = self.session.project
        return project.arguments(self.workspace.target_of(project) if project.source else "")

    def _changed(self, what: str) -> None:
        if what == "project":
            self._fill()
        elif self.visible and what in ("source", "span", "chain", "output"):
            self.show()

    def _field(self, name: str) -> ui.input:
        field = ui.input(_OPTIONS[name], placeholder=_HINTS[name]).props("dense outlined stack-label")
        field.classes("field")
        field.on("blur", lambda: self._set_option(name, str(field.value).strip()))
        return field.on("keydown.enter", lambda: self._set_option(name, str(field.value).strip()))

    def _fill(self) -> None:
        """Show the values of the project in the form."""
        project = self.session.project
        for name, field in self.fields.items():
            field.set_value(str(project.options.get(name, "")))
        self.audio.set_value(bool(project.options.get("audio", True)))
        if project.extension in EXTENSIONS:
            self.form.set_value(project.extension)
        self.show()

    def _set_format(self) -> None:
        if self.form.value != self.session.project.extension:
            self.session.project.extension = str(self.form.value)
            self.session.changed("output")

    def _set_audio(self) -> None:
        if self.audio.value == self.session.project.options.get("audio", True):
            return
        if self.audio.value:
            self.session.project.options.pop("audio", None)
        else:
            self.session.project.options["audio"] = False
        self.session.changed("output")

    def _set_option(self, name: str, text: str) -> None:
        """Set an option; the parser of the command line checks it."""
        options = self.session.project.options
        before = str(options.get(name, ""))
        if text == before:
            return
        options.pop(name, None)
        if text:
            options[name] = text
        try:
            if self.session.project.source:
                self.workspace.read(self.session.project.arguments("out.mp4"))
        except StreamfxError as error:
            options.pop(name, None)
            if before:
                options[name] = before
            self.fields[name].set_value(before)
            warn(str(error))
            return
        self.session.changed("output")

    async def _add_all(self) -> None:
        """Queue every video of the folder with these settings."""
        project, added = self.session.project, 0
        names = [file.name for file in self.workspace.library.media() if file.kind == "video"]
        for name in names:
            if self.workspace.library.resolve(name).is_relative_to(self.workspace.library.output):
                continue  # what has been rendered
            single = Project(name, name, chain=project.chain, extension=project.extension, options=project.options)
            try:
                await asyncio.to_thread(self.workspace.enqueue_project, single)
            except (StreamfxError, OSError) as error:
                warn(explain(error))
                return
            added += 1
        note(f"added {added} video{'' if added == 1 else 's'} to the queue")
