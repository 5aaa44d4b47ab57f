"""The progress of a run on stderr: a bar, or a counter if the length is unknown."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from streamfx.cli._console import STDERR

if TYPE_CHECKING:
    from streamfx.jobs.status import Progress


class Bar:
    """A progress bar; a counter if `duration`, in seconds, is None."""

    def __init__(self, source: str, duration: Fraction | None, *, shown: bool) -> None:
        columns = [] if duration is None else [BarColumn(), TimeRemainingColumn()]
        name = Path(source).name if source != "-" else "stdin"
        texts = [TextColumn(text, markup=False) for text in ("{task.fields[name]}", "{task.description}")]
        self._bar = RichProgress(*texts, *columns, _Speed(), console=STDERR, disable=not shown)
        self._task = self._bar.add_task("", total=float(duration or 0) or None, name=name, frames=0)
        self._iterations = _Iterations(lambda text: self._bar.update(self._task, description=text))

    def __enter__(self) -> Self:
        self._bar.start()
        self._iterations.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._iterations.close()
        self._bar.stop()

    def advance(self, progress: Progress) -> None:
        """Show the progress of the run."""
        frames = progress.frames - progress.resumed
        self._bar.update(self._task, completed=float(progress.position), frames=frames)
        if progress.detail:
            self._bar.update(self._task, description=progress.detail)

    def count_frame(self, position: Fraction) -> None:
        """Count one more finished frame, at `position` in seconds."""
        frames = self._bar.tasks[self._task].fields["frames"] + 1
        self._bar.update(self._task, completed=float(position), frames=frames)


class _Iterations(logging.Handler):
    """Passes on the log messages of effects that take many steps per frame."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show
        self._log = logging.getLogger("streamfx.iterations")
        self._before = self._log.level, self._log.propagate

    def listen(self) -> None:
        self._log.setLevel(logging.INFO)
        self._log.propagate = False  # the bar shows it
        self._log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._show(record.getMessage())

    def close(self) -> None:
        self._log.removeHandler(self)
        level, self._log.propagate = self._before
        self._log.setLevel(level)
        super().close()


class _Speed(ProgressColumn):
    """Finished frames, and frames per second."""

    def render(self, task: Any) -> str:
        frames = task.fields["frames"]
        seconds = task.elapsed or 0
        return f"{frames} frames  {frames / seconds:.1f} fps" if seconds > 0.5 else f"{frames} frames"
