"""Runs the renders of the queue, one at a time, each as a process of the command line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from streamfx.errors import StreamfxError
from streamfx.jobs import status as jobs
from streamfx.jobs.status import Status, read_status
from streamfx.studio.library import Library
from streamfx.studio.queue import Entry, RenderQueue

log = logging.getLogger("streamfx")

POLL = 0.25  # seconds between two looks at a running render
STOP_SECONDS = 20.0  # that a render gets to stop after its current frame
_INTERRUPTED = 130  # exit code of a command that was stopped


class Renders:
    """Runs the queue in a thread. A render that is running when the studio ends continues at its next start.

    A render is the command line itself, so that its video is the same. It is stopped through streamfx.jobs.
    """

    def __init__(self, queue: RenderQueue, library: Library) -> None:
        self.queue, self._library = queue, library
        self._stopping = Event()
        self._thread = Thread(target=self._work, name="renders", daemon=True)
        self._requests: dict[int, str] = {}  # id of a running render -> "pause" or "cancel"

    def start(self) -> None:
        """Start the thread."""
        for entry in self.queue.entries:
            if entry.state == "running" and self._status(entry).state != "running":
                self.queue.update(entry.id, state="waiting")  # stopped with the studio: resume
        self._thread.start()

    def stop(self) -> None:
        """Stop the running render after its current frame, and the thread; at the next start it is resumed."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def pause(self, number: int) -> None:
        """Stop a running render after its current frame, or keep a waiting one from starting."""
        if self.queue.get(number).state == "running":
            self._requests[number] = "pause"
        elif self.queue.get(number).state == "waiting":
            self.queue.update(number, state="paused")

    def resume(self, number: int) -> None:
        """Let a paused, canceled or failed render run again; it continues from its last checkpoint."""
        if self.queue.get(number).state in ("paused", "failed", "canceled"):
            self.queue.update(number, state="waiting", message="")

    def cancel(self, number: int) -> None:
        """Stop a render and delete its unfinished work."""
        entry = self.queue.get(number)
        if entry.state == "running":
            self._requests[number] = "cancel"
        elif entry.state in ("waiting", "paused", "failed"):
            jobs.cancel(self._path(entry))
            self.queue.update(number, state="canceled", frames=0, fps=0.0)

    def remove(self, number: int) -> None:
        """Remove a render from the list, with unfinished work; a finished video stays."""
        entry = self.queue.get(number)
        if entry.state not in ("running", "finished"):
            jobs.cancel(self._path(entry))
        self.queue.remove(number)
        self._log_file(entry).unlink(missing_ok=True)

    def _path(self, entry: Entry) -> Path:
        return self._library.resolve(entry.target)

    def _status(self, entry: Entry) -> Status:
        try:
            return read_status(self._path(entry))
        except StreamfxError:  # a damaged manifest, which the render itself reports
            return Status("new")

    def _log_file(self, entry: Entry) -> Path:
        return self._library.state / f"render-{entry.id}.log"

    def _work(self) -> None:
        for entry in self.queue.entries:
            if entry.state == "running" and not self._stopping.is_set():
                self._attempt(entry, adopted=True)
        while not self._stopping.wait(POLL):
            try:
                claimed = self.queue.claim_next()
            except StreamfxError as error:  # the disk is full
                log.error("%s", error)
                self._stopping.wait(5)
                continue
            if claimed is not None:
                self._attempt(claimed, adopted=False)

    def _attempt(self, entry: Entry, *, adopted: bool) -> None:
        """Run or follow one render; an error of the studio itself fails only this render."""
        try:
            self._follow(entry) if adopted else self._render(entry)
        except (OSError, StreamfxError) as error:
            log.error("%s", error)
            with suppress(StreamfxError):
                self.queue.update(entry.id, state="failed", message=str(error))

    def _render(self, entry: Entry) -> None:
        """Run a render as a process and wait for its end."""
        log_file = self._log_file(entry)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "streamfx", *entry.arguments, "--resume", "--json", "--no-progress"]
        began = time.monotonic()
        report = log_file.with_suffix(".json")
        with log_file.open("wb") as errors, report.open("wb") as output:  # files, which outlive the studio
            process = subprocess.Popen(
                command,
                cwd=self._library.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        requested = ""
        while process.poll() is None:
            requested = self._watch(entry, requested)
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
        self._requests.pop(entry.id, None)
        seconds = entry.seconds + time.monotonic() - began
        self._finish(entry, process.returncode, requested, seconds, _report(report))
        report.unlink(missing_ok=True)

    def _watch(self, entry: Entry, requested: str) -> str:
        """Show the progress of a running render and pass a request on to it; returns the request."""
        status = self._status(entry)
        if status.frames:
            progress = {"frames": status.frames, "total": status.total, "fps": status.fps}
            self.queue.update(entry.id, durable=False, **progress)
        request = "stop" if self._stopping.is_set() else self._requests.get(entry.id, "")
        if request and status.state == "running":
            (jobs.cancel if request == "cancel" else jobs.pause)(self._path(entry))  # again, if it was too early
        return request or requested

    def _follow(self, entry: Entry) -> None:
        """Wait for a render that an earlier studio, which was killed, has started."""
        requested = ""
        while self._status(entry).state == "running":
            requested = self._watch(entry, requested)
            time.sleep(POLL)
        code = 0 if self._path(entry).is_file() else 1
        self._requests.pop(entry.id, None)
        self._finish(entry, _INTERRUPTED if requested else code, requested, entry.seconds, {})

    def _finish(self, entry: Entry, code: int, requested: str, seconds: float, report: dict[str, float]) -> None:
        """Record how a render ended."""
        if code == 0:
            frames = int(report.get("frames_read", 0)) or self.queue.get(entry.id).frames
            fps = float(report.get("fps", 0)) or self.queue.get(entry.id).fps
            total = frames or None
            self.queue.update(entry.id, state="finished", seconds=seconds, frames=frames, total=total, fps=fps)
        elif requested == "cancel":
            jobs.cancel(self._path(entry))
            self.queue.update(entry.id, state="canceled", frames=0, fps=0.0)
        elif requested == "stop" or (code == _INTERRUPTED and self._stopping.is_set()):
            self.queue.update(entry.id, state="waiting", seconds=seconds)
        elif requested == "pause" or code == _INTERRUPTED:
            self.queue.update(entry.id, state="paused", seconds=seconds, fps=0.0)
        else:
            message = _last_message(self._log_file(entry)) or f"the command ended with code {code}"
            self.queue.update(entry.id, state="failed", message=message, seconds=seconds, fps=0.0)


def _report(file: Path) -> dict[str, float]:
    """The JSON report that a finished command printed; empty if there is none."""
    try:
        lines = file.read_text(errors="replace").strip().splitlines()
        report = json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _last_message(file: Path) -> str:
    """The last line that a command printed, without the program's name."""
    try:
        lines = file.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].removeprefix("streamfx: ")[:500] if lines else ""
