"""Runs the commands of a batch, several at a time, and collects how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Literal, TypeAlias

from streamfx.cli._batch_options import PassedOn

if TYPE_CHECKING:
    from streamfx.jobs.batch_files import BatchItem

State: TypeAlias = Literal["finished", "skipped", "failed", "stopped"]

_PROGRAM = "import sys; sys.path.append({root!r}); from streamfx.cli import main; main()"
_GRACE = 20.0  # seconds for a command to save its work when the batch is stopped


@dataclass(frozen=True, slots=True)
class Ended:
    """How a video of a batch ended; the field names are keys of the --json lines."""

    source: str
    output: str
    state: State
    frames: int = 0
    seconds: float = 0.0
    error: str = ""


@dataclass
class _Running:
    item: BatchItem
    process: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]
    began: float
    gpu: str | None


@dataclass
class BatchRun:
    """Runs up to `jobs` commands at a time; each GPU of `gpus` is used by one of them in turn."""

    passed: PassedOn
    jobs: int
    gpus: Sequence[str] | None = None
    waiting: deque[tuple[BatchItem, list[str]]] = field(default_factory=deque)
    _running: list[_Running] = field(default_factory=list)

    def add(self, item: BatchItem) -> None:
        """Queue a video. Raises StreamfxError if its own options are unknown."""
        self.waiting.append((item, self.passed.words_of(item.options, f"'{item.source}'")))

    @property
    def busy(self) -> bool:
        """Whether videos wait or run."""
        return bool(self.waiting or self._running)

    @property
    def sources(self) -> list[str]:
        """The names of the videos that run now."""
        return [running.item.source.name for running in self._running]

    def step(self) -> Iterator[Ended]:
        """Start what can be started, and yield what has ended."""
        while self.waiting and len(self._running) < self.jobs:
            item, words = self.waiting.popleft()
            if _is_finished_image(item.target, words := [*self.passed.words, *words]):
                yield Ended(str(item.source), str(item.target), "skipped")
            else:
                self._running.append(self._start(item, words))
        for running in [running for running in self._running if running.process.poll() is not None]:
            self._running.remove(running)
            yield _ended(running)

    def stop(self) -> Iterator[Ended]:
        """Let the running commands save their work and end."""
        self.waiting.clear()
        for running in self._running:
            running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for running in self._running:
            try:
                running.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
            yield _ended(running, stopped=True)
        self._running.clear()

    def _start(self, item: BatchItem, words: Sequence[str]) -> _Running:
        environment = dict(os.environ)
        gpu = None
        if self.gpus:
            used = [running.gpu for running in self._running]
            gpu = environment["CUDA_VISIBLE_DEVICES"] = min(self.gpus, key=used.count)
        program = [sys.executable, "-P", "-c", _PROGRAM.format(root=str(Path(__file__).parents[2]))]
        report = ["--resume", "--json", "--quiet", "--no-progress"]
        command = [*program, self.passed.kind, *words, *report, "--", str(item.source), str(item.target)]
        out, err = TemporaryFile(), TemporaryFile()  # noqa: SIM115 (closed by _ended)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the batch only, which then stops its commands
        )
        return _Running(item, process, out, err, time.monotonic(), gpu)


def _is_finished_image(target: Path, words: Sequence[str]) -> bool:
    """Whether an image exists already, which does not say from which command it is."""
    from streamfx.media.output.formats import format_of

    overwrite = any(word in ("-y", "--yes") for word in words)
    return not overwrite and target.exists() and format_of(str(target), None).single_frame


def _ended(running: _Running, *, stopped: bool = False) -> Ended:
    out, error = (_text(stream) for stream in (running.out, running.err))
    item, seconds = running.item, round(time.monotonic() - running.began, 3)
    source, target = str(item.source), str(item.target)
    if running.process.returncode == 0:
        report = json.loads(out.splitlines()[-1]) if out else {}
        if "frames" not in report:
            return Ended(source, target, "skipped")
        return Ended(source, target, "finished", report["frames"], seconds)
    lines = [line.removeprefix("streamfx: ") for line in error.splitlines() if line.strip()]
    reason = lines[-1] if lines else f"ended with exit code {running.process.returncode}"
    return Ended(source, target, "stopped" if stopped else "failed", 0, seconds, reason)


def _text(stream: IO[bytes]) -> str:
    with stream:
        stream.seek(0)
        return stream.read().decode(errors="replace").strip()


def as_json(ended: Ended) -> str:
    """One line of JSON."""
    return json.dumps(asdict(ended))
