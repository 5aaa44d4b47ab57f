"""The table of schedule values that --dry-run prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

ROWS = 24  # maximum without `every`


def build_timetable(values: Mapping[str, Array], fps: float, every: int | None = None) -> Table:
    """Number, time and values of every `every`-th frame and the last one.

    By default `every` is the first of 1, 2, 5, 10, 20, 50 ... with which the table fits on a screen.
    """
    count = max((len(track) for track in values.values()), default=0)
    step = _step(count) if every is None else max(1, every)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("frame", "time", *values):
        table.add_column(heading, justify="right", no_wrap=True)
    for frame in sorted({*range(0, count, step), count - 1} - {-1}):
        cells = (f"{float(track[frame]) + 0.0:.4g}" if frame < len(track) else "-" for track in values.values())
        table.add_row(str(frame), _clock(frame / fps), *cells)
    return table


def print_timetable(values: Mapping[str, Array], fps: float, every: int | None = None) -> None:
    """Print the table to stdout, unwrapped if that is not a terminal."""
    console = Console(highlight=False)
    table = build_timetable(values, fps, every)
    if not console.is_terminal:
        unlimited = console.options.update(width=100_000)
        console.width = max(console.width, console.measure(table, options=unlimited).maximum)
    console.print(table)


def _step(count: int) -> int:
    """The first of 1, 2, 5, 10, ... that gives at most ROWS rows."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if count <= step * ROWS:
                return step
        size *= 10


def _clock(seconds: float) -> str:
    """Minutes and seconds: 1:02.50"""
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"
