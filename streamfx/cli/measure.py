"""`streamfx measure`: metrics of a processed video, compared with its source, or of a dream with its start image."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Mapping, Sequence
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
from streamfx.cli._progress import Bar
from streamfx.errors import Misuse, StreamfxError
from streamfx.media.standard_streams import check_stdin

if TYPE_CHECKING:
    import torch

    from streamfx.evaluation.temporal import Distance, Measurement
    from streamfx.frame import Frame
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.writer import Writer

log = logging.getLogger("streamfx")

ROWS = {  # field of Metrics -> name, number format, explanation
    "warp_near": ("E_warp, lag 1", "{:.5f}", "change along the motion; lower is steadier"),
    "warp_far": ("E_warp, lag 10", "{:.5f}", "the same over ten frames"),
    "stab": ("e_stab", "{:.4f}", "RMS change along the motion, over all pixels"),
    "tlp": ("tLP", "{:.2f}", "perceptual change (LPIPS) that the source lacks"),
    "drift_largest": ("color drift, largest", "{:.2f}", "deviation from the source, in /255"),
    "drift_last": ("color drift, last", "{:.2f}", "the same in the last frame"),
    "sharpness": ("sharpness", "{:.2f}", "gradient in /255; blur improves the other metrics"),
}
PANELS = {  # field of Curves -> axis label
    "warp_near": "E_warp, lag 1",
    "warp_far": "E_warp, lag 10",
    "tlp": "tLP",
    "drift": "color drift, /255",
    "sharpness": "sharpness, /255",
}
DREAM_ROWS = {  # field of DreamMetrics -> explanation
    "rainbow": "fine chroma relative to fine luma; photos have 0.15 to 0.45",
    "clipped": "share of pixels at an end of the range",
    "coarse": "share of the contrast in the coarse half of the scales",
    "palette": "distance of the colors from the start image",
}
COLORS = {"source": "#8a8780", "processed": "#1f5fa8"}


def measure(
    source: Annotated[str, typer.Argument(help="Video, 'frames/%05d.png', URL, or - for stdin.")],
    processed: Annotated[str, typer.Argument(help="The processed video, with as many frames of the same size.")],
    report: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Plot the metrics per frame.")] = None,
    flow: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Ground-truth flow to the next frame, as in Sintel: frame_0001.flo, ..."),
    ] = None,
    dream: Annotated[
        bool, typer.Option("--dream", help="Measure a generated video; the first argument is its start image.")
    ] = False,
    method: Annotated[str, typer.Option(help="Motion estimation: dis or raft.")] = "dis",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite the plot.")] = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Measure flicker, drift and sharpness: streamfx measure in.mp4 out.mp4"""
    if quiet:
        log.setLevel(logging.ERROR)
    if source == processed == "-":
        raise Misuse("only one of the two videos can come from stdin; name a file for the other")
    if "-" in (source, processed):
        check_stdin()
    writer = None if plot is None else _build_writer(plot, (source, processed), yes)
    shown = STDERR.is_terminal and not quiet
    if dream and flow is not None:
        raise Misuse("--flow compares a video with its source; it cannot be combined with --dream")
    try:
        if dream:
            _measure_dream(source, processed, writer, report=report, shown=shown)
            return
        measurement, missing = _measure(source, processed, flow, method, device, shown=shown)
    except KeyboardInterrupt:
        log.error("interrupted: there are no results")
        raise typer.Exit(130) from None
    if writer is not None:
        _plot(measurement, writer)
    facts = {"frames": measurement.frames, "motion": method if flow is None else f"{flow}; {method} at lag 10"}
    if report:
        print(json.dumps(facts | _as_json(measurement) | {"missing": missing}, indent=2))
    else:
        _print(measurement, facts, missing)


def _build_writer(plot: Path, videos: tuple[str, str], overwrite: bool) -> Writer:
    """The writer of the plot. Raises StreamfxError if the file cannot be written, before any work is done."""
    from streamfx.media.encoding import Output
    from streamfx.media.output.formats import format_of
    from streamfx.media.output.writer import Writer

    if plot.suffix.lower() != ".png" or not format_of(str(plot), None).single_frame:
        raise StreamfxError(f"the plot is one image; '{plot}' must end in .png")
    for video in videos:
        if plot.is_file() and Path(video).is_file() and plot.samefile(video):
            raise StreamfxError(f"'{plot}' is one of the inputs; give another name for the plot")
    return Writer(plot, None, Output(overwrite=overwrite))


def _measure(
    source: str, processed: str, flow: Path | None, method: str, device: str, *, shown: bool
) -> tuple[Measurement, list[dict[str, str]]]:
    """The metrics; and the metrics that cannot be computed here, with how to install what they need."""
    from streamfx.evaluation.flow_files import find_flows
    from streamfx.evaluation.temporal import measure as measure_videos
    from streamfx.media.input.reader import Reader
    from streamfx.motion.flow import build_motion
    from streamfx.pipeline import find_device

    torch_device = find_device(device)
    motion = build_motion(method, torch_device)
    distance, missing = _lpips(torch_device)
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(video)) for video in (source, processed)]
        flows = None if flow is None else find_flows(flow, readers[0].info.height, readers[0].info.width)
        first, second = (stack.enter_context(closing(_prefetched(reader, torch_device))) for reader in readers)
        bar = stack.enter_context(Bar(source, readers[0].info.duration, shown=shown))
        progress = bar.count_frame
        names = (source, processed)
        result = measure_videos(first, second, motion, flows=flows, distance=distance, names=names, progress=progress)
    for reader in readers:
        _warn_if_damaged(reader)
    return result, missing


