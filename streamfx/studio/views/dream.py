"""The view Dream: a video from one image and an audio track, with each schedule as a curve over it."""

from __future__ import annotations

import asyncio
from html import escape
from pathlib import Path

from nicegui import background_tasks, ui

from streamfx.errors import StreamfxError
from streamfx.presets import load_look, preset_files
from streamfx.studio.chain_edit import Problem
from streamfx.studio.format import clock
from streamfx.studio.music import PREVIEW, SCHEDULES, MusicPlan, curve_of, draw_audio, draw_curve, plan_music
from streamfx.studio.notices import explain, note, warn
from streamfx.studio.queue import ENDED, Entry
from streamfx.studio.routes import file_url, thumbnail_url
from streamfx.studio.session import Session
from streamfx.studio.views.command_line import CommandLine
from streamfx.studio.views.layer_picker import LayerPicker

_HELP = {
    "zoom": "factor a frame",
    "angle": "degrees a frame",
    "shift_x": "pixels a frame to the right",
    "shift_y": "pixels a frame down",
    "step": "strength of each step, 0 to 1",
    "view": "share of the start image, 0 to 1",
}
_FIELDS = {"duration": ("Length", "audio"), "size": ("Size", "1280x720"), "fps": ("Frames/s", "30")}

_POLL = 0.5  # seconds


