"""`streamfx render`: a film from a timeline."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from streamfx.cli._console import STDERR
from streamfx.cli._feedback import Generated, Sound, make_generated, repeat
from streamfx.cli._options import FilmOptions, Misuse, film_command, parse_rate, refuse_reading, whole_size
from streamfx.cli.models import fetch_with_bar
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from streamfx.animation.audio_track import Music
    from streamfx.animation.timeline.loader import Timeline
    from streamfx.animation.timeline.planner import Plan

SMALLER = EVERY = 4  # of a preview: its sides are shorter by that, and only so many frames are made
LEAST = 32  # pixels, a side of a film


@film_command
def render(
    timeline: Annotated[str, typer.Argument(help="FILE.toml, or the name of a timeline that came along: tabea.")],
    output: Annotated[str, typer.Argument(help="Film to write, by its ending; - for stdout (nut).")],
    *,
    section: Annotated[str, typer.Option(metavar="NAME", help="Only this section, and what it goes on from.")] = "",
    preview: Annotated[
        bool, typer.Option("--preview", help="A quarter of the size, every fourth frame: roughly what will come.")
    ] = False,
    song: Annotated[
        str | None,
        typer.Option("--audio", metavar="SONG", help="The film's sound, and what moves it.", show_default="its own"),
    ] = None,
    assets: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where its pictures lie.", show_default="beside it")
    ] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let the timeline read pictures from URLs.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="See 'streamfx models'; auto takes the first that the timeline knows and that is here.")
    ] = "auto",
    weights: Annotated[
        str, typer.Option(metavar="FILE", help="The model's weights, instead of those that are fetched.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Of all that is left to chance.")] = 0,
    loop: Annotated[bool, typer.Option("--loop", help="Let the end run into the start.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print its sections, and what its schedules come to.")
    ] = False,
    plot: Annotated[str | None, typer.Option(metavar="FILE.png", help="Draw the schedules over the song.")] = None,
    options: FilmOptions,
) -> None:
    """Make a film from a timeline: streamfx render film.toml out.mp4 --audio song.mp3"""
    from streamfx.animation.audio_track import analyse
    from streamfx.animation.timeline.loader import load_timeline
    from streamfx.animation.timeline.planner import build_plan

    instead = "a timeline tells its length, --section takes a part"
    refuse_reading(options, instead, ("--duration", options.duration))
    read = load_timeline(_find(timeline), assets, network=allow_network)
    if song is None and read.script.audio is not None and options.audio:
        song = read.file(read.script.audio, ("audio",))
    music = None if song is None else analyse(song)
    plan = build_plan(read, music, seed, every=_every(read, options, preview), only=section, loop=loop)
    size = _size(read, options, preview)
    if dry_run or plot is not None:
        _show(plan, music, plot, dry=dry_run, overwrite=options.yes)
    if dry_run:
        return
    if model != "auto" and not weights:
        fetch_with_bar(model, shown=STDERR.is_terminal and not options.quiet)
    _make(plan, size, model, weights, seed, song if options.audio else None, output, options, preview)


def _make(
    plan: Plan,
    size: tuple[int, int],
    model: str,
    weights: str,
    seed: int,
    song: str | None,
    output: str,
    options: FilmOptions,
    preview: bool,
) -> None:
    import torch

    from streamfx.animation.timeline.renderer import Render
    from streamfx.animation.timeline.scene import choose_model, picture_file

    network = choose_model(plan.timeline, model)
    pictures = [picture_file(plan.timeline, name) for name in plan.timeline.script.pictures]  # tells what is missing
    if not options.quiet:
        if model == "auto":
            STDERR.print(f"streamfx: dreaming with {network.name}", markup=False)
        if preview:
            STDERR.print(
                f"streamfx: a preview of {size[1]}x{size[0]}, every {EVERY}th frame with the moves of {EVERY} and a "
                "larger step, in fewer octaves: roughly what will come",
                markup=False,
            )
    fps = plan.timeline.script.fps
    length = Fraction(plan.count * plan.every, fps)
    sound = None if song is None else Sound(song, Fraction(plan.first, fps))
    told = sha256(plan.timeline.text.encode()).hexdigest()[:16]
    settings = f"render {plan.timeline.path.name} ({told}) model={network.name} seed={seed} every={plan.every}"
    settings += f" from={plan.first} frames={plan.count}"
    settings += " loop" if plan.passes[0].work == "before" else ""
    facts: dict[str, object] = {"model": network.name, "timeline": str(plan.timeline.path), "work": plan.units}
    with work_folder(output) as folder:
        effect = Render(plan, size, network, folder, weights, seed)
        sources = [*pictures, *([] if song is None else [song])]
        rate = plan.units / length
        made = Generated(plan.units, length, lambda done: repeat(torch.zeros(3, 2, 2), rate, plan.units, done), sources)
        make_generated(output, effect, made, sound, options, settings, facts)


@contextmanager
def work_folder(output: str) -> Iterator[Path]:
    """A folder for pictures that do not fit in memory: beside the film, or for temporary files.

    It is removed at the end, unless a run that was stopped may be gone on with.
    """
    from streamfx.jobs.manifest import MANIFEST

    beside = Path(f"{output}.streamfx")
    if output == "-" or "://" in output or not beside.parent.is_dir():
        with tempfile.TemporaryDirectory(prefix="streamfx-") as folder:
            yield Path(folder, "pictures")
        return
    try:
        yield beside / "pictures"
    finally:
        if not (beside / MANIFEST).exists():
            shutil.rmtree(beside / "pictures", ignore_errors=True)
            if beside.is_dir() and not any(beside.iterdir()):
                beside.rmdir()


def _find(name: str) -> Path:
    """The file of a timeline: itself, or one that came along."""
    from streamfx.presets import preset_files

    path = Path(name).expanduser()
    if path.suffix == ".toml" or path.exists():
        return path
    shipped = preset_files("timeline")
    if name not in shipped:
        raise StreamfxError(f"there is no timeline '{name}'; give a FILE.toml, or one of these: {', '.join(shipped)}")
    return shipped[name]


def _every(timeline: Timeline, options: FilmOptions, preview: bool) -> int:
    """Of how many frames one is made."""
    if options.fps is None:
        return EVERY if preview else 1
    every = timeline.script.fps / parse_rate(options.fps)
    if every.denominator != 1:
        raise Misuse(f"--fps is {options.fps}, but must be {timeline.script.fps} divided by a whole number")
    return int(every)


def _size(timeline: Timeline, options: FilmOptions, preview: bool) -> tuple[int, int]:
    """Height and width of the film."""
    width, height = whole_size(options, timeline.script.size, "a film from a timeline")
    if preview and not options.size:
        width, height = (max(LEAST, side // SMALLER // 2 * 2) for side in (width, height))
    if min(width, height) < LEAST:
        raise StreamfxError(f"a film of {width}x{height} is too small to dream on; give {LEAST}x{LEAST} or more")
    return height, width


def _show(plan: Plan, music: Music | None, plot: str | None, *, dry: bool, overwrite: bool) -> None:
    """The film's sections, and the values of their schedules, as tables and as a picture."""
    from streamfx.animation.timeline.planner import shown_tracks
    from streamfx.cli._table import print_timetable

    fps = float(plan.timeline.script.fps)
    tracks = shown_tracks(plan)
    if plot is not None:
        from streamfx.animation.plot import save_plot

        save_plot(Path(plot), tracks, fps, music, overwrite=overwrite)
    if not dry:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("section", "kind", "shown", "made", "put by"):
        table.add_column(heading, justify="left" if heading in ("section", "kind") else "right", no_wrap=True)
    for number, each in enumerate(plan.timeline.sections):
        made = [work for work in plan.passes if work.section == number and work.work != "play"]
        shown = [frames for which, frames in plan.shows if which == number]
        told = " ".join(f"{frames.start}..{frames.stop - 1}" for frames in shown) or "-"
        frames = sum(len(work.frames) for work in made)
        kept = sum(len([frame for frame in work.frames if frame in work.kept]) for work in made)
        table.add_row(each.name, each.kind, told, str(frames), str(kept))
    Console(highlight=False).print(table)
    print_timetable(tracks, fps)