def _warn_if_damaged(reader: Reader) -> None:
    if reader.damaged_at is not None:
        log.warning("'%s' ends early or is damaged at %.2f s", reader.name, reader.damaged_at)


def _measure_dream(start: str, video: str, writer: Writer | None, *, report: bool, shown: bool) -> None:
    from streamfx.evaluation.dream import measure_dream
    from streamfx.media.input.reader import Reader

    with Reader(start) as image, Reader(video) as reader, Bar(video, reader.info.duration, shown=shown) as bar:
        first = next(iter(image))

        def frames() -> Generator[Frame, None, None]:
            for frame in reader:
                bar.count_frame(frame.pts)
                yield frame

        rows = [asdict(row) for row in measure_dream(first, frames())]
    _warn_if_damaged(reader)
    if writer is not None:
        panels = {name: {"processed": [row[name] for row in rows[1:]]} for name in DREAM_ROWS}
        _plot_panels(panels, writer, "second")
    if report:
        print(json.dumps({"start": rows[0], "frames": rows[1:]}, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("second", *DREAM_ROWS):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            "start" if row["time"] < 0 else f"{row['time']:.1f}", *(f"{row[name]:.3f}" for name in DREAM_ROWS)
        )
    console = Console(highlight=False)
    console.print(table)
    for name, meaning in DREAM_ROWS.items():
        console.print(f"{name}: {meaning}", markup=False)


def _prefetched(reader: Reader, device: torch.device) -> Generator[Frame, None, None]:
    from streamfx.pipeline import prefetch

    return prefetch(reader.frames(device=device))


def _lpips(device: torch.device) -> tuple[Distance | None, list[dict[str, str]]]:
    from streamfx.evaluation.temporal import build_lpips

    try:
        return build_lpips(device), []
    except StreamfxError as error:
        return None, [{"what": "tlp", "how": str(error)}]


def _as_json(measurement: Measurement) -> dict[str, object]:
    return {
        name: {**asdict(curves.metrics()), "curves": asdict(curves)}
        for name, curves in (("source", measurement.source), ("processed", measurement.processed))
    }


def _print(measurement: Measurement, facts: dict[str, object], missing: list[dict[str, str]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metric", no_wrap=True)
    for name in COLORS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("meaning")
    metrics = asdict(measurement.source.metrics()), asdict(measurement.processed.metrics())
    for key, (name, number_format, meaning) in ROWS.items():
        cells = ["-" if values[key] is None else number_format.format(values[key]) for values in metrics]
        table.add_row(name, *cells, meaning)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\n{facts['frames']} frames; motion: {facts['motion']}", soft_wrap=True, markup=False)
    for item in missing:
        console.print(item["how"], soft_wrap=True, markup=False)


def _plot(measurement: Measurement, writer: Writer) -> None:
    curves = {"source": asdict(measurement.source), "processed": asdict(measurement.processed)}
    panels = {
        label: {name: curves[name][key] for name in COLORS}
        for key, label in PANELS.items()
        if any(value is not None for value in curves["processed"][key])
    }
    _plot_panels(panels, writer, "frame")


def _plot_panels(panels: Mapping[str, Mapping[str, Sequence[float | None]]], writer: Writer, unit: str) -> None:
    """Write a plot with a panel for each metric: label -> name -> values."""
    import numpy as np
    import torch
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from streamfx.frame import Frame

    figure = Figure(figsize=(10, 1 + 1.8 * len(panels)), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)  # pyplot would look for a display
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, curves) in zip(axes, panels.items()):
        for name, values in curves.items():
            known = np.array([np.nan if value is None else value for value in values])
            axis.plot(known, color=COLORS[name], linewidth=1.3, marker=".", markersize=3, label=name)
        if label.startswith("E_warp"):  # the source's values are about 100 times smaller, or 0 for stills
            axis.set_yscale("symlog", linthresh=1e-5)
        else:
            axis.set_ylim(bottom=0)
        axis.set_ylabel(label)
        axis.grid(alpha=0.25)
        axis.margins(x=0.01)
    axes[0].legend(loc="upper right", frameon=False, ncols=2)
    axes[-1].set_xlabel(unit)
    figure.savefig(buffer := BytesIO(), format="rgba", dpi=100)
    width, height = canvas.get_width_height()
    pixels = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8).view(height, width, 4)
    image = pixels[..., :3].permute(2, 0, 1).float() / 255
    with writer:
        writer.write(Frame(image, Fraction(0), Fraction(1, 25)))
