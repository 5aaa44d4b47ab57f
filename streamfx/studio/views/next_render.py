"""The form of the next render: format, options, and its command line, which can be pasted as well."""

from __future__ import annotations

import asyncio

from nicegui import ui

from streamfx.errors import StreamfxError
from streamfx.studio.notices import attempt, explain, note, warn
from streamfx.studio.project import EXTENSIONS, Project, project_of
from streamfx.studio.render_command import check_command, shell_line, split_line
from streamfx.studio.session import Session

_OPTIONS = {"size": "Input size", "fps": "Frames/s", "width": "Width", "crf": "Quality (crf)"}
_HINTS = {"size": "1280x720", "fps": "24", "width": "1920", "crf": "18"}


class NextRender:
    """What "Add to queue" would do now, as a form and as the command line."""

    def __init__(self, session: Session) -> None:
        self.session, self.workspace = session, session.workspace
        self.visible = False
        self._target = ""

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
            with ui.element("div").classes("command"):
                self.line = ui.input(label="As a command").props("dense outlined spellcheck=false")
                self.line.classes("mono grow").on("keydown.enter", self._take_line)
                use = ui.button("Use", on_click=self._take_line).props("flat dense no-caps")
                use.props('title="Set the page to a pasted streamfx line"')
                ui.button("Copy", on_click=self._copy).props("flat dense no-caps")
        self.session.subscribe(lambda what: self.show() if self.visible and what != "time" else None)
        self._fill()

    def show(self) -> None:
        """Show the command of the present settings."""
        project = self.session.project
        self.what.set_text(project.source or "no clip chosen")
        try:
            self._target = self.workspace.target_of(project)
            self.line.set_value(shell_line(project.arguments(self._target)))
        except StreamfxError:
            self.line.set_value("")

    def _field(self, name: str) -> ui.input:
        field = ui.input(_OPTIONS[name], placeholder=_HINTS[name]).props("dense outlined").classes("field")
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

    def _take_line(self) -> None:
        """Set the page to the line."""

        def take() -> None:
            arguments = split_line(str(self.line.value))
            given, _ = check_command(arguments, self.workspace.read, self.workspace.library)
            self.session.load(project_of(given))
            self._fill()
            note("the page is set to this command")

        attempt(take)

    def _copy(self) -> None:
        def copy() -> None:
            text = shell_line(split_line(str(self.line.value)), self.workspace.library.folder)
            ui.clipboard.write(text)
            note("copied, with the folder")

        attempt(copy)
