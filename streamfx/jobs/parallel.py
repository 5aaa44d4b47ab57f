"""Runs a job in pieces with an executor, and resumes it. The files in the work folder are the only state."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import takewhile
from pathlib import Path

from streamfx.chain import chain_text
from streamfx.effects.defaults import input_files
from streamfx.errors import StreamfxError
from streamfx.jobs.checkpoint import discard, stopped_run
from streamfx.jobs.executor import Distribution, Executor
from streamfx.jobs.fingerprint import differences
from streamfx.jobs.manifest import PLAN, load
from streamfx.jobs.piece_files import PieceFiles, Plan, saved_frames
from streamfx.jobs.planner import Piece
from streamfx.jobs.preparation import Task
from streamfx.jobs.render_piece import Outcome, PieceRequest
from streamfx.jobs.result import Callbacks, Ending, JobInterrupted, JobStart, ResumableError, State, StopRequest
from streamfx.jobs.settings import JobSettings
from streamfx.jobs.splitting import make_plan, why_not_split, why_one_piece
from streamfx.jobs.status import Progress
from streamfx.media.limits import pixel_limit
from streamfx.media.output.segments import Segment, Segments
from streamfx.media.output.writer import Writer

log = logging.getLogger("streamfx")

MAX_TRIES = 4  # of a piece that fails, in one run
GRACE = 10.0  # seconds for running tasks to stop, before they are ended by force
_TICK = 0.1  # seconds between two looks at the work folder
_UPDATE = 0.5  # seconds between two readings of the tasks' reports
_VISIBLE = 5.0  # seconds after which a finished file must be visible here; network file systems cache folders


@dataclass
class Tracker:
    """Reports progress and passes on requests to stop, before and while tasks run."""

    task: Task
    callbacks: Callbacks
    resumed: int = 0  # frames finished by earlier runs
    frames: int = 0  # finished

    def __post_init__(self) -> None:
        self._began, self._scanned, self._shown = time.monotonic(), 0, 0.0

    def scanning(self, position: Fraction) -> None:
        """Called after each frame of the first pass."""
        self._scanned += 1
        now = time.monotonic()
        if now - self._shown >= _TICK:
            self._shown = now
            self.update(0, self.task.frames, f"finding cuts: {self._scanned} frames read")

    def update(self, frames: int, total: int | None, detail: str) -> None:
        """Report that `frames` are finished. Raises StopRequest, or what `on_progress` raises."""
        self.frames = frames
        length, elapsed = self.task.length, time.monotonic() - self._began
        position = length * min(frames, total) / total if length and total else Fraction(0)
        self.callbacks.update(Progress(frames, total, position, length, elapsed, self.resumed, detail))


def open_pieces(
    folder: Path | None, task: Task, distribution: Distribution | None, *, resume: bool
) -> PieceFiles | None:
    """The files of a job that is to be rendered in pieces; None if it runs in order, with a warning why.

    Raises StreamfxError if there are pieces of an earlier run and no `resume`.
    """
    reason = "" if folder else f"'{task.target}' is not a regular file"
    if folder:
        if task.job.output.overwrite and not resume:
            discard(folder)
        if (folder / PLAN).exists():
            if resume:
                return PieceFiles(folder)
            if frames := saved_frames(folder):
                raise stopped_run(folder, frames)
            discard(folder)
        saved = load(folder)
        started = saved is not None and bool(saved.segments)
        reason = "the stopped run was not split" if started else why_not_split(task)
        if distribution and not reason:
            return PieceFiles(folder)
    if distribution:
        log.warning("'%s' is not split: %s", task.reader.name if task.reader else task.target, reason)
    return None


def run_in_pieces(
    files: PieceFiles, task: Task, writer: Writer, distribution: Distribution, callbacks: Callbacks
) -> Ending | None:
    """Render the job in pieces and join them; None if it has only one piece, with a warning why."""
    tracker = Tracker(task, callbacks)
    try:
        callbacks.start(JobStart(task.length, saved_frames(files.folder), True))
        plan, segments = plan_and_render(files, task, distribution, tracker)
        if plan.is_whole:
            log.warning("'%s' is not split: %s", task.job.source, why_one_piece(task, exact=distribution.exact))
            return None
        with writer:
            writer.use_segments(Segments(files.folder, segments, plan.layout))
        task.damaged_at = plan.damaged_at
        discard(files.folder)
        return Ending("finished", plan.frames, tracker.resumed)
    except StopRequest as stop:
        if str(stop) == "cancel":
            discard(files.folder)
            return Ending("canceled", tracker.frames, tracker.resumed)
        state: State = "paused" if saved_frames(files.folder) else "stopped"
        return Ending(state, tracker.frames, tracker.resumed, _saved(files))
    except KeyboardInterrupt:
        raise JobInterrupted(_saved(files)) from None
    except StreamfxError as error:
        callbacks.status.error = str(error)
        if saved_frames(files.folder):
            raise ResumableError(f"{error}; {_saved(files)}") from error
        raise
    finally:
        resumable = bool(saved_frames(files.folder))
        if not resumable:
            discard(files.folder)
        callbacks.status.end(resumable=resumable)


def plan_and_render(
    files: PieceFiles, task: Task, distribution: Distribution, tracker: Tracker
) -> tuple[Plan, list[Segment]]:
    """The plan of a job and its rendered segments; none if it is a single piece.

    Raises StreamfxError if a worker lacks a file, which is checked first, or if a piece fails.
    """
    with distribution.executor as executor:
        executor.check(os.getcwd(), files.folder.absolute(), needed_files(task))
        plan = open_plan(files, task, distribution, tracker)
        if plan.is_whole:
            return plan, []
        files.store_plan(plan)
        return plan, render_pieces(files, plan, task, executor, tracker)


def attach_leading_pieces(folder: Path, writer: Writer) -> bool:
    """Let `writer` join the finished pieces before the first unfinished one; False if the job was not split."""
    files = PieceFiles(folder)
    plan = files.load_plan()
    if plan is None:
        return False
    segments = list(takewhile(lambda segment: segment is not None, (files.finished(p.number) for p in plan.pieces)))
    writer.use_segments(Segments(folder, [segment for segment in segments if segment], plan.layout))
    return True


def _saved(files: PieceFiles) -> str:
    """What a run that ended early left on disk."""
    frames = saved_frames(files.folder)
    return f"{frames} frames are saved in '{files.folder}'" if frames else "nothing was saved"


def open_plan(files: PieceFiles, task: Task, distribution: Distribution, tracker: Tracker) -> Plan:
    """The plan of an earlier run, or a new one. Raises StreamfxError if the job has changed since."""
    plan = files.load_plan()
    if plan is None:
        slots = distribution.executor.slots
        return make_plan(task, slots, exact=distribution.exact, progress=tracker.scanning)
    changes = differences(plan.identity, task.fingerprint)
    if task.job.segment not in (None, plan.length):
        changes.append(f"segment was {plan.length}, is {task.job.segment}")
    if distribution.exact and not plan.exact:
        changes.append("it was split without --exact")
    if changes:
        raise StreamfxError(
            f"cannot resume '{task.target}': {'; '.join(changes)}. Give -y without --resume to start over"
        )
    return plan


def render_pieces(files: PieceFiles, plan: Plan, task: Task, executor: Executor, tracker: Tracker) -> list[Segment]:
    """Render all pieces that are not finished; the segments of all pieces, in order.

    Raises StreamfxError if one fails. If the run is stopped, finished pieces stay on disk.
    """
    finished = {piece.number: segment for piece in plan.pieces if (segment := files.finished(piece.number))}
    missing = [piece for piece in plan.pieces if piece.number not in finished]
    tracker.resumed = sum(plan.pieces[number].frames for number in finished)
    files.start()
    files.clean(finished.values())
    requests = deque(piece_request(files.folder, plan, task, piece) for piece in missing)
    run = _Run(files, plan, executor, requests, finished, tracker)
    try:
        run.to_end()
    finally:
        run.stop_tasks()
    return [finished[piece.number] for piece in plan.pieces]


@dataclass
class _Run:
    """The tasks of one run."""

    files: PieceFiles
    plan: Plan
    executor: Executor
    waiting: deque[PieceRequest]
    finished: dict[int, Segment]
    tracker: Tracker

    def __post_init__(self) -> None:
        self._requests = {request.piece.number: request for request in self.waiting}
        self._tries: Counter[int] = Counter()
        self._updated = 0.0

    def to_end(self) -> None:
        """Run until all pieces are finished. Raises StreamfxError if one cannot be rendered."""
        while self.waiting or self.executor.running():
            while self.waiting and self.executor.free():
                self.executor.start(self.waiting.popleft())
            for outcome in self.executor.wait(_TICK):
                self._end(outcome)
            if (now := time.monotonic()) - self._updated >= _UPDATE:
                self._updated = now
                self._update()
        self._update()

    def stop_tasks(self) -> None:
        """Ask the tasks that still run to stop, and wait a moment; leaving the executor ends the rest by force."""
        self.files.stop()
        deadline = time.monotonic() + GRACE
        while self.executor.running() and time.monotonic() < deadline:
            self.executor.wait(_TICK)
        self.files.start()

    def _end(self, outcome: Outcome) -> None:
        number = outcome.number
        if not outcome.error and not outcome.stopped and (segment := _wait_for(self.files, number)):
            self.finished[number] = segment
            return
        error = outcome.error or f"{outcome.worker} wrote a segment to '{self.files.folder}' that is not there"
        piece = self.plan.pieces[number]
        frames = f"frames {piece.first} to {piece.stop - 1}"
        self._tries[number] += 1
        if not (outcome.retry or not outcome.error) or self._tries[number] >= MAX_TRIES:
            tries = f" ({self._tries[number]} tries)" if self._tries[number] > 1 else ""
            raise StreamfxError(f"{frames}: {error}{tries}")
        log.warning("%s are rendered again: %s", frames, error)
        self.waiting.append(self._requests[number])

    def _update(self) -> None:
        pieces = self.plan.pieces
        reports = [self.files.reported(number) for number in self._requests if number not in self.finished]
        frames = sum(pieces[number].frames for number in self.finished) + sum(r.frames for r in reports if r)
        detail = f"{len(self.finished)} of {len(pieces)} segments, {self.executor.describe()}"
        self.tracker.update(frames, self.plan.frames, detail)


def _wait_for(files: PieceFiles, number: int) -> Segment | None:
    """The record of a piece that a task has finished, once its segment is visible on this machine."""
    deadline = time.monotonic() + _VISIBLE
    while True:
        segment = files.record(number)
        if segment is not None and (files.folder / segment.file).exists():
            return segment
        if time.monotonic() > deadline:
            return None
        time.sleep(_TICK)


def piece_request(folder: Path, plan: Plan, task: Task, piece: Piece) -> PieceRequest:
    fields = {name: getattr(task.job, name) for name in JobSettings.__dataclass_fields__}
    text = chain_text(task.chain)  # with the filters for rate, size and width
    settings = replace(JobSettings(**fields), chain=text, output=task.output, rate=None, size=None, width=None)
    folder, files = folder.absolute(), needed_files(task)
    return PieceRequest(settings, os.getcwd(), folder, files, piece, plan.layout, plan.rate, pixel_limit())


def needed_files(task: Task) -> list[str]:
    """The files that a worker reads: the source, and those of the effects."""
    sources = list(task.files or ())
    needed = [*sources[:1], *sources[-1:], *(path for effect in task.chain for path in input_files(effect))]
    return list(dict.fromkeys(str(path) for path in needed))
