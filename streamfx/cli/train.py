"""`streamfx train`: train a preset on paintings."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from streamfx.cli._allocator import keep_memory
from streamfx.cli._console import STDERR
from streamfx.cli._max_pixels import MAX_PIXELS, MaxPixels
from streamfx.errors import Misuse, StreamfxError
from streamfx.settings import Quality

if TYPE_CHECKING:
    from streamfx.styletransfer.training.trainer import Progress as TrainingProgress

_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def train(
    paintings: Annotated[
        list[Path], typer.Argument(help="Image of a painting, or several of one style.", metavar="PAINTING...")
    ],
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photos or videos to train on; by default the installed ones.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the preset; by default the painting's.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train.")] = 10.0,
    quality: Annotated[Quality, typer.Option(help="fast trains a smaller network.")] = "fine",
    height: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=4096,
            help="Height of the painting: larger means broader strokes; by default its own, 460..960.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the preset; by default your presets.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the last checkpoint of this name.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32, help="Seed of the random batches.")] = 0,
    max_pixels: MaxPixels = MAX_PIXELS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace a preset of this name.")] = False,
) -> None:
    """Train your own preset on one or more paintings; takes ten minutes on two cores.

    Writes NAME.toml, NAME.safetensors, and the preview NAME.sheet.png. Ctrl-C ends training early and keeps the
    result; --resume with more --minutes continues. --quality adds the other quality to an existing preset.
    """
    if not math.isfinite(minutes):
        raise Misuse(f"--minutes is {minutes}; give a finite number")
    if resume and yes:
        raise Misuse("give --resume to continue or -y to start over, not both")

    from streamfx.pipeline import find_device
    from streamfx.presets import TrainingSettings, user_presets
    from streamfx.styletransfer.training.preset_training import prepare_style, train_preset

    folder = user_presets() if out is None else out
    if folder is None:
        raise StreamfxError("this user has no home folder for the preset; give one with --out")
    preset = folder / f"{_name(name, paintings[0])}.toml"
    settings = TrainingSettings(minutes=minutes, seed=seed)
    keep_memory()
    torch_device = find_device(device)
    style = prepare_style(preset, paintings, settings, quality, height, overwrite=yes, resume=resume)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=STDERR, disable=not STDERR.is_terminal) as bar:
        task = bar.add_task(f"training {preset.stem}", total=minutes, losses="")
        train_preset(
            *(preset, style, quality, paintings, photos),
            resume=resume,
            device=torch_device,
            report=lambda progress: _show(bar, task, progress),
        )
        if not bar.tasks[0].fields["losses"]:
            STDERR.print(f"this preset is already trained for {minutes:g} minutes; give more --minutes to continue")
    STDERR.print(f"preset {preset.stem}: {preset}", markup=False)


def _name(given: str | None, painting: Path) -> str:
    """The given name, or the painting's file name with invalid characters replaced by -."""
    from streamfx.styletransfer.preset_files import check_name

    name = _NOT_IN_NAMES.sub("-", painting.stem).strip(".-") if given is None else given
    return check_name(name)


def _show(bar: Progress, task: TaskID, progress: TrainingProgress) -> None:
    losses = "  ".join(f"{name} {progress.losses[name]:.2f}" for name in ("gram", "content", "palette"))
    bar.update(task, completed=progress.minutes, losses=f"step {progress.step}  {losses}")
    if progress.done >= 1 and not STDERR.is_terminal:
        STDERR.print(f"{progress.minutes:.1f} minutes, step {progress.step}: {losses}", markup=False)
