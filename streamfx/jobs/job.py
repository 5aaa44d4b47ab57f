"""Jobs: make a video in one or several runs, with checkpoints, from Python as from the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.jobs.checkpoint import discard, locked_folder
from streamfx.jobs.executor import Distribution
from streamfx.jobs.in_process import InProcess
from streamfx.jobs.notebook import notebook_progress
from streamfx.jobs.parallel import attach_leading_pieces, open_pieces, run_in_pieces
from streamfx.jobs.preparation import prepared
from streamfx.jobs.result import Callbacks, JobStart, OnProgress, Result
from streamfx.jobs.sequential import open_checkpoint, run_sequentially
from streamfx.jobs.settings import JobSettings
from streamfx.jobs.status import Status, StatusFile, cancel, pause, read_status
from streamfx.jobs.whole import check_start, executor_elsewhere, run_elsewhere


@dataclass(frozen=True)
class Job(JobSettings):
    """A video to make: what to read, what to do with it and what to write.

    `source` is a file, an image sequence ("frames/%05d.png"), a URL, a device, "-" for stdin, or a `StillSource`;
    `target` is a file, or "-" for stdout. `chain` is a chain of effects and FFmpeg filters, as text or as effects.

        job = Job("in.mp4", "out.mp4", "style=vangogh")
        job.run(progress=print)

    A run that ends early, by an error, an interrupt or `pause`, leaves its work in 'out.mp4.streamfx', from where
    `resume` continues, also in another process. Nothing is read or checked before a run.
    """

    def run(self, progress: OnProgress | None = None) -> Result:
        """Make the video; `progress` is called after each frame, by default a display in notebooks.

        Raises StreamfxError.
        """
        return run_job(self, on_progress=progress or notebook_progress())

    def resume(self, progress: OnProgress | None = None) -> Result:
        """Continue where an earlier run ended; if there was none, start. Raises StreamfxError."""
        return run_job(self, resume=True, on_progress=progress or notebook_progress())

    def pause(self) -> None:
        """Stop a run of this job, in another thread or process, after the current frame."""
        pause(self.target)

    def cancel(self) -> None:
        """Stop a run of this job, in another thread or process, and delete its work; a paused job's work as well."""
        cancel(self.target)

    def join_partial(self) -> Path:
        """Join the finished segments of a paused job into 'NAME.partial.EXT'; the job can still be resumed."""
        return join_partial(self)[0]

    def status(self) -> Status:
        """The state of this job, as left on disk by this or another process."""
        return read_status(self.target)


def run_job(
    job: Job,
    *,
    resume: bool = False,
    distribution: Distribution | None = None,
    on_start: Callable[[JobStart], object] | None = None,
    on_progress: OnProgress | None = None,
) -> Result:
    """Make the video of `job`, or continue an earlier run with `resume`.

    With a `distribution`, the video is rendered in pieces by several processes, if it can be split. The callbacks are
    called before the first frame and after each one. Raises StreamfxError, and JobInterrupted for a KeyboardInterrupt,
    which `on_progress` may raise as well to stop between two frames.
    """
    began = time.monotonic()
    with prepared(job) as task:
        if resume and task.is_finished():
            with locked_folder(Path(task.target)) as leftover:
                discard(leftover)  # of the run that finished it, if it was killed at the last moment
            return Result("already_finished", task.target)
        with ExitStack() as workers, ExitStack() as stack:
            writer = task.writer(overwrite=job.output.overwrite)
            folder = stack.enter_context(locked_folder(Path(task.target))) if writer.atomic else None
            callbacks = Callbacks(StatusFile(folder), on_start, on_progress)
            ending = None
            if files := open_pieces(folder, task, distribution, resume=resume):
                distribution = distribution or Distribution(InProcess())
                workers.enter_context(distribution.executor)  # stays connected if there is only one piece
                ending = run_in_pieces(files, task, writer, distribution, callbacks)
            if ending is None and (executor := executor_elsewhere(task, writer, distribution)):
                check_start(folder, task, writer, callbacks, resume=resume)
                stack.close()  # the other machine takes the lock
                return run_elsewhere(task, executor, callbacks, resume=resume)
            if ending is None:
                ending = run_sequentially(folder, task, writer, callbacks, resume=resume)
    task.check_damage(writer)
    seconds = time.monotonic() - began
    counts = writer.written, ending.frames, ending.resumed
    return Result(ending.state, task.target, *counts, seconds, writer.encoder, ending.message)


def join_partial(job: Job) -> tuple[Path, int]:
    """Join the finished segments of a paused job into 'NAME.partial.EXT'; returns it, and the number of its frames."""
    with prepared(job) as task, locked_folder(Path(task.target)) as folder:
        writer = task.writer(overwrite=True)
        if attach_leading_pieces(folder, writer):
            frames = writer.written
        else:
            checkpoint, _ = open_checkpoint(folder, task, writer, join=True)
            frames = checkpoint.frames if checkpoint else 0
        path = writer.join_partial() if frames else None
        if path is None:
            raise StreamfxError(f"there are no closed segments of '{task.target}' to join")
        return path, frames
