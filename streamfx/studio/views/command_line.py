"""A field with the command line of what the page would do; a pasted line sets the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import ui

from streamfx.errors import StreamfxError
from streamfx.studio.notices import attempt, note
from streamfx.studio.render_command import check_command, shell_line, split_line
from streamfx.studio.session import Session


class CommandLine:
    """Shows the command of a view, and takes any other one."""

    def __init__(self, session: Session, arguments: Callable[[], Sequence[str]]) -> None:
        """`arguments` returns those after "streamfx"; it raises StreamfxError as long as something is missing."""
        self.session, self._arguments = session, arguments

    def build(self) -> None:
        """Create the elements."""
        with ui.element("div").classes("command"):
            self.line: ui.textarea = ui.textarea("As a command").props("dense outlined autogrow spellcheck=false")
            self.line.classes("mono grow").on("keydown.enter.prevent", self._use)
            use = ui.button("Use", on_click=self._use).props("flat dense no-caps")
            use.props('title="Set the page to a pasted streamfx line"')
            ui.button("Copy", on_click=lambda: attempt(self._copy)).props("flat dense no-caps")

    def show(self) -> None:
        """Show the command of the present settings; nothing as long as something is missing."""
        try:
            self.line.set_value(shell_line(self._arguments()))
        except StreamfxError:
            self.line.set_value("")

    def _use(self) -> None:
        def use() -> None:
            workspace = self.session.workspace
            given, _ = check_command(split_line(str(self.line.value)), workspace.read, workspace.library)
            self.session.use(given)
            note("the page is set to this command")

        attempt(use)

    def _copy(self) -> None:
        ui.clipboard.write(shell_line(split_line(str(self.line.value)), self.session.workspace.library.folder))
        note("copied, with the folder")
