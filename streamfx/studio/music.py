"""A dream video from an image and an audio track: its schedules as curves, and the audio as a drawing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamfx.animation.context import Context
from streamfx.animation.feedback_schedules import AUDIO_SCHEDULES, DEFAULT_SCHEDULES, check_schedules, layer_indices
from streamfx.errors import ParseError, StreamfxError
from streamfx.studio.chain_edit import Problem
from streamfx.studio.library import Library

if TYPE_CHECKING:
    from streamfx.animation.audio_track import AudioAnalysis

SCHEDULES = tuple(DEFAULT_SCHEDULES)
DEFAULT_SECONDS = 10.0
PREVIEW = {"size": "320x180", "fps": "10"}  # options of a preview video
POINTS = 600  # of a curve, and of the waveform
_MAX_FRAMES = 200_000  # of a curve
_WIDTH, _HEIGHT = 1000.0, 100.0  # of the drawings


@dataclass(frozen=True, slots=True)
class Curve:
    """A schedule's value over the video."""

    values: tuple[float, ...]  # at most POINTS, evenly spaced
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class MusicPlan:
    """Length and audio of a dream video."""

    seconds: float
    context: Context
    analysis: AudioAnalysis | None

    @property
    def defaults(self) -> Mapping[str, str]:
        """The schedules that apply where none is given."""
        return DEFAULT_SCHEDULES if self.analysis is None else AUDIO_SCHEDULES


def plan_music(dream: Mapping[str, Any], library: Library) -> MusicPlan:
    """The plan for the parameters of `streamfx dream --start`. Analyzing new audio takes seconds.

    Raises StreamfxError for audio that cannot be used.
    """
    audio = dream.get("audio_file")
    analysis = None
    if audio:
        path = library.existing(str(audio))
        analysis = _analysis(path, path.stat().st_mtime_ns)
    seconds = _number(dream.get("duration")) or (analysis.duration if analysis else DEFAULT_SECONDS)
    fps = _number(dream.get("fps")) or 30.0
    count = max(1, round(seconds * fps))
    if count > _MAX_FRAMES:
        raise StreamfxError(f"{count} frames are too many to draw; give a shorter duration")
    seed = int(_number(dream.get("seed")))
    context = Context(count - 1, fps, seed) if analysis is None else analysis.context(fps, count, seed)
    return MusicPlan(seconds, context, analysis)


@lru_cache(maxsize=4)
def _analysis(path: Path, modified: int) -> AudioAnalysis:
    from streamfx.animation.audio_track import analyze_audio

    return analyze_audio(path)


def curve_of(name: str, text: str, plan: MusicPlan, layers: int = 1) -> Curve | Problem:
    """The curve of a schedule, by default that of the plan, or what is wrong with its text."""
    from dataclasses import replace

    from streamfx.animation.schedule import parse_schedule

    text = text.strip() or plan.defaults[name]
    try:
        check_schedules({name: text}, plan.context, layers)
        known = replace(plan.context, layers=layer_indices(plan.context, layers))
        values = parse_schedule(text, name).values(plan.context.last + 1, known)
    except ParseError as error:
        return Problem(str(error), error.offset)
    except StreamfxError as error:
        return Problem(str(error), None)
    step = max(1, len(values) // POINTS)
    return Curve(tuple(float(value) for value in values[::step]), float(values.min()), float(values.max()))


def draw_audio(plan: MusicPlan) -> str:
    """An SVG of the waveform with beats, onsets and sections; an empty one without audio."""
    shapes: list[str] = []
    if plan.analysis is not None:
        audio, seconds = plan.analysis, plan.seconds
        edges = [*(float(time) for time in audio.sections if time < seconds), seconds]
        for number, (start, stop) in enumerate(pairwise(edges)):
            place = f'x="{_x(start, seconds):.2f}" width="{_x(stop - start, seconds):.2f}" y="0" height="100"'
            shapes.append(f'<rect class="section s{number % 2}" {place}/>')
        shapes += [_line("onset", time, seconds, 86, 100) for time in audio.onsets if time < seconds]
        shapes += [_line("beat", time, seconds, 0, 100) for time in audio.beats if time < seconds]
        shapes.append(f'<path class="wave" d="{_waveform(audio, seconds)}"/>')
    return _svg(shapes)


def draw_curve(curve: Curve) -> str:
    """An SVG of a curve between its lowest and its highest value."""
    span = (curve.high - curve.low) or 1.0
    last = max(1, len(curve.values) - 1)
    points = (
        f"{_WIDTH * number / last:.1f},{92 - 84 * (value - curve.low) / span:.1f}"
        for number, value in enumerate(curve.values)
    )
    return _svg([f'<polyline class="curve" points="{" ".join(points)}"/>'])


def _waveform(audio: AudioAnalysis, seconds: float) -> str:
    """The outline of the waveform around the middle."""
    count = max(1, round(min(1.0, seconds / audio.duration) * len(audio.wave))) if audio.duration else 1
    wave = audio.wave[:count]
    size = max(1, -(-len(wave) // POINTS))
    peaks = [float(wave[start : start + size].max()) for start in range(0, len(wave), size)]
    shown = _x(min(seconds, audio.duration), seconds) / max(1, len(peaks))
    top = [f"{number * shown:.1f},{50 - 46 * min(1.0, peak):.1f}" for number, peak in enumerate(peaks)]
    bottom = [f"{number * shown:.1f},{50 + 46 * min(1.0, peak):.1f}" for number, peak in enumerate(peaks)]
    return f"M{' L'.join(top + bottom[::-1])} Z"


def _x(time: float, seconds: float) -> float:
    return _WIDTH * float(time) / seconds if seconds else 0.0


def _line(kind: str, time: float, seconds: float, top: float, bottom: float) -> str:
    x = _x(time, seconds)
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def _svg(shapes: Iterable[str]) -> str:
    box = f'viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" preserveAspectRatio="none"'
    return f'<svg {box} xmlns="http://www.w3.org/2000/svg" aria-hidden="true">{"".join(shapes)}</svg>'


def _number(text: Any) -> float:
    """A number, or 0 for none; "30000/1001" and "0:10" as well. Raises StreamfxError."""
    if text in (None, ""):
        return 0.0
    total = Fraction(0)
    try:
        for part in str(text).split(":"):
            total = total * 60 + Fraction(part.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise StreamfxError(f"'{text}' is not a number") from error
    return float(total)
