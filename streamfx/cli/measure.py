"""`streamfx measure`: how coherent in time a processed video is, beside its source."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import asdict
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from streamfx.cli._console import STDERR
from streamfx.cli._max_pixels import MAX_PIXELS, MaxPixels
from streamfx.cli._options import Misuse
from streamfx.cli._progress import Bar
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    import torch

    from streamfx.evaluation.temporal import Distance, Measurement
    from streamfx.frame import Frame
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.writer import Writer

log = logging.getLogger("streamfx")

ROWS = {  # field of Metrics -> its name, how it is written, what it tells
    "warp_near": ("E_warp, lag 1", "{:.5f}", "change along the motion; less is steadier"),
    "warp_far": ("E_warp, lag 10", "{:.5f}", "the same, ten frames apart"),
    "stab": ("e_stab", "{:.4f}", "its root, over all pixels"),
    "tlp": ("tLP", "{:.2f}", "changes that the source has not"),
    "drift_largest": ("colour drift, largest", "{:.2f}", "away from the source, in /255"),
    "drift_last": ("colour drift, last", "{:.2f}", "the same at the end"),
    "sharpness": ("sharpness", "{:.2f}", "gradient in /255; blur lowers all"),
}
PANELS = {  # field of Curves -> what is written at its axis
    "warp_near": "E_warp, lag 1",
    "warp_far": "E_warp, lag 10",
    "tlp": "tLP",
    "drift": "colour drift, /255",
    "sharpness": "sharpness, /255",
}
INKS = {"source": "#8a8780", "processed": "#1f5fa8"}


def measure(
    source: Annotated[str, typer.Argument(help="Video, 'frames/%05d.png', URL, or - for stdin.")],
    processed: Annotated[str, typer.Argument(help="What was made of it: as many frames of the same size.")],
    report: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the figures frame by frame.")] = None,
    flow: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="True motion to the next frame: frame_0001.flo, ... as Sintel has it."),
    ] = None,
    method: Annotated[str, typer.Option(help="How motion is estimated: dis or raft.")] = "dis",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite the plot.")] = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Measure flicker, drift and sharpness: streamfx measure in.mp4 out.mp4"""
    if quiet:
        log.setLevel(logging.ERROR)
    if source == processed == "-":
        raise Misuse("only one of the two can come from stdin; name the other's file")
    if "-" in (source, processed) and sys.stdin.isatty():
        raise StreamfxError("stdin is a terminal: pipe a video in, or name an input file")
    writer = None if plot is None else _writer(plot, (source, processed), yes)
    try:
        found, missing = _measured(source, processed, flow, method, device, shown=STDERR.is_terminal and not quiet)
    except KeyboardInterrupt:
        log.error("interrupted: nothing was measured to its end")
        raise typer.Exit(130) from None
    if writer is not None:
        _draw(found, writer)
    facts = {"frames": found.frames, "motion": method if flow is None else f"{flow}; {method} at lag 10"}
    if report:
        print(json.dumps(facts | _as_json(found) | {"missing": missing}, indent=2))
    else:
        _print(found, facts, missing)


def _writer(plot: Path, films: tuple[str, str], overwrite: bool) -> Writer:
    """What writes the plot, whole or not at all; refuses now what it could not do later."""
    from streamfx.media.output.encoder_selection import Output
    from streamfx.media.output.formats import format_of
    from streamfx.media.output.writer import Writer

    if plot.suffix.lower() != ".png" or not format_of(str(plot), None).single_frame:
        raise StreamfxError(f"the plot is one picture; '{plot}' must end in .png")
    for film in films:
        if plot.is_file() and Path(film).is_file() and plot.samefile(film):
            raise StreamfxError(f"'{plot}' is what is to be measured; give another name for the plot")
    return Writer(plot, None, Output(overwrite=overwrite))


