"""The queue of renders: an ordered list of command lines with their state, kept in a file."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any, Literal, TypeAlias

from streamfx.errors import StreamfxError
from streamfx.media.output.paths import replace_durably
from streamfx.studio.format import clock

log = logging.getLogger("streamfx")

State: TypeAlias = Literal["waiting", "running", "paused", "finished", "failed", "canceled"]
ENDED: frozenset[State] = frozenset(("finished", "failed", "canceled"))
MAX_ENTRIES = 1000

_VERSION = 1  # of the file


@dataclass(frozen=True, slots=True)
class Entry:
    """A render: the arguments of the `streamfx` command that makes it, and how far it has come."""

    id: int
    arguments: tuple[str, ...]  # after "streamfx"
    target: str  # the file that the command writes
    state: State = "waiting"
    message: str = ""  # why it failed
    frames: int = 0  # input frames processed
    total: int | None = None  # expected number of input frames
    fps: float = 0.0  # input frames per second
    seconds: float = 0.0  # that the render took
    added: float = 0.0  # seconds since the epoch

    @property
    def share(self) -> float:
        """The finished share, 0..1."""
        if self.state == "finished":
            return 1.0
        return min(1.0, self.frames / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at the present speed; None if unknown."""
        return (self.total - self.frames) / self.fps if self.total and self.fps > 0 else None

    @property
    def text(self) -> str:
        """The state with the progress, as on the command line."""
        frames = f"frame {self.frames}" + (f" of {self.total}" if self.total else "")
        if self.state == "running":
            if not self.frames:
                return "starting"
            left = "" if self.seconds_left is None else f" · {clock(self.seconds_left)} left"
            return f"{frames} · {self.fps:.1f} frames/s{left}"
        if self.state == "finished":
            return f"finished · {self.frames} frames in {clock(self.seconds)}"
        if self.state == "failed":
            return f"failed: {self.message}"
        return f"{self.state} · {frames}" if self.frames else self.state


class RenderQueue:
    """Entries in the order in which they are rendered. Safe to use from several threads.

    `held` stops the start of further renders. `version` counts changes. Every change is on disk when its method
    returns, except for progress.
    """

    def __init__(self, file: Path) -> None:
        """Load the queue from `file`, or start an empty one; a damaged file is kept as FILE.damaged."""
        self._file, self._lock = file, RLock()
        self._entries: list[Entry] = []
        self.held, self.version, self._next_id = False, 0, 1
        if file.exists():
            self._load()

    @property
    def entries(self) -> list[Entry]:
        """A copy of the list."""
        with self._lock:
            return list(self._entries)

    def get(self, number: int) -> Entry:
        """The entry with this id. Raises StreamfxError."""
        entry = next((entry for entry in self.entries if entry.id == number), None)
        if entry is None:
            raise StreamfxError("this render is no longer in the queue")
        return entry

    def add(self, arguments: Sequence[str], target: str) -> Entry:
        """Append a render. Raises StreamfxError if another one writes the same file."""
        with self._lock:
            if any(entry.target == target and entry.state not in ENDED for entry in self._entries):
                raise StreamfxError(f"'{target}' is already in the queue; give another name")
            if len(self._entries) >= MAX_ENTRIES:
                raise StreamfxError(f"the queue holds {MAX_ENTRIES} renders; remove some first")
            entry = Entry(self._next_id, tuple(arguments), target, added=time.time())
            self._next_id += 1
            self._entries.append(entry)
            self._changed()
            return entry

    def update(self, number: int, *, durable: bool = True, **changes: Any) -> Entry:
        """Change fields of an entry; with `durable` off, only in memory."""
        with self._lock:
            entry = replace(self.get(number), **changes)
            self._entries = [entry if old.id == number else old for old in self._entries]
            self._changed(durable=durable)
            return entry

    def claim_next(self) -> Entry | None:
        """Mark the first waiting entry as running and return it; None if there is none or the queue is held."""
        with self._lock:
            entry = next((entry for entry in self._entries if entry.state == "waiting"), None)
            if entry is None or self.held:
                return None
            return self.update(entry.id, state="running", message="")

    def move(self, number: int, by: int) -> None:
        """Move an entry by this many places; -1 is one place earlier."""
        with self._lock:
            entry = self.get(number)
            index = self._entries.index(entry)
            self._entries.remove(entry)
            self._entries.insert(max(0, index + by), entry)
            self._changed()

    def remove(self, number: int) -> None:
        """Remove an entry that is not running. Raises StreamfxError."""
        with self._lock:
            if self.get(number).state == "running":
                raise StreamfxError("this render is running; cancel it first")
            self._entries = [entry for entry in self._entries if entry.id != number]
            self._changed()

    def hold(self, held: bool) -> None:
        """Stop or allow the start of further renders."""
        with self._lock:
            self.held = held
            self._changed()

    def _changed(self, *, durable: bool = True) -> None:
        self.version += 1
        if not durable:
            return
        content = {"version": _VERSION, "held": self.held, "next": self._next_id}
        text = json.dumps(content | {"entries": [asdict(entry) for entry in self._entries]}, indent=1)
        part = self._file.with_suffix(".part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text)
            replace_durably(part, self._file)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StreamfxError(f"cannot save the queue in '{self._file}': {error.strerror}") from error

    def _load(self) -> None:
        try:
            content = json.loads(self._file.read_bytes())
            if content["version"] != _VERSION:
                raise ValueError("another version")
            entries = [Entry(**{**fields, "arguments": tuple(fields["arguments"])}) for fields in content["entries"]]
            self._entries, self.held, self._next_id = entries, bool(content["held"]), int(content["next"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            damaged = self._file.with_suffix(".json.damaged")
            self._file.replace(damaged)
            log.warning("the queue '%s' cannot be read (%s); it is kept as '%s'", self._file, error, damaged)
