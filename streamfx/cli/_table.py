"""Schedules as a table: what --dry-run prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

ROWS = 24  # of a table whose steps are chosen here


def build_timetable(values: Mapping[str, Array], fps: float, every: int | None = None) -> Table:
    """A row for every `every`-th frame and the last: its number, its time, and each name's value.

    Without `every`, as many frames are left out as make a table of one screen, in steps of 1, 2, 5, 10, 20, 50 ...
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
    """To stdout; as wide as it is, where that is no terminal."""
    console = Console(highlight=False)
    table = build_timetable(values, fps, every)
    if not console.is_terminal:
        wide = console.options.update(width=100_000)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)


def _step(count: int) -> int:
    """The first of 1, 2, 5, 10, ... that makes at most ROWS rows."""
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
