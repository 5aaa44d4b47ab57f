"""Renders pieces in this process, one after another: how a job that was split resumes without other processes."""

from __future__ import annotations

from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Self

from streamfx.jobs.render_piece import JobRequest, Outcome, PieceRequest, try_piece


class InProcess:
    """An executor with one thread."""

    slots = 1
    has_other_machines = False

    def __init__(self) -> None:
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._running = 0

    def check(self, current_folder: str, work_folder: Path, files: list[str]) -> None:
        """Nothing to check: this process has opened the files."""

    def free(self) -> bool:
        """Whether no task is running."""
        return not self._running

    def running(self) -> int:
        """Number of tasks that have not ended."""
        return self._running

    def start(self, request: PieceRequest | JobRequest) -> None:
        """Start a task."""
        assert isinstance(request, PieceRequest)
        self._running += 1
        # a daemon, so that an interrupt does not wait for a source that sends nothing
        Thread(target=self._render, args=(request,), name="piece", daemon=True).start()

    def wait(self, seconds: float) -> list[Outcome]:
        """The task that has ended; waits for it up to `seconds`."""
        try:
            outcome = self._outcomes.get(timeout=seconds)
        except Empty:
            return []
        self._running -= 1
        return [outcome]

    def describe(self) -> str:
        """What runs the tasks."""
        return "one worker"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running = 0

    def _render(self, request: PieceRequest) -> None:
        self._outcomes.put(try_piece(request, "this process"))
