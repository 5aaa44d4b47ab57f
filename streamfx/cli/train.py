"""`streamfx train`: a painting and some photos make a preset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from streamfx.train.painter import Progress as Standing


def train(
    painting: Annotated[Path, typer.Argument(help="Picture of the painting: JPEG, PNG, WebP, BMP or TIFF.")],
    photos: Annotated[Path | None, typer.Option(help="Folder of photos to practise on; else those installed.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new preset; else the painting's file name.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train.")] = 30.0,
    height: Annotated[
        int, typer.Option(min=32, max=4096, help="Height of the painting: larger, broader strokes.")
    ] = 960,
    out: Annotated[Path | None, typer.Option(help="Folder for the preset; else the user's presets.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of this name.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same batches.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite a preset of this name.")] = False,
) -> None:
    """Train a preset of your own from one painting; about half an hour on two cores.

    Writes NAME.toml and NAME.safetensors, and every minute a sheet NAME.preview.png to look at. Ctrl-C ends early and
    keeps what is learned; --resume with more --minutes goes on.
    """
    from streamfx.preset import TrainingSettings, user_presets

    name = painting.stem if name is None else name
    if not name or Path(name).name != name or name.startswith("."):
        raise StreamfxError(f"'{name}' cannot name a preset; use letters, digits, - and _")
    preset = (user_presets() if out is None else out) / f"{name}.toml"
    if preset.exists() and not (yes or resume):
        raise StreamfxError(f"{preset} exists; overwrite it with -y, go on from its checkpoint with --resume")
    settings = TrainingSettings(minutes=minutes, painting_height=height, seed=seed)
    if not painting.is_file():
        raise StreamfxError(f"{painting} is no file; give the picture of a painting")

    from streamfx.train.painter import train_painter  # imports torch: late, behind what may be refused

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"training {name}", total=minutes, losses="")
        train_painter(painting, photos, preset, settings, resume=resume, report=lambda at: _show(bar, task, at))
    console.print(f"preset {name}: {preset}", highlight=False, soft_wrap=True)


def _show(bar: Progress, task: TaskID, at: Standing) -> None:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in at.losses.items())
    bar.update(task, completed=at.minutes, losses=f"step {at.step}  {losses}")
    if at.preview is not None:
        bar.console.print(
            f"minute {at.minutes:.0f}, step {at.step}: {losses}; {at.preview}", highlight=False, soft_wrap=True
        )
