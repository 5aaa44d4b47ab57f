"""The interface of the executors, which run the tasks of a job that is split into pieces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from streamfx.jobs.render_piece import JobRequest, Outcome, PieceRequest


class Executor(Protocol):
    """Runs tasks in other processes; used from one thread, as a context manager that ends them all by force.

    A task whose process or machine is lost comes back as an outcome with `retry`.
    """

    has_other_machines: bool  # and so runs jobs that are not split there, too

    @property
    def slots(self) -> int:
        """Tasks that run at the same time."""
        ...

    def check(self, current_folder: str, work_folder: Path, files: list[str]) -> None:
        """Raise StreamfxError if a worker lacks one of `files` or cannot write to the work folder."""
        ...

    def free(self) -> bool:
        """Whether another task can be started now."""
        ...

    def start(self, request: PieceRequest | JobRequest) -> None:
        """Start a task."""
        ...

    def wait(self, seconds: float) -> list[Outcome]:
        """The tasks that have ended; waits for one, up to `seconds`."""
        ...

    def running(self) -> int:
        """Number of tasks that have not ended."""
        ...

    def describe(self) -> str:
        """What runs the tasks, such as "2 workers"."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Distribution:
    """How to render a job in pieces."""

    executor: Executor
    exact: bool = False  # split only where that changes no frame: at cuts, and anywhere if no effect has a memory
