"""The preset of --style-image: trained on the painting or predicted from it, or from the cache."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamfx.cli._allocator import keep_memory
from streamfx.cli._console import STDERR
from streamfx.errors import Misuse

if TYPE_CHECKING:
    from streamfx.cli._options import VideoOptions
    from streamfx.settings import Quality

log = logging.getLogger("streamfx")


def fitted_preset(painting: Path, quality: Quality, source: str, target: str, options: VideoOptions) -> str:
    """The path of the preset trained on `painting`; checks first that `target` can be written from `source`."""
    from streamfx.pipeline import find_device
    from streamfx.styletransfer.training.finetune import fit_style

    keep_memory()
    device = find_device(options.device)
    _check_output(source, target, options)
    shown = STDERR.is_terminal and not options.quiet if options.progress is None else options.progress
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STDERR, disable=not shown, transient=True) as bar:
        task = bar.add_task(f"training on {painting.name}", total=1.0)

        def report(done: float) -> None:
            if not (shown or options.quiet or bar.tasks[task].completed):
                STDERR.print(f"training on {painting}: takes about three minutes, once", markup=False)
            bar.update(task, completed=done)

        try:
            preset = fit_style(painting, quality, device=device, report=report)
        except KeyboardInterrupt:
            log.error("interrupted: the training on %s was not saved", painting)
            raise typer.Exit(130) from None
    return str(preset)


def preset_with_style(preset: str, picture: Path) -> str:
    """The path of the imported preset with the style that its predictor reads from a picture."""
    from streamfx.presets import load_preset, parse_blend
    from streamfx.styletransfer.importing.predictor import predicted_preset

    if len(parse_blend(preset)) > 1:
        raise Misuse(f"--style-image needs one preset, not the blend '{preset}'")
    return str(predicted_preset(load_preset(preset), picture))


def _check_output(source: str, target: str, options: VideoOptions) -> None:
    """Raise errors of the source and the output before the training, unless the source can be opened only once."""
    from streamfx.media.encoding import Output
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.writer import Writer

    path = Path(source)
    if source == "-" or "://" in source or options.input_format is not None or (path.exists() and not path.is_file()):
        return
    logging.disable(logging.WARNING)  # logged again when the video is made
    try:
        with Reader(source) as reader:
            Writer(target, reader, Output(format=options.format, overwrite=options.yes))
    finally:
        logging.disable(logging.NOTSET)