class DreamView:
    """Image, audio, look and schedules of a dream video."""

    def __init__(self, session: Session) -> None:
        self.session, self.workspace = session, session.workspace
        self.layers = LayerPicker(session)
        self.line = CommandLine(session, lambda: session.project.dream_arguments(_target(session)))
        self._preview: int | None = None  # id of the render of the preview
        self.plan: MusicPlan | None = None
        self._visible = False
        self._fields: dict[str, ui.input] = {}

    def build(self) -> None:
        """Create the elements."""
        with ui.element("div").classes("split dream"):
            with ui.element("aside").classes("side"):
                self._inputs()
            with ui.element("div").classes("dream-main"):
                self._audio()
                self._schedules()
                self.line.build()
        ui.timer(_POLL, self._show_preview)
        self.session.subscribe(self._changed)

    def shown(self) -> None:
        """The view has been opened."""
        self._visible = True
        self._reload()

    def hidden(self) -> None:
        """Another view has been opened."""
        self._visible = False
        ui.run_javascript("studio.pauseAll('.dream audio')")

    def play(self) -> None:
        """Play or pause the audio."""
        ui.run_javascript("studio.toggleAll('.dream audio')")

    def _changed(self, what: str) -> None:
        if what == "project":
            self._forget_preview()
        if self._visible and what == "project":
            self._reload()
        if self._visible and what in ("project", "dream"):
            self.line.show()

    def _inputs(self) -> None:
        with ui.element("div").classes("side-head"):
            ui.html("<h2>Dream</h2>")
            preview = ui.button("Preview", icon="bolt", on_click=self._render_preview)
            preview.props('flat dense no-caps title="Render a small video at 10 frames/s now"')
        self.image: ui.select = ui.select(
            [], label="Start image", on_change=lambda: self._set("start_image", self.image.value)
        )
        self.thumbnail = ui.element("img").classes("start-image").props('alt="Start image"')
        self.video = ui.element("video").classes("start-image").props('controls playsinline aria-label="Preview"')
        self.video.set_visibility(False)
        self.progress = ui.label().classes("facts").props('role="status"')
        self.audio: ui.select = ui.select(
            [], label="Audio", on_change=lambda: self._set("audio_file", self.audio.value)
        )
        looks = {"": "default", **{name: _look_title(name) for name in preset_files("dream")}}
        self.look: ui.select = ui.select(looks, label="Look", on_change=lambda: self._set("look", self.look.value))
        for select in (self.image, self.audio, self.look):
            select.props("dense outlined options-dense")
        with ui.element("div").classes("fields"):
            for name, (label, hint) in _FIELDS.items():
                field = ui.input(label, placeholder=hint).props("dense outlined stack-label")
                field.classes("field third")
                field.on("blur", lambda name=name, field=field: self._set(name, str(field.value).strip()))
                self._fields[name] = field
        self.layers.build(lambda layer: self._set("layer", layer))

    def _audio(self) -> None:
        with ui.element("div").classes("wave-lane") as self.lane:
            self.wave = ui.html("").classes("drawing")
            ui.element("div").classes("cursor").props('aria-hidden="true"')
        with ui.element("div").classes("wave-foot"):
            self.player = ui.element("audio").props("controls preload=metadata")
            self.player.set_visibility(False)
            self.facts = ui.label().classes("facts")
            self.legend = ui.html('<span class="key beat"></span>beats <span class="key onset"></span>onsets')

    def _schedules(self) -> None:
        self.curves: dict[str, ui.html] = {}
        self.texts: dict[str, ui.input] = {}
        self.problems: dict[str, ui.html] = {}
        with ui.element("div").classes("schedules"):
            for name in SCHEDULES:
                with ui.element("div").classes("schedule-row"):
                    with ui.element("div").classes("schedule-head"):
                        ui.label(name.replace("_", " ")).classes("setting-name")
                        ui.label(_HELP.get(name, "")).classes("dim")
                    with ui.element("div").classes("curve-lane"):
                        self.curves[name] = ui.html("").classes("drawing")
                        ui.element("div").classes("cursor").props('aria-hidden="true"')
                    field = ui.input(on_change=lambda name=name: self._edit(name))
                    field.props(f'dense outlined spellcheck=false debounce="150" aria-label="Schedule of {name}"')
                    self.texts[name] = field.classes("mono")
                    self.problems[name] = ui.html("").classes("chain-problem").props('role="alert"')
                    self.problems[name].set_visibility(False)

    def _reload(self) -> None:
        """Show the project, and analyze its audio."""
        files = self.workspace.library.media()
        dream = self.session.project.dream
        images = [file.name for file in files if file.kind == "image"]
        sounds = [file.name for file in files if file.kind in ("audio", "video")]
        for select, names, key in ((self.image, images, "start_image"), (self.audio, sounds, "audio_file")):
            value = dream.get(key) if dream.get(key) in names else None
            select.set_options({"": "none", **{name: name for name in names}}, value=value or "")
        self.look.set_value(dream.get("look") or "")
        for name, field in self._fields.items():
            field.set_value(str(dream.get(name) or ""))
        for name, field in self.texts.items():
            field.set_value(str(dream.get(name) or ""))
        self._show_inputs()
        self.line.show()
        background_tasks.create(self._analyze(), name="analyze audio")

    def _set(self, name: str, value: object) -> None:
        dream = self.session.project.dream
        if (value or None) == (dream.get(name) or None):
            return
        dream.pop(name, None)
        if value:
            dream[name] = value
        if name == "start_image":
            self._forget_preview()
        self.session.changed("dream")
        self._show_inputs()
        if name in ("audio_file", "duration", "fps", "seed"):
            background_tasks.create(self._analyze(), name="analyze audio")

    def _show_inputs(self) -> None:
        dream = self.session.project.dream
        image, audio = str(dream.get("start_image") or ""), str(dream.get("audio_file") or "")
        self.thumbnail.set_visibility(bool(image) and not self.video.visible)
        if image:
            self.thumbnail.props(f'src="{thumbnail_url(image)}"')
        self.player.set_visibility(bool(audio))
        if audio:
            self.player.props(f'src="{file_url(audio)}"')
        self.layers.show(image, str(dream.get("layer") or ""))

    async def _analyze(self) -> None:
        """Analyze the audio on another thread, and draw everything."""
        self.facts.set_text("analyzing the audio …" if self.session.project.dream.get("audio_file") else "")
        try:
            self.plan = await asyncio.to_thread(plan_music, dict(self.session.project.dream), self.workspace.library)
        except (StreamfxError, OSError) as error:
            self.facts.set_text(explain(error))
            return
        if self.wave.is_deleted:
            return
        plan = self.plan
        self.wave.set_content(draw_audio(plan))
        for element in (self.lane, self.legend):
            element.set_visibility(plan.analysis is not None)
        text = f"{clock(plan.seconds, 1)} · {plan.context.last + 1} frames"
        if plan.analysis is not None:
            audio = plan.analysis
            count = len(audio.sections)
            text += f" · {audio.bpm:.0f} beats a minute · {count} section{'' if count == 1 else 's'}"
        self.facts.set_text(text)
        self.wave.client.run_javascript(f"studio.follow('.dream', {plan.seconds})")
        for name in SCHEDULES:
            self._edit(name)  # it may have been edited during the analysis

    def _edit(self, name: str) -> None:
        """A schedule was edited: draw it if it is valid, else show what is wrong and where."""
        text = str(self.texts[name].value or "").strip()
        if self._draw(name):
            self._set(name, text)

    def _draw(self, name: str) -> bool:
        """Draw the curve of a schedule; False if its text is invalid."""
        if self.plan is None:
            return False
        text = str(self.texts[name].value or "").strip()
        layers = len(str(self.session.project.dream.get("layer") or "").split(","))
        curve = curve_of(name, text, self.plan, layers)
        self.problems[name].set_visibility(isinstance(curve, Problem))
        self.texts[name].props(f'placeholder="{escape(self.plan.defaults[name])}"')
        if isinstance(curve, Problem):
            self.problems[name].set_content(_marked(text, curve))
            return False
        ends = f'<span class="range">{curve.high:.4g}</span><span class="range low">{curve.low:.4g}</span>'
        self.curves[name].set_content(draw_curve(curve) + ends)
        return True

    async def _render_preview(self) -> None:
        """Put a small video at the head of the queue."""
        entry = await enqueue_dream(self.session, preview=True)
        if entry is not None:
            self._preview = entry.id
            self.workspace.queue.move(entry.id, -len(self.workspace.queue.entries))

    def _forget_preview(self) -> None:
        """Show the image again."""
        self._preview = None
        self.progress.set_text("")
        self.video.set_visibility(False)

    def _show_preview(self) -> None:
        """Show the progress of the preview, and then the video in place of the image."""
        if self._preview is None:
            return
        entry = next((entry for entry in self.workspace.queue.entries if entry.id == self._preview), None)
        self.progress.set_text("" if entry is None or entry.state == "finished" else f"preview: {entry.text}")
        if entry is None or entry.state in ENDED:
            self._preview = None
        if entry is not None and entry.state == "finished":
            self.video.props(f'src="{file_url(entry.target)}"').set_visibility(True)
            self._show_inputs()


