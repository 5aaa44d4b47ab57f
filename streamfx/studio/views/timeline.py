"""The view Timeline: a timeline file as lanes over its audio, and as text with its errors."""

from __future__ import annotations

import asyncio
from html import escape
from pathlib import Path

from nicegui import background_tasks, ui

from streamfx.errors import StreamfxError
from streamfx.studio.chain_edit import Problem
from streamfx.studio.event_loop import on_event_loop
from streamfx.studio.format import clock
from streamfx.studio.lanes import LANES, Block, Lanes, read_lanes, save_text
from streamfx.studio.music import MusicPlan, draw_audio
from streamfx.studio.notices import attempt, explain, note, warn
from streamfx.studio.previews import Preview
from streamfx.studio.routes import BLANK, file_url, thumbnail_url
from streamfx.studio.session import Session
from streamfx.studio.views.command_line import CommandLine

_EXAMPLE = """kind = "timeline"
size = [640, 360]
fps = 30

[pictures]
begin = "fractal.png"

[[section]]
name = "in"
start = "begin"
to = "4s"
zoom = 1.01
layer = "block10"
"""


class TimelineView:
    """Opens, shows, edits and renders timelines."""

    def __init__(self, session: Session) -> None:
        self.session, self.library = session, session.workspace.library
        self.lanes: Lanes | None = None
        self.chosen = ""  # name of a section
        self._visible = False
        self._opened = ""  # the file that is shown
        self._saved = ""  # its text on disk
        self._check = 0  # number of the latest check
        self.line = CommandLine(
            session, lambda: session.project.timeline_arguments(_target(session, self.chosen), self.chosen)
        )

    def build(self) -> None:
        """Create the elements."""
        with ui.element("div").classes("stage-column timeline"):
            with ui.element("div").classes("compare-head"):
                self.file: ui.select = ui.select(
                    [], label="Timeline", on_change=lambda: self._open(str(self.file.value or ""))
                )
                self.file.props("dense outlined options-dense").classes("wide-field")
                self.facts = ui.label().classes("facts grow")
                self.save_button = ui.button("Save", icon="save", on_click=lambda: attempt(self._save))
                self.save_button.props("flat dense no-caps")
                preview = ui.button("Preview", icon="bolt", on_click=lambda: self._enqueue("", preview=True))
                preview.props('flat dense no-caps title="A quarter of the size, every fourth frame"')
                ui.button("Render", icon="movie", on_click=lambda: self._enqueue("")).props("flat dense no-caps")
            with ui.element("div").classes("lanes dream"):
                self.rows = {lane: self._lane(lane) for lane in LANES}
                with ui.element("div").classes("lane"):
                    ui.label("audio").classes("lane-name")
                    with ui.element("div").classes("wave-lane"):
                        self.wave = ui.html("").classes("drawing")
                        ui.element("div").classes("cursor").props('aria-hidden="true"')
            self.player = ui.element("audio").props("controls preload=metadata")
            self.player.set_visibility(False)
            with ui.element("div").classes("timeline-foot"):
                self.detail = ui.element("div").classes("card section-detail")
                with ui.element("div").classes("text-column"):
                    self.text: ui.codemirror = ui.codemirror(
                        language="TOML", theme="vscodeDark", on_change=lambda: self._edited()
                    )
                    self.text.classes("toml").props('aria-label="Timeline as text"')
                    self.problem = ui.html("").classes("chain-problem").props('role="alert"')
                    self.problem.set_visibility(False)
            self.line.build()
        self.session.subscribe(lambda what: self.shown() if what == "project" and self._visible else None)

    def shown(self) -> None:
        """The view has been opened."""
        self._visible = True
        names = [file.name for file in self.library.media() if file.kind == "timeline"]
        name = self.session.project.timeline
        self.file.set_options(names, value=name if name in names else None)
        if name in names:
            self._open(name)
            self.line.show()
        elif not names:
            self.facts.set_text("no timeline (.toml) in this folder; drop one on the page")
            self.text.set_value(_EXAMPLE)

    def hidden(self) -> None:
        """Another view has been opened."""
        self._visible = False
        ui.run_javascript("studio.pauseAll('.timeline audio')")

    def play(self) -> None:
        """Play or pause the audio."""
        ui.run_javascript("studio.toggleAll('.timeline audio')")

    def _lane(self, name: str) -> ui.element:
        with ui.element("div").classes("lane"):
            ui.label(name).classes("lane-name")
            return ui.element("div").classes("blocks").props(f'role="list" aria-label="{name} sections"')

    def _open(self, name: str) -> None:
        if not name or name == self._opened:
            return

        def read() -> None:
            self._saved = self.library.existing(name).read_text(encoding="utf-8", errors="replace")
            self._opened, self.chosen = name, ""
            if name != self.session.project.timeline:
                self.session.project.timeline, self.session.project.timeline_options = name, {}
            self.session.changed("timeline")
            self.text.set_value(self._saved)
            self._edited()

        attempt(read)

    def _edited(self) -> None:
        """Check the text on another thread; only the newest text counts."""
        text = str(self.text.value or "")
        self.save_button.set_enabled(text != self._saved)
        if self.session.project.timeline:
            self._check += 1
            background_tasks.create(self._read(text, self._check), name="read the timeline")

    async def _read(self, text: str, number: int) -> None:
        await asyncio.sleep(0.2)
        if number != self._check:
            return
        path = self._path()
        lanes = await asyncio.to_thread(read_lanes, path, text)
        if number != self._check or self.problem.is_deleted:
            return
        self.problem.set_visibility(isinstance(lanes, Problem))
        if isinstance(lanes, Problem):
            self.problem.set_content(f"<p>{escape(lanes.message)}</p>{_marked_line(text, lanes.offset)}")
            return
        self.lanes = lanes
        self._draw()

    def _draw(self) -> None:
        assert self.lanes is not None
        lanes = self.lanes
        for lane, row in self.rows.items():
            row.clear()
            with row:
                for block in lanes.blocks:
                    if block.lane == lane:
                        self._block(block, lanes.seconds)
        analysis = lanes.analysis
        if analysis is not None:
            from streamfx.animation.context import Context

            self.wave.set_content(draw_audio(MusicPlan(lanes.seconds, Context(0, lanes.fps), analysis)))
            name = self.library.name_of(Path(lanes.audio).resolve())
            self.player.props(f'src="{file_url(name)}"')
        self.player.set_visibility(analysis is not None)
        self.wave.client.run_javascript(f"studio.follow('.timeline', {lanes.seconds})")
        self.facts.set_text(f"{clock(lanes.seconds, 1)} · {lanes.fps} frames/s · {len(lanes.blocks)} sections")
        self._show_detail()

    def _block(self, block: Block, seconds: float) -> None:
        button = ui.element("button").classes(
            f"section-block {block.lane}" + (" chosen" if block.name == self.chosen else "")
        )
        button.props('type="button"')
        button.style(f"left:{100 * block.start / seconds:.3f}%;width:{100 * block.seconds / seconds:.3f}%")
        button.on("click", lambda: self._choose(block.name))
        with button:
            ui.label(block.name)

    def _choose(self, name: str) -> None:
        self.chosen = "" if name == self.chosen else name
        self._draw()
        self.line.show()

    def _show_detail(self) -> None:
        """The chosen section: its picture, its part of the file, and buttons to render it."""
        self.detail.clear()
        block = next((block for block in self.lanes.blocks if block.name == self.chosen), None) if self.lanes else None
        with self.detail:
            if block is None:
                ui.label("Click a section to see its settings.").classes("hint")
                return
            with ui.element("div").classes("card-head"):
                ui.html(f"<h2>{escape(block.name)}</h2>")
                ui.label(f"{clock(block.start, 1)} to {clock(block.start + block.seconds, 1)}").classes("dim grow")
                ui.button("Preview", on_click=lambda: self._enqueue(block.name, preview=True)).props(
                    "flat dense no-caps"
                )
                ui.button("Render", on_click=lambda: self._enqueue(block.name)).props("flat dense no-caps")
            with ui.element("div").classes("section-body"):
                self._section(block)
        self._paint(block.name)

    def _section(self, block: Block) -> None:
        """A frame of a section, and its part of the file."""
        with ui.element("figure"):
            self.frame = ui.element("img").classes("start-image").props(f'alt="A frame of it" src="{BLANK}"')
            if block.picture:
                name = self.library.name_of(Path(block.picture).resolve())
                self.frame.props(f'src="{thumbnail_url(name)}"')
            self.frame_text = ui.label("painting a frame of it …").classes("facts").props('role="status"')
        ui.label(block.text).classes("mono section-text")

    def _paint(self, name: str) -> None:
        """Paint a frame of a section in the background."""
        assert self.lanes is not None
        frame, text = self.frame, self.frame_text

        def show(preview: Preview) -> None:
            if frame.is_deleted:
                return
            if preview.url:
                frame.props(f'src="{preview.url}" data-section="{escape(name)}"')
            text.set_text(preview.message or "a coarse frame from its middle")

        previews = self.session.workspace.previews
        previews.paint_section(self.session.key, self.lanes, name, on_event_loop(show))

    def _save(self) -> None:
        text = str(self.text.value or "")
        save_text(self._path(), text)
        self._saved = text
        self.save_button.set_enabled(False)
        note("saved")

    def _path(self) -> Path:
        if not self.session.project.timeline:
            raise StreamfxError("choose a timeline first")
        return self.library.existing(self.session.project.timeline)

    async def _enqueue(self, section: str, *, preview: bool = False) -> None:
        await enqueue_timeline(self.session, section, preview=preview)


async def enqueue_timeline(session: Session, section: str = "", *, preview: bool = False) -> None:
    """Queue the render of a timeline, of one section, or of a small preview."""
    try:
        target = _target(session, section, *(["preview"] if preview else []))
        arguments = session.project.timeline_arguments(target, section, preview=preview)
        entry = await asyncio.to_thread(session.workspace.enqueue, arguments)
    except (StreamfxError, OSError) as error:
        warn(explain(error))
        return
    note(f"added to the queue: {entry.target}")


def _target(session: Session, *parts: str) -> str:
    """A free name for a video of the timeline."""
    stem = "-".join(filter(None, (Path(session.project.timeline).stem, *parts)))
    return session.workspace.free_target(stem, "mp4")


def _marked_line(text: str, offset: int | None) -> str:
    """The line at an offset as HTML."""
    if offset is None:
        return ""
    number = text.count("\n", 0, offset) + 1
    line = text.splitlines()[number - 1] if text.splitlines()[number - 1 : number] else ""
    return f"<code>{number}: <mark>{escape(line) or '&nbsp;'}</mark></code>"
