"""`streamfx render`: a video from a timeline."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from streamfx.cli._console import STDERR
from streamfx.cli._options import (
    VideoOptions,
    explicit_size,
    output_of,
    parse_rate,
    refuse_source_options,
    video_command,
)
from streamfx.cli._run import run
from streamfx.cli.models import fetch_with_bar
from streamfx.errors import Misuse, StreamfxError

if TYPE_CHECKING:
    from streamfx.animation.audio_track import AudioAnalysis
    from streamfx.animation.timeline.loader import Timeline
    from streamfx.animation.timeline.planner import Plan
    from streamfx.animation.timeline.renderer import Render
    from streamfx.deepdream.networks import Network

PREVIEW_SCALE = PREVIEW_STRIDE = 4  # a preview has sides shorter by this factor, and one in so many frames
MIN_SIDE = 32  # pixels


@video_command
def render(
    timeline: Annotated[str, typer.Argument(help="FILE.toml, or the name of a shipped timeline: tabea.")],
    output: Annotated[str, typer.Argument(help="Video to write, by its extension; - for stdout (nut).")],
    *,
    section: Annotated[
        str, typer.Option(metavar="NAME", help="Render only this section, and what it depends on.")
    ] = "",
    preview: Annotated[
        bool, typer.Option("--preview", help="Render a quarter of the size and every fourth frame.")
    ] = False,
    audio_file: Annotated[
        str | None,
        typer.Option(
            "--audio", metavar="FILE", help="Soundtrack, which the schedules follow.", show_default="the timeline's"
        ),
    ] = None,
    assets: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the timeline's files.", show_default="the timeline's"),
    ] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Allow the timeline to read images from URLs.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="See 'streamfx models'; auto: the first installed one that the timeline supports.")
    ] = "auto",
    weights: Annotated[
        str, typer.Option(metavar="FILE", help="File of the model's weights, instead of the downloaded one.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Seed of all random choices.")] = 0,
    colors: Annotated[
        Literal["natural", "free"],
        typer.Option(help="natural: colors vary together, as in photos; free: each on its own, as in 2016."),
    ] = "natural",
    loop: Annotated[bool, typer.Option("--loop", help="Let the end run into the start.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the sections and the values of the schedules.")
    ] = False,
    plot: Annotated[str | None, typer.Option(metavar="FILE.png", help="Plot the schedules over the audio.")] = None,
    options: VideoOptions,
) -> None:
    """Render a video from a timeline: streamfx render video.toml out.mp4 --audio song.mp3"""
    from streamfx.animation.audio_track import analyze_audio
    from streamfx.animation.timeline.loader import load_timeline
    from streamfx.animation.timeline.planner import build_plan
    from streamfx.animation.timeline.renderer import Render
    from streamfx.jobs.generated import frame_store

    advice = "the timeline sets the length, --section renders a part"
    refuse_source_options(options, advice, ("--duration", options.duration))
    loaded = load_timeline(_find(timeline), assets, network=allow_network)
    if audio_file is None and loaded.document.audio is not None and options.audio:
        audio_file = loaded.find_file(loaded.document.audio, ("audio",))
    analysis = None if audio_file is None else analyze_audio(audio_file)
    plan = build_plan(loaded, analysis, seed, stride=_stride(loaded, options, preview), only=section, loop=loop)
    size = _size(loaded, options, preview)
    if dry_run or plot is not None:
        _describe(plan, analysis, plot, dry=dry_run, overwrite=options.yes)
    if dry_run:
        return
    if model != "auto" and not weights:
        fetch_with_bar(model, shown=STDERR.is_terminal and not options.quiet)
    network = _choose_network(plan, size, model, preview=preview, quiet=options.quiet)
    with frame_store(output) as folder:
        effect = Render(plan, size, network, folder, weights, seed, colors == "natural")
        _render(effect, audio_file if options.audio else None, output, options)


def _choose_network(plan: Plan, size: tuple[int, int], model: str, *, preview: bool, quiet: bool) -> Network:
    from streamfx.animation.timeline.scene import choose_model

    network = choose_model(plan.timeline, model)
    if not quiet and model == "auto":
        STDERR.print(f"streamfx: dreaming with {network.name}", markup=False)
    if not quiet and preview:
        STDERR.print(
            f"streamfx: preview of {size[1]}x{size[0]}, every {PREVIEW_STRIDE}th frame, with larger steps and fewer "
            "octaves; the full video will differ in detail",
            markup=False,
        )
    return network


def _render(effect: Render, audio: str | None, output: str, options: VideoOptions) -> None:
    import torch

    from streamfx.animation.timeline.scene import picture_file
    from streamfx.jobs.generated import AudioInput, StillSource
    from streamfx.jobs.job import Job

    plan, document = effect.plan, effect.plan.timeline.document
    files = [picture_file(plan.timeline, name) for name in document.pictures]  # raises an error if one is missing
    files += [] if audio is None else [audio]
    length = Fraction(plan.count * plan.stride, document.fps)
    soundtrack = None if audio is None else AudioInput(audio, Fraction(plan.first, document.fps))
    facts: dict[str, object] = {"model": effect.network.name, "timeline": str(plan.timeline.path), "work": plan.units}
    source = StillSource(torch.zeros(3, 2, 2), plan.units, length, files, soundtrack)
    job = Job(source, output, [effect], output_of(options), device=options.device, segment=options.segment)
    run(job, options, facts)


def _find(name: str) -> Path:
    """The file of a timeline: a path, or a shipped one by its name."""
    from streamfx.presets import preset_files

    path = Path(os.path.expanduser(name))
    if path.suffix == ".toml" or path.exists():
        return path
    shipped = preset_files("timeline")
    if name not in shipped:
        raise StreamfxError(f"unknown timeline '{name}'; give a FILE.toml, or one of: {', '.join(shipped)}")
    return shipped[name]


def _stride(timeline: Timeline, options: VideoOptions, preview: bool) -> int:
    """One in how many frames is rendered."""
    if options.fps is None:
        return PREVIEW_STRIDE if preview else 1
    stride = timeline.document.fps / parse_rate(options.fps)
    if stride.denominator != 1:
        raise Misuse(f"--fps is {options.fps}, but must be {timeline.document.fps} divided by a whole number")
    return int(stride)


def _size(timeline: Timeline, options: VideoOptions, preview: bool) -> tuple[int, int]:
    """Height and width of the video."""
    width, height = explicit_size(options, timeline.document.size, "a video from a timeline")
    if preview and not options.size:
        width, height = (max(MIN_SIDE, side // PREVIEW_SCALE // 2 * 2) for side in (width, height))
    if min(width, height) < MIN_SIDE:
        raise StreamfxError(f"{width}x{height} is too small to dream on; give {MIN_SIDE}x{MIN_SIDE} or more")
    return height, width


def _describe(plan: Plan, analysis: AudioAnalysis | None, plot: str | None, *, dry: bool, overwrite: bool) -> None:
    """Show the sections and the values of their schedules, as tables and as a plot."""
    from streamfx.animation.timeline.planner import schedule_tracks
    from streamfx.cli._table import print_timetable

    fps = float(plan.timeline.document.fps)
    tracks = schedule_tracks(plan)
    if plot is not None:
        from streamfx.animation.plot import save_plot

        save_plot(Path(plot), tracks, fps, analysis, overwrite=overwrite)
    if dry:
        Console(highlight=False).print(_section_table(plan))
        print_timetable(tracks, fps)


def _section_table(plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("section", "kind", "shown", "rendered", "cached"):
        table.add_column(heading, justify="left" if heading in ("section", "kind") else "right", no_wrap=True)
    for number, section in enumerate(plan.timeline.sections):
        passes = [work for work in plan.passes if work.section == number and work.kind != "replay"]
        shown = " ".join(f"{frames.start}..{frames.stop - 1}" for index, frames in plan.shown if index == number)
        rendered = sum(len(work.frames) for work in passes)
        cached = sum(frame in work.cached for work in passes for frame in work.frames)
        table.add_row(section.name, section.kind, shown or "-", str(rendered), str(cached))
    return table
