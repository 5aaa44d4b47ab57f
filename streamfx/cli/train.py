"""`streamfx train`: paintings and some photos make a preset."""

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
from streamfx.cli._options import Misuse
from streamfx.errors import StreamfxError
from streamfx.presets import Quality, TrainingSettings, user_presets

if TYPE_CHECKING:
    from streamfx.styletransfer.training.painter import Progress as Standing

_NAME = re.compile(r"\w[\w.-]*")
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def train(
    paintings: Annotated[
        list[Path], typer.Argument(help="Picture of a painting, or several of one style.", metavar="PAINTING...")
    ],
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photos or videos to practise on; else those installed.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new preset; else the painting's file name.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train.")] = 10.0,
    quality: Annotated[Quality, typer.Option(help="fast trains a smaller network.")] = "fine",
    height: Annotated[
        int | None,
        typer.Option(min=64, max=4096, help="Height of the painting: larger, broader strokes. Else its own, 460..960."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the preset; else the user's presets.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of this name.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32, help="Same seed, same batches.")] = 0,
    max_pixels: MaxPixels = MAX_PIXELS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start a preset of this name anew.")] = False,
) -> None:
    """Train a preset of your own from one painting or more; ten minutes on two cores.

    Writes NAME.toml and NAME.safetensors, every minute NAME.preview.png to look at, and NAME.sheet.png at the end.
    Ctrl-C ends early and keeps what is learned; --resume with more --minutes goes on. A preset that is there in one
    quality gains the other with --quality.
    """
    if not math.isfinite(minutes):
        raise Misuse(f"{minutes} minutes are no budget; give a number")
    if resume and yes:
        raise Misuse("give --resume to go on or -y to start anew, not both")
    preset = (user_presets() if out is None else out) / f"{_name(name, paintings[0])}.toml"
    settings = TrainingSettings(minutes=minutes, seed=seed)

    from streamfx.pipeline import find_device
    from streamfx.styletransfer.training.preset_training import prepare_style, train_preset

    keep_memory()
    where = find_device(device)
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
            device=where,
            report=lambda at: _show(bar, task, at),
        )
        if not bar.tasks[0].fields["losses"]:
            STDERR.print(f"nothing was left to train: {minutes:g} minutes are over; give more --minutes")
    STDERR.print(f"preset {preset.stem}: {preset}", markup=False)


def _name(given: str | None, painting: Path) -> str:
    """The preset's name; one taken from a file gets - for what names cannot hold."""
    name = _NOT_IN_NAMES.sub("-", painting.stem).strip(".-") if given is None else given
    if not _NAME.fullmatch(name):
        raise StreamfxError(f"'{name}' cannot name a preset; give a --name of letters, digits, - and _")
    return name


def _show(bar: Progress, task: TaskID, at: Standing) -> None:
    shown = "  ".join(f"{name} {at.losses[name]:.2f}" for name in ("style", "content", "palette"))
    bar.update(task, completed=at.minutes, losses=f"step {at.step}  {shown}")
    if at.preview is not None:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in at.losses.items())
        STDERR.print(f"minute {at.minutes:.0f}, step {at.step}: {losses}; {at.preview}", markup=False)
