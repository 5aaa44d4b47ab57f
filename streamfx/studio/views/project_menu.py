"""The name of the project, and the menu to save it under another name and to open other ones."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from nicegui import ui

from streamfx.studio.library import PROJECT_SUFFIX
from streamfx.studio.notices import attempt, note
from streamfx.studio.project import Project, load_project, project_files
from streamfx.studio.session import Session

_SHOWN = 12  # projects


class ProjectMenu:
    """A button of the header."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def build(self) -> None:
        """Create the elements."""
        self.button = ui.button(on_click=self._fill).props('flat dense no-caps icon-right="expand_more"')
        self.button.classes("project").props('title="Projects" aria-haspopup="menu"')
        with self.button:
            self.menu = ui.menu().props('anchor="bottom right" self="top right"').classes("projects")
        self.session.subscribe(lambda what: self._show())
        self._show()

    def _show(self) -> None:
        self.button.set_text(self.session.project.name)

    def _fill(self) -> None:
        self.menu.clear()
        with self.menu:
            name: ui.input = ui.input("Save as", value=self.session.project.name)
            name.props("dense outlined").classes("project-name").on(
                "keydown.enter", lambda: attempt(lambda: self._save_as(str(name.value)))
            )
            for file in project_files(self.session.workspace.library)[:_SHOWN]:
                self._item(file)
            ui.separator()
            ui.menu_item("New project", on_click=lambda: attempt(lambda: self.session.load(Project())))

    def _item(self, file: Path) -> None:
        with ui.menu_item(on_click=lambda: attempt(lambda: self.session.load(load_project(file)))):
            ui.label(file.name.removesuffix(PROJECT_SUFFIX)).classes("grow")
            ui.label(datetime.fromtimestamp(file.stat().st_mtime).strftime("%b %-d, %H:%M")).classes("dim")

    def _save_as(self, name: str) -> None:
        self.session.save_as(name)
        self.menu.close()
        self._show()
        note(f"saved as {self.session.project.name}{PROJECT_SUFFIX}")
