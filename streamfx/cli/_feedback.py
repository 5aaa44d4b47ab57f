"""Feedback videos, which generate each frame from the previous one: `streamfx dream --start IMAGE out.mp4`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.cli._options import (
    VideoOptions,
    explicit_size,
    output_of,
    parse_rate,
    parse_time,
    refuse_source_options,
)
from streamfx.cli._run import run
from streamfx.cli._table import print_timetable
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from streamfx.animation.audio_track import AudioAnalysis
    from streamfx.animation.context import Context
    from streamfx.animation.feedback_schedules import Array
    from streamfx.effects.feedback import Feedback

DEFAULT_LENGTH = Fraction(10)  # seconds, without --audio or --duration
MAX_FRAMES = 10**6


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """Size, length and audio of a feedback video."""

    size: tuple[int, int]  # height, width
    rate: Fraction
    count: int  # frames
    context: Context
    audio: str | None
    analysis: AudioAnalysis | None


def plan_video(audio: str | None, seed: int, options: VideoOptions) -> VideoPlan:
    """Set size, rate and length by the options and the audio, which is analyzed. Raises StreamfxError."""
    from streamfx.animation.audio_track import analyze_audio
    from streamfx.animation.context import Context

    refuse_source_options(options, "a video from --start takes --size, --fps and --duration")
    width, height = explicit_size(options, (1280, 720), "a video from --start")
    rate = parse_rate(options.fps) if options.fps else Fraction(30)
    analysis = analyze_audio(audio) if audio is not None else None
    length = DEFAULT_LENGTH if analysis is None else Fraction(analysis.duration)
    if options.duration is not None:
        length = parse_time(options.duration)
    count = max(1, round(length * rate))
    if count > MAX_FRAMES:
        raise StreamfxError(f"{count} frames are more than {MAX_FRAMES}; give a shorter --duration or lower --fps")
    fps = float(rate)
    context = Context(count - 1, fps, seed) if analysis is None else analysis.context(fps, count, seed)
    return VideoPlan((height, width), rate, count, context, audio, analysis)


def describe_schedules(
    tracks: Mapping[str, Array], plan: VideoPlan, plot: str | None, *, dry: bool, overwrite: bool
) -> None:
    """Show the values of the schedules as a plot, as a table, or both."""
    if plot is not None:
        from streamfx.animation.plot import save_plot

        save_plot(Path(plot), tracks, float(plan.rate), plan.analysis, overwrite=overwrite)
    if dry:
        print_timetable(tracks, float(plan.rate))


def make_feedback(
    image: str, target: str, effect: Feedback, plan: VideoPlan, options: VideoOptions, facts: dict[str, object]
) -> None:
    """Make a feedback video that starts from an image, with its audio."""
    from streamfx.jobs.generated import AudioInput, StillSource, load_image
    from streamfx.jobs.job import Job

    audio = AudioInput(plan.audio) if plan.audio is not None else None
    files = [image, *([plan.audio] if plan.audio is not None else [])]
    source = StillSource(load_image(image), plan.count, plan.count / plan.rate, files, audio)
    job = Job(source, target, [effect], output_of(options), device=options.device, segment=options.segment)
    run(job, options, facts)
