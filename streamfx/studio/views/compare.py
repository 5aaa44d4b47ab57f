"""The view Compare: before and after with a wipe or side by side, and flicker with its number."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nicegui import ui

from streamfx.errors import StreamfxError
from streamfx.studio.comparison import SECONDS, Side, compare_flicker
from streamfx.studio.event_loop import on_event_loop
from streamfx.studio.notices import explain, warn
from streamfx.studio.routes import frame_url
from streamfx.studio.session import Session
from streamfx.studio.views.transport import Transport

MODES = {"wipe": "Wipe", "split": "Side by side", "flicker": "Flicker"}


class CompareView:
    """Compares the source with the look, and the look with and without coherence."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.transport = Transport(session)
        self._visible = False

    def build(self) -> None:
        """Create the elements."""
        with ui.element("div").classes("stage-column compare"):
            with ui.element("div").classes("compare-head"):
                self.mode = ui.toggle(MODES, value="wipe", on_change=lambda: self._show_mode()).props(
                    "no-caps dense toggle-text-color=dark"
                )
                ui.element("div").classes("grow")
                self.render_both = ui.button(f"Render {SECONDS:g} seconds both ways", on_click=self._compare)
                self.render_both.props("flat dense no-caps")
            with ui.element("div").classes("stage wipe") as self.stage:
                self.before = ui.element("img").classes("picture before").props('alt="Before"')
                self.after = ui.element("img").classes("picture after").props('alt="After"')
                ui.element("div").classes("wipe-line").props('aria-hidden="true"')
                handle = ui.element("input").classes("wipe-handle")
                handle.props('type="range" min="0" max="100" step="0.1" aria-label="Wipe"')  # starts in the middle
                handle.on("input", js_handler="event => studio.wipe(event.target)")
                ui.label("before").classes("tag left")
                ui.label("after").classes("tag right")
            with ui.element("div").classes("flicker") as self.flicker:
                ui.label(
                    "Renders two seconds from the chosen frame on, once with every frame on its own and once with "
                    "coherence, and plays them side by side."
                ).classes("hint")
            self.transport.build()
        self._show_mode()
        self.session.subscribe(self._changed)

    def shown(self) -> None:
        """The view has been opened."""
        self._visible = True
        self._changed("project")

    def hidden(self) -> None:
        """Another view has been opened."""
        self._visible = False

    def play(self) -> None:
        """Play or pause both clips."""
        ui.run_javascript("studio.toggleAll('.flicker video')")

    def _changed(self, what: str) -> None:
        """Show the frame of the source, and the preview."""
        project = self.session.project
        if not self._visible or not project.source:
            return
        if what in ("source", "project", "time"):
            self.before.props(f'src="{frame_url(project.source, self.session.time)}"')
        if what in ("source", "project", "time", "chain"):
            self.session.request_preview()
        if what in ("project", "preview") and self.session.preview_url:
            self.after.props(f'src="{self.session.preview_url}"')

    def _show_mode(self) -> None:
        mode = str(self.mode.value)
        self.stage.set_visibility(mode != "flicker")
        self.flicker.set_visibility(mode == "flicker")
        self.render_both.set_visibility(mode == "flicker")
        self.stage.classes(add="wipe" if mode == "wipe" else "halves", remove="halves" if mode == "wipe" else "wipe")

    async def _compare(self) -> None:
        session, library = self.session, self.session.workspace.library
        self.render_both.disable()
        try:
            source, start = session.project.source, float(session.time)
            if not source:
                raise StreamfxError("choose a clip in the view Media first")
            if session.info and session.info.duration:
                start = max(0.0, min(start, float(session.info.duration) - SECONDS))
            sides = await asyncio.to_thread(
                compare_flicker,
                source,
                start,
                session.project.chain,
                library.state / "compare",
                library.folder,
                on_event_loop(self._report),
            )
        except (StreamfxError, OSError, ValueError, KeyError) as error:
            self._report("")
            warn(explain(error))
        else:
            self._show_sides(sides)
        finally:
            self.render_both.enable()

    def _report(self, text: str) -> None:
        if self.flicker.is_deleted:
            return
        self.flicker.clear()
        with self.flicker:
            ui.label(text).classes("hint").props('role="status"')

    def _show_sides(self, sides: list[Side]) -> None:
        best = min((side.warp_error for side in sides if side.warp_error is not None), default=None)
        self.flicker.clear()
        with self.flicker:
            for side in sides:
                with ui.element("figure").classes("flicker-side"):
                    video = ui.element("video").props("autoplay loop muted playsinline")
                    video.props(f'src="{_address(side.file)}" aria-label="{side.title}"')
                    with ui.element("figcaption"):
                        ui.label(side.title)
                        if side.warp_error is not None:
                            number = ui.label(f"E_warp {side.warp_error:.3g}").classes("number")
                            number.classes("best" if side.warp_error == best else "")
                        if side.sharpness is not None:
                            ui.label(f"sharpness {side.sharpness:.1f}").classes("dim")
        ui.run_javascript("studio.together('.flicker video')")


def _address(file: Path) -> str:
    return f"/studio/compare/{file.parent.name}/{file.name}"