async def enqueue_dream(session: Session, *, preview: bool = False) -> Entry | None:
    """Queue the dream video, or a small preview of it; an error is shown as a message."""
    try:
        arguments = session.project.dream_arguments(_target(session, preview=preview), PREVIEW if preview else {})
        entry = await asyncio.to_thread(session.workspace.enqueue, arguments)
    except (StreamfxError, OSError) as error:
        warn(explain(error))
        return None
    note(f"added to the queue: {entry.target}")
    return entry


def _target(session: Session, *, preview: bool = False) -> str:
    """A free name for the video."""
    stem = Path(str(session.project.dream.get("start_image") or "dream")).stem
    return session.workspace.free_target(f"{stem}-dream{'-preview' if preview else ''}", "mp4")


def _marked(text: str, problem: Problem) -> str:
    """A problem as HTML, with the character at fault."""
    if problem.offset is None:
        return f"<p>{escape(problem.message)}</p>"
    before, at, after = text[: problem.offset], text[problem.offset : problem.offset + 1], text[problem.offset + 1 :]
    marked = f"{escape(before)}<mark>{escape(at) or '&nbsp;'}</mark>{escape(after)}"
    return f"<p>{escape(problem.message)}</p><code>{marked}</code>"


def _look_title(name: str) -> str:
    try:
        return load_look(name).title or name
    except StreamfxError:
        return name
