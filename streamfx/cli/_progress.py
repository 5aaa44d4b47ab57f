"""How far a run has come: a bar on stderr, or a counter where the length is not known."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from streamfx.cli._console import STDERR


class Bar:
    """The progress of a source; as a context manager, it gives the run's callback. `duration` is in seconds."""

    def __init__(self, source: str, duration: Fraction | None, *, shown: bool) -> None:
        columns = [] if duration is None else [BarColumn(), TimeRemainingColumn()]
        name = Path(source).name if source != "-" else "stdin"
        self._bar = Progress(
            TextColumn(name), TextColumn("{task.description}"), *columns, _Speed(), console=STDERR, disable=not shown
        )
        self._task = self._bar.add_task("", total=float(duration or 0) or None, frames=0)
        self._frames = 0
        self._iterations = _Iterations(lambda text: self._bar.update(self._task, description=text))

    def __enter__(self) -> Callable[[Fraction], None]:
        self._bar.start()
        self._iterations.listen()
        return self._tick

    def __exit__(self, *_: object) -> None:
        self._iterations.close()
        self._bar.stop()

    def _tick(self, moment: Fraction) -> None:
        self._frames += 1
        self._bar.update(self._task, completed=float(moment), frames=self._frames)


class _Iterations(logging.Handler):
    """Hands on what effects that take many steps for a frame tell of them."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell
        self._log = logging.getLogger("streamfx.iterations")

    def listen(self) -> None:
        self._log.setLevel(logging.INFO)
        self._log.propagate = False  # the bar shows it
        self._log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())

    def close(self) -> None:
        self._log.removeHandler(self)
        super().close()


class _Speed(ProgressColumn):
    """Frames done, and frames a second."""

    def render(self, task: Any) -> str:
        frames = task.fields["frames"]
        seconds = task.elapsed or 0
        return f"{frames} frames  {frames / seconds:.1f} fps" if seconds > 0.5 else f"{frames} frames"
