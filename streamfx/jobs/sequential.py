"""Runs a job in this process, from its first frame to its last."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from streamfx.effects.defaults import segment_length
from streamfx.errors import StreamfxError
from streamfx.jobs.checkpoint import Checkpoint, discard, stopped_run
from streamfx.jobs.fingerprint import differences, library_changes
from streamfx.jobs.generated import StillSource
from streamfx.jobs.manifest import Manifest, load
from streamfx.jobs.preparation import Task, reason_not_resumable
from streamfx.jobs.result import Callbacks, Ending, JobInterrupted, JobStart, ResumableError, State, StopRequest
from streamfx.jobs.status import Progress
from streamfx.media.output.writer import Writer
from streamfx.pipeline import run

log = logging.getLogger("streamfx")

MAX_SEGMENT = 10**6  # frames between two checkpoints


def run_sequentially(folder: Path | None, task: Task, writer: Writer, callbacks: Callbacks, *, resume: bool) -> Ending:
    """Run the chain over all frames in order, from the checkpoint in the work `folder` if there is one."""
    checkpoint, reason = open_checkpoint(folder, task, writer, resume=resume)
    done = checkpoint.done if checkpoint else 0
    callbacks.start(JobStart(task.length, done, checkpoint is not None, reason))
    tracker = _Tracker(task, done, callbacks)
    try:
        ending = _run(task, writer, checkpoint, tracker)
        if checkpoint and ending.state != "paused":
            checkpoint.remove()
        return ending
    finally:
        if checkpoint and not checkpoint.frames:
            checkpoint.remove()
        callbacks.status.end(resumable=checkpoint is not None and checkpoint.resumable)


def _run(task: Task, writer: Writer, checkpoint: Checkpoint | None, tracker: _Tracker) -> Ending:
    done = tracker.resumed
    try:
        with writer:
            if checkpoint and checkpoint.complete:
                return Ending("finished", done, done)
            source = task.source.frames(done) if isinstance(task.source, StillSource) else task.source
            device = task.job.device
            count = run(source, task.chain, writer, device=device, progress=tracker, checkpoint=checkpoint)
            return Ending("finished", count, done)
    except StopRequest as stop:
        if str(stop) == "cancel":
            if writer.partial_path:
                writer.partial_path.unlink(missing_ok=True)
            return Ending("canceled", tracker.frames, done)
        state: State = "paused" if checkpoint and checkpoint.resumable else "stopped"
        return Ending(state, tracker.frames, done, _saved(writer, checkpoint))
    except KeyboardInterrupt:
        raise JobInterrupted(_saved(writer, checkpoint)) from None
    except StreamfxError as error:
        tracker.callbacks.status.error = str(error)
        if checkpoint and checkpoint.resumable:
            raise ResumableError(f"{error}; {_saved(writer, checkpoint)}") from error
        raise


@dataclass
class _Tracker:
    """Counts frames, reports progress and handles stop requests."""

    task: Task
    frames: int
    callbacks: Callbacks

    def __post_init__(self) -> None:
        self.resumed, self.began = self.frames, time.monotonic()

    def __call__(self, position: Fraction) -> None:
        self.frames += 1
        task, elapsed = self.task, time.monotonic() - self.began
        self.callbacks.update(Progress(self.frames, task.frames, position, task.length, elapsed, self.resumed))


def _saved(writer: Writer, checkpoint: Checkpoint | None) -> str:
    """What a run that ended early left on disk."""
    if checkpoint and checkpoint.resumable:
        return f"{checkpoint.frames} frames are saved in '{checkpoint.folder}'"
    if writer.partial_path:
        return f"the first {writer.written} frames are in '{writer.partial_path}'"
    if writer.written and not writer.atomic:
        return f"{writer.written} frames were written to '{writer.name}'"
    return "nothing was saved"


def open_checkpoint(
    folder: Path | None, task: Task, writer: Writer, *, resume: bool = False, join: bool = False
) -> tuple[Checkpoint | None, str]:
    """The checkpoint of this run in its work `folder`, with the state of an earlier run if it is resumed or joined.

    None, and the reason if there is one, if this run saves no state.
    """
    if folder is None:
        return None, f"'{task.target}' is not a regular file"
    if task.job.output.overwrite and not resume and not join:
        discard(folder)
    saved = load(folder)
    if saved and not saved.segments:
        saved = None
    if saved and not (resume or join):
        raise stopped_run(folder, sum(segment.written for segment in saved.segments))
    if saved and not join:
        _check_unchanged(saved, task)
    reason = reason_not_resumable(task)
    every = saved.every if saved else task.job.segment or min(map(segment_length, task.chain), default=MAX_SEGMENT)
    if reason or (saved is None and task.frames is not None and task.frames <= every):
        return None, reason
    checkpoint = Checkpoint(folder, every, task.fingerprint, saved)
    checkpoint.attach(writer, task.reader)
    return checkpoint, ""


def _check_unchanged(saved: Manifest, task: Task) -> None:
    """Raise StreamfxError if the settings or the input differ from those of the stopped run."""
    changes = differences(saved.identity, task.fingerprint)
    if task.job.segment not in (None, saved.every):
        changes.append(f"segment was {saved.every}, is {task.job.segment}")
    if changes:
        raise StreamfxError(
            f"cannot resume '{task.target}': {'; '.join(changes)}. Give -y without --resume to start over"
        )
    for change in library_changes(saved.identity, task.fingerprint):
        log.warning("%s: frames may differ slightly from here on", change)
