"""Runs a job that is not split on one node of a cluster, with checkpoints in the work folder, which all nodes share."""

from __future__ import annotations

import logging
import os
import pickle
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.jobs.checkpoint import work_folder_of
from streamfx.jobs.executor import Distribution, Executor
from streamfx.jobs.parallel import GRACE, MAX_TRIES, needed_files
from streamfx.jobs.preparation import Task
from streamfx.jobs.render_piece import JobRequest, Outcome
from streamfx.jobs.result import Callbacks, JobInterrupted, JobStart, Result, ResumableError
from streamfx.jobs.sequential import open_checkpoint
from streamfx.jobs.status import Progress, pause, read_status
from streamfx.media.limits import pixel_limit
from streamfx.media.output.writer import Writer

log = logging.getLogger("streamfx")

_TICK = 0.2  # seconds between two looks at the work folder


def executor_elsewhere(task: Task, writer: Writer, distribution: Distribution | None) -> Executor | None:
    """The executor if it has other machines, and one of them can read the source, build the effects and write."""
    if distribution is None or not distribution.executor.has_other_machines or not writer.atomic:
        return None
    if task.files is None and not (task.reader and "://" in task.reader.name):
        return None
    try:
        pickle.dumps(task.job)
    except (pickle.PicklingError, TypeError, AttributeError):  # an effect that was made by hand
        return None
    return distribution.executor


def check_start(folder: Path | None, task: Task, writer: Writer, callbacks: Callbacks, *, resume: bool) -> None:
    """Announce the start of a run. Raises StreamfxError if it cannot start, as `run_sequentially` does."""
    checkpoint, reason = open_checkpoint(folder, task, writer, resume=resume)
    callbacks.start(JobStart(task.length, checkpoint.done if checkpoint else 0, checkpoint is not None, reason))


def run_elsewhere(task: Task, executor: Executor, callbacks: Callbacks, *, resume: bool) -> Result:
    """Run or resume the job on a worker of the executor. Call it without the lock of the work folder.

    If the worker is lost, another one resumes. Raises StreamfxError, and JobInterrupted if `callbacks` interrupts.
    """
    folder = work_folder_of(Path(task.target)).absolute()
    files = needed_files(task)
    folder.mkdir(exist_ok=True)
    try:
        with executor:
            executor.check(os.getcwd(), folder, files)
            for number in range(MAX_TRIES):
                request = JobRequest(task.job, os.getcwd(), files, resume or number > 0, pixel_limit())
                executor.start(request)
                outcome = _wait(task, executor, callbacks)
                if outcome.result is not None:
                    log.info("'%s' was rendered by %s", task.target, outcome.worker)
                    return outcome.result
                if not outcome.retry:
                    break
                log.warning("'%s' is continued by another worker: %s", task.target, outcome.error)
        saved = read_status(task.target).state == "paused"
        raise ResumableError(f"{outcome.error}; {_saved(task)}") if saved else StreamfxError(outcome.error)
    finally:
        with suppress(OSError):  # not empty, or already removed
            folder.rmdir()


def _wait(task: Task, executor: Executor, callbacks: Callbacks) -> Outcome:
    """Wait until the task ends, and report its progress."""
    began = time.monotonic()
    resumed = read_status(task.target).frames
    try:
        while True:
            for outcome in executor.wait(_TICK):
                for warning in outcome.warnings:
                    log.warning("%s", warning)
                return outcome
            status = read_status(task.target)
            position = Fraction(status.position)
            elapsed, detail = time.monotonic() - began, executor.describe()
            callbacks.show(Progress(status.frames, task.frames, position, task.length, elapsed, resumed, detail))
    except KeyboardInterrupt:
        deadline = time.monotonic() + GRACE
        while executor.running() and time.monotonic() < deadline:
            pause(task.target)  # again, if it had not begun
            executor.wait(_TICK)
        raise JobInterrupted(_saved(task)) from None


def _saved(task: Task) -> str:
    """What a run that ended early left on disk."""
    frames = read_status(task.target).frames
    return f"{frames} frames are saved in '{work_folder_of(Path(task.target))}'" if frames else "nothing was saved"
