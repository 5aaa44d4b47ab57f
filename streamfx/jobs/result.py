"""How a run starts and ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from streamfx.errors import StreamfxError
from streamfx.jobs.status import Progress, StatusFile

OnProgress: TypeAlias = Callable[[Progress], object]


# stopped: at a request to pause, but without a checkpoint to resume from
State: TypeAlias = Literal["finished", "paused", "stopped", "canceled"]


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a run."""

    state: State | Literal["already_finished"]  # the last: by an earlier run
    output: str
    frames: int = 0  # written
    frames_read: int = 0  # input frames, with those of earlier runs
    resumed_frames: int = 0  # input frames that earlier runs had processed
    seconds: float = 0.0  # that this run took
    encoder: str | None = None  # FFmpeg's name
    message: str = ""  # what was left on disk, if paused or stopped

    @property
    def fps(self) -> float:
        """Input frames per second of this run."""
        return (self.frames_read - self.resumed_frames) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class JobStart:
    """What is known when the first frame is about to be processed."""

    length: Fraction | None  # seconds of the source
    resumed: int  # frames processed by earlier runs
    resumable: bool  # whether this run writes checkpoints
    reason: str = ""  # why not, if it could not with any settings


@dataclass(slots=True)
class Callbacks:
    """Whom to tell about a run."""

    status: StatusFile
    on_start: Callable[[JobStart], object] | None
    on_progress: OnProgress | None

    def start(self, start: JobStart) -> None:
        """Called before the first frame; a later call, if the run then goes another way, is ignored."""
        if self.on_start:
            self.on_start(start)
            self.on_start = None

    def show(self, progress: Progress) -> None:
        """Called when the run has advanced in another process. Raises what `on_progress` raises."""
        if self.on_progress:
            self.on_progress(progress)

    def update(self, progress: Progress) -> None:
        """Called after a frame. Raises StopRequest if the run should stop, or what `on_progress` raises."""
        self.show(progress)
        self.status.update(progress)
        if request := self.status.request():
            raise StopRequest(request)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the frames of a run ended."""

    state: State
    frames: int  # input frames, with those of earlier runs
    resumed: int  # input frames that earlier runs had processed
    message: str = ""  # what was left on disk, if paused or stopped


class JobInterrupted(KeyboardInterrupt):
    """A run was interrupted; the message says what was left on disk."""


class ResumableError(StreamfxError):
    """A run failed, but can be resumed from its checkpoint."""


class StopRequest(KeyboardInterrupt):
    """Stops a run at a request."""
