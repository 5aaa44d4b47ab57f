"""The state of a job on disk, which other processes read, and their requests to it."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

from streamfx.jobs.checkpoint import discard, is_locked, locked_folder, work_folder_of
from streamfx.jobs.manifest import REQUEST, STATUS, load
from streamfx.jobs.piece_files import saved_frames

State: TypeAlias = Literal["new", "running", "paused", "finished"]

_UPDATE_EVERY = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    frames: int  # input frames processed, including those of earlier runs
    total: int | None  # expected number of input frames
    position: Fraction  # seconds of the input processed
    length: Fraction | None  # seconds of the input
    elapsed: float  # seconds since this run started
    resumed: int = 0  # frames processed by earlier runs
    detail: str = ""  # of a run in pieces: how many are finished, and what renders them

    @property
    def fps(self) -> float:
        """Frames per second of this run; 0 at the start."""
        return (self.frames - self.resumed) / self.elapsed if self.elapsed > 0 else 0.0

    def __str__(self) -> str:
        total = f" of {self.total}" if self.total else ""
        return f"frame {self.frames}{total}, {self.fps:.1f} frames/s"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the job that writes a file; `paused` means that it can be resumed."""

    state: State
    frames: int = 0  # processed, or in closed segments if paused
    total: int | None = None
    position: float = 0.0  # seconds
    length: float | None = None  # seconds
    fps: float = 0.0
    pid: int = 0  # of the running process
    error: str = ""  # why the last run ended, if it failed


class StatusFile:
    """Publishes the status of a running job in its work `folder`, and looks there for requests.

    Without a folder, it does nothing. `error` is why the run failed, if it did.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.error, self._written = folder, "", 0.0
        if folder:
            (folder / REQUEST).unlink(missing_ok=True)  # to an earlier run

    def update(self, progress: Progress) -> None:
        """Publish the progress, at most every half second."""
        now = time.monotonic()
        if self.folder and now - self._written >= _UPDATE_EVERY:
            self._written = now
            length = None if progress.length is None else float(progress.length)
            position, fps = float(progress.position), round(progress.fps, 2)
            self._write(Status("running", progress.frames, progress.total, position, length, fps, os.getpid()))

    def request(self) -> str:
        """What another process or thread has requested: "pause", "cancel", or "" for nothing."""
        if self.folder is None:
            return ""
        try:
            return (self.folder / REQUEST).read_text().strip()
        except OSError:
            return ""

    def end(self, *, resumable: bool) -> None:
        """Leave only the error, if the job can be resumed."""
        if self.folder is None:
            return
        for name in (REQUEST, STATUS):
            (self.folder / name).unlink(missing_ok=True)
        if resumable and self.error:
            self._write(Status("paused", error=self.error))

    def _write(self, status: Status) -> None:
        assert self.folder is not None
        part = self.folder / f"{STATUS}.part"
        with suppress(OSError):  # the disk may be full, which the run reports
            part.write_text(json.dumps(asdict(status)))
            part.replace(self.folder / STATUS)


def read_status(target: str | Path) -> Status:
    """The status of the job that writes `target`, from any process."""
    folder = work_folder_of(Path(target))
    saved = _read(folder)
    if is_locked(folder):
        return saved if saved and saved.state == "running" else Status("running")
    manifest = load(folder)
    if manifest and manifest.segments:
        error = saved.error if saved else ""
        return Status("paused", sum(segment.written for segment in manifest.segments), error=error)
    if frames := saved_frames(folder):
        return Status("paused", frames, error=saved.error if saved else "")
    return Status("finished" if Path(target).is_file() else "new")


def pause(target: str | Path) -> None:
    """Ask the running job that writes `target` to stop after the current frame."""
    _request(Path(target), "pause")


def cancel(target: str | Path) -> None:
    """Ask the running job that writes `target` to stop and to delete its work, or delete the work of a paused one."""
    if not _request(Path(target), "cancel") and work_folder_of(Path(target)).is_dir():
        with locked_folder(Path(target)) as folder:
            discard(folder)


def _request(target: Path, request: str) -> bool:
    """Leave a request for a running job; False if no job is running."""
    folder = work_folder_of(target)
    if not is_locked(folder):
        return False
    with suppress(FileNotFoundError):  # it has just ended
        (folder / REQUEST).write_text(request)
    return True


def _read(folder: Path) -> Status | None:
    try:
        return Status(**json.loads((folder / STATUS).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
