"""Renders pieces in several processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Self

from streamfx.errors import StreamfxError
from streamfx.jobs.render_piece import JobRequest, Outcome, PieceRequest
from streamfx.media.threads import available_threads

MAX_WORKERS = 256

_PROGRAM = "import sys; sys.path.append({root!r}); from streamfx.jobs.worker import main; main({fd}, {threads})"


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    request: PieceRequest | None = None  # the running task


@dataclass
class LocalProcesses:
    """An executor with `count` processes; each has its share of the cores, and one of the GPUs in turn."""

    has_other_machines = False
    count: int
    gpus: Sequence[str] | None = None  # values of CUDA_VISIBLE_DEVICES; None leaves the variable as it is
    _workers: dict[int, _Worker] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_WORKERS:
            raise StreamfxError(f"{self.count} workers are out of range; give 1 to {MAX_WORKERS}")

    @property
    def slots(self) -> int:
        """Tasks that run at the same time."""
        return self.count

    def check(self, current_folder: str, work_folder: Path, files: list[str]) -> None:
        """Nothing to check: the processes see the files of this one."""

    def free(self) -> bool:
        """Whether a worker has nothing to do, or can still be started."""
        return self.running() < self.count

    def running(self) -> int:
        """Number of tasks that have not ended."""
        return sum(worker.request is not None for worker in self._workers.values())

    def start(self, request: PieceRequest | JobRequest) -> None:
        """Give the task to a free worker; its process starts at its first task."""
        assert isinstance(request, PieceRequest)
        index = next(i for i in range(self.count) if i not in self._workers or self._workers[i].request is None)
        if index not in self._workers:
            self._workers[index] = self._start_process(index)
        worker = self._workers[index]
        worker.request = request
        with suppress(OSError):  # it has died; `wait` finds out
            worker.connection.send(request)

    def wait(self, seconds: float) -> list[Outcome]:
        """The tasks that have ended; waits for one, up to `seconds`."""
        busy = {worker.connection: index for index, worker in self._workers.items() if worker.request}
        return [self._outcome(busy[ready]) for ready in wait(list(busy), seconds) if isinstance(ready, Connection)]

    def describe(self) -> str:
        """The number of workers."""
        return f"{self.count} worker{'s' if self.count > 1 else ''}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            if worker.request is not None:
                worker.process.kill()
            worker.connection.close()  # an idle worker exits
        for worker in self._workers.values():
            worker.process.wait()
        self._workers.clear()

    def _outcome(self, index: int) -> Outcome:
        worker = self._workers[index]
        request = worker.request
        assert request is not None
        try:
            outcome = worker.connection.recv()
            assert isinstance(outcome, Outcome)
            worker.request = None
            return outcome
        except (EOFError, OSError):
            del self._workers[index]
            worker.connection.close()
            code = worker.process.wait()
            reason = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return Outcome(request.piece.number, f"worker {index}", f"worker {index} {reason}", retry=True)

    def _start_process(self, index: int) -> _Worker:
        ours, theirs = Pipe()
        threads = max(1, available_threads() // self.count)
        program = _PROGRAM.format(root=str(Path(__file__).parents[2]), fd=theirs.fileno(), threads=threads)
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        if self.gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[index % len(self.gpus)] if self.gpus else ""
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=sys.__stderr__,  # the video or a report may go to stdout
            env=environment,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        return _Worker(process, ours)


def visible_gpus(device: str) -> list[str] | None:
    """The values of CUDA_VISIBLE_DEVICES with which a process sees one of this machine's GPUs.

    None if there are no GPUs; empty if `device` is "cpu".
    """
    if device == "cpu":
        return []
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        return None
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.split(",")[:count] if given else [str(number) for number in range(count)]
