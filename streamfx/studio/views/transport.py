"""The controls of time: a slider over the clip, steps of one frame, in and out points."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from streamfx.studio.format import clock
from streamfx.studio.notices import attempt
from streamfx.studio.session import Session


class Transport:
    """A row of controls for the moment of the previews."""

    def __init__(self, session: Session, play: Callable[[], object] | None = None) -> None:
        """`play` starts and stops playback; without it there is no button for it."""
        self.session, self._play = session, play
        self._silent = False
        session.subscribe(self._changed)

    def build(self) -> None:
        """Create the elements."""
        session = self.session
        with ui.element("div").classes("transport"):
            if self._play is not None:
                self.button = _icon("play_arrow", "Play (space)", self._play)
            _icon("chevron_left", "One frame back (left arrow)", lambda: session.step(-1))
            _icon("chevron_right", "One frame forward (right arrow)", lambda: session.step(1))
            with ui.element("div").classes("track"):
                self.span = ui.element("div").classes("span")
                self.slider = ui.slider(min=0, max=1, step=0.001, on_change=self._moved)
                self.slider.props('aria-label="Time" dense')
            self.time = ui.label().classes("time").props('aria-live="off"')
            ui.button("In", on_click=self._set_in).props('flat dense no-caps title="Start here (I)"')
            ui.button("Out", on_click=self._set_out).props('flat dense no-caps title="End here (O)"')
            self.clear = ui.button("Whole clip", on_click=lambda: session.set_span(None, None))
            self.clear.props("flat dense no-caps")
        self._changed("source")

    def _moved(self) -> None:
        if not self._silent and self.slider.value is not None:
            self.session.seek(float(self.slider.value) + 1e-6)

    def _set_in(self) -> None:
        project = self.session.project
        attempt(lambda: self.session.set_span(project.time, project.end))

    def _set_out(self) -> None:
        project = self.session.project
        attempt(lambda: self.session.set_span(project.start, project.time + self.session.frame_seconds))

    def _changed(self, what: str) -> None:
        if what not in ("source", "time", "span", "project"):
            return
        info, project = self.session.info, self.session.project
        duration = float(info.duration) if info and info.duration else 0.0
        self.slider.set_enabled(duration > 0)
        if what in ("source", "project") and info:
            self.slider.props(f"max={max(0.001, duration - float(info.step)):.6f} step={float(info.step):.6f}")
        self._silent = True
        self.slider.set_value(project.time)
        self._silent = False
        number = round(project.time / self.session.frame_seconds) if info else 0
        self.time.set_text(f"{clock(project.time, 2)} / {clock(duration, 2)} · frame {number}" if duration else "still")
        start, end = project.start or 0.0, project.end if project.end is not None else duration
        left, width = (100 * value / (duration or 1) for value in (start, max(0.0, min(end, duration) - start)))
        self.span.style(f"left:{left:.2f}%;width:{width:.2f}%")
        cut = project.start is not None or project.end is not None
        self.span.set_visibility(cut)
        self.clear.set_visibility(cut)


def _icon(name: str, label: str, action: Callable[[], object]) -> ui.button:
    button = ui.button(icon=name, on_click=lambda: attempt(action)).props("flat round dense")
    return button.props(f'aria-label="{label}" title="{label}"')