def _measured(
    source: str, processed: str, flow: Path | None, method: str, device: str, *, shown: bool
) -> tuple[Measurement, list[dict[str, str]]]:
    """The figures, and which are missing and how to get them."""
    from streamfx.evaluation.flow_files import find_flows
    from streamfx.evaluation.temporal import measure as measure_films
    from streamfx.media.input.reader import Reader
    from streamfx.motion.flow import build_motion
    from streamfx.pipeline import find_device

    where = find_device(device)
    motion = build_motion(method, where)
    distance, missing = _lpips(where)
    with ExitStack() as opened:
        readers = [opened.enter_context(Reader(film)) for film in (source, processed)]
        flows = None if flow is None else find_flows(flow, readers[0].info.height, readers[0].info.width)
        first, second = (opened.enter_context(closing(_prefetched(reader, where))) for reader in readers)
        bar = opened.enter_context(Bar(source, readers[0].info.duration, shown=shown))
        progress = bar.count_frame
        names = (source, processed)
        found = measure_films(first, second, motion, flows=flows, distance=distance, names=names, progress=progress)
    for reader in readers:
        if reader.damaged_at is not None:
            log.warning("'%s' breaks off or is damaged at %.2f s", reader.name, reader.damaged_at)
    return found, missing


def _prefetched(reader: Reader, device: torch.device) -> Generator[Frame, None, None]:
    from streamfx.pipeline import prefetch

    return prefetch(reader.frames(device=device))


def _lpips(device: torch.device) -> tuple[Distance | None, list[dict[str, str]]]:
    from streamfx.evaluation.temporal import build_lpips

    try:
        return build_lpips(device), []
    except StreamfxError as error:
        return None, [{"what": "tlp", "how": str(error)}]


def _as_json(found: Measurement) -> dict[str, object]:
    return {
        name: {**asdict(curves.metrics()), "curves": asdict(curves)}
        for name, curves in (("source", found.source), ("processed", found.processed))
    }


def _print(found: Measurement, facts: dict[str, object], missing: list[dict[str, str]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("measure", no_wrap=True)
    for name in INKS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it tells")
    figures = asdict(found.source.metrics()), asdict(found.processed.metrics())
    for key, (name, form, help) in ROWS.items():
        cells = ["-" if each[key] is None else form.format(each[key]) for each in figures]
        table.add_row(name, *cells, help)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\n{facts['frames']} frames; motion: {facts['motion']}", soft_wrap=True, markup=False)
    for each in missing:
        console.print(each["how"], soft_wrap=True, markup=False)


def _draw(found: Measurement, writer: Writer) -> None:
    """The curves, one below the other, as a picture."""
    import numpy as np
    import torch
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from streamfx.frame import Frame

    both = {"source": asdict(found.source), "processed": asdict(found.processed)}
    panels = [key for key in PANELS if any(number is not None for number in both["processed"][key])]
    figure = Figure(figsize=(10, 1 + 1.8 * len(panels)), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)  # without pyplot, which looks for a screen
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, key in zip(axes, panels):
        for name, ink in INKS.items():
            numbers = np.array([np.nan if each is None else each for each in both[name][key]])
            axis.plot(numbers, color=ink, linewidth=1.3, marker=".", markersize=3, label=name)
        if key.startswith("warp"):  # the source's lies a hundred times below; 0, of stills, is shown at the bottom
            axis.set_yscale("symlog", linthresh=1e-5)
        else:
            axis.set_ylim(bottom=0)
        axis.set_ylabel(PANELS[key])
        axis.grid(alpha=0.25)
        axis.margins(x=0.01)
    axes[0].legend(loc="upper right", frameon=False, ncols=2)
    axes[-1].set_xlabel("frame")
    figure.savefig(drawn := BytesIO(), format="rgba", dpi=100)
    width, height = canvas.get_width_height()
    pixels = torch.frombuffer(bytearray(drawn.getvalue()), dtype=torch.uint8).view(height, width, 4)
    image = pixels[..., :3].permute(2, 0, 1).float() / 255
    with writer:
        writer.write(Frame(image, Fraction(0), Fraction(1, 25)))
