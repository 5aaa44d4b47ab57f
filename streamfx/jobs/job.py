"""Jobs: make a video in one or several runs, with checkpoints, from Python as from the command line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

from streamfx.chain import build_chain, chain_text
from streamfx.effects.defaults import at_rate, flattened, prefers_speed, resolve, segment_length, uses_all_cores
from streamfx.errors import StreamfxError
from streamfx.frame import Effect
from streamfx.jobs.checkpoint import Checkpoint, discard, locked_folder
from streamfx.jobs.fingerprint import Fingerprint, differences, fingerprint_of, library_changes, source_files
from streamfx.jobs.generated import StillSource
from streamfx.jobs.manifest import Manifest, load
from streamfx.jobs.notebook import notebook_progress
from streamfx.jobs.scaling import with_scaling
from streamfx.jobs.status import Progress, Status, StatusFile, cancel, pause, read_status
from streamfx.media.encoding import Output
from streamfx.media.filters.effect import Filters
from streamfx.media.input.reader import Reader
from streamfx.media.input.resume_points import stateful_filter
from streamfx.media.output.formats import format_of
from streamfx.media.output.paths import comment_of
from streamfx.media.output.segments import can_hold_segments
from streamfx.media.output.soundtrack import Soundtrack
from streamfx.media.output.writer import Writer
from streamfx.pipeline import find_device, prefetch, run
from streamfx.version import __version__

log = logging.getLogger("streamfx")

MAX_SEGMENT = 10**6  # frames between two checkpoints

OnProgress: TypeAlias = Callable[[Progress], object]


@dataclass(frozen=True)
class Job:
    """A video to make: what to read, what to do with it and what to write.

    `source` is a file, an image sequence ("frames/%05d.png"), a URL, a device, "-" for stdin, or a `StillSource`;
    `target` is a file, or "-" for stdout. `chain` is a chain of effects and FFmpeg filters, as text or as effects.

        job = Job("in.mp4", "out.mp4", "style=vangogh")
        job.run(progress=print)

    A run that ends early, by an error, an interrupt or `pause`, leaves its work in 'out.mp4.streamfx', from where
    `resume` continues, also in another process. Nothing is read or checked before a run.
    """

    source: str | Path | StillSource
    target: str | Path
    chain: str | Sequence[Effect] = ()
    output: Output = field(default_factory=Output)
    start: Fraction | float = 0  # seconds of the source
    end: Fraction | float | None = None  # seconds of the source
    size: tuple[int, int] | None = None  # width and height to scale the source to; -1 or -2 keeps the aspect ratio
    rate: Fraction | None = None  # frames per second of the output; frames are dropped or repeated
    width: int | None = None  # pixels; scale the output to it
    input_format: str | None = None  # FFmpeg's demuxer
    input_rate: Fraction | None = None  # frames per second of image sequences and cameras
    device: str = "auto"  # or cpu, cuda
    segment: int | None = None  # frames between two checkpoints; 0: none; None: by the effects

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


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a run."""

    # stopped: at a request to pause, but without a checkpoint to resume from; already_finished: by an earlier run
    state: Literal["finished", "paused", "stopped", "canceled", "already_finished"]
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


class JobInterrupted(KeyboardInterrupt):
    """A run was interrupted; the message says what was left on disk."""


class ResumableError(StreamfxError):
    """A run failed, but can be resumed from its checkpoint."""


class _Stop(KeyboardInterrupt):
    """Stops a run at a request."""


def run_job(
    job: Job,
    *,
    resume: bool = False,
    on_start: Callable[[JobStart], object] | None = None,
    on_progress: OnProgress | None = None,
) -> Result:
    """Make the video of `job`, or continue an earlier run with `resume`.

    The callbacks are called before the first frame and after each one. Raises StreamfxError, and JobInterrupted for a
    KeyboardInterrupt, which `on_progress` may raise as well to stop between two frames.
    """
    began = time.monotonic()
    with _prepared(job) as task:
        if resume and task.is_finished():
            with locked_folder(Path(task.target)) as leftover:
                discard(leftover)  # of the run that finished it, if it was killed at the last moment
            return Result("already_finished", task.target)
        with ExitStack() as stack:
            writer = task.writer(overwrite=job.output.overwrite)
            folder = stack.enter_context(locked_folder(Path(task.target))) if writer.atomic else None
            checkpoint, reason = _open_checkpoint(folder, task, writer, resume=resume)
            done = checkpoint.done if checkpoint else 0
            if on_start:
                on_start(JobStart(task.length, done, checkpoint is not None, reason))
            state, read, message = _run(task, writer, checkpoint, StatusFile(folder), on_progress)
            if checkpoint and state != "paused":
                checkpoint.remove()
    task.check_damage(writer)
    seconds = time.monotonic() - began
    return Result(state, task.target, writer.written, read, done, seconds, writer.encoder, message)


def join_partial(job: Job) -> tuple[Path, int]:
    """Join the finished segments of a paused job into 'NAME.partial.EXT'; returns it, and the number of its frames."""
    with _prepared(job) as task, locked_folder(Path(task.target)) as folder:
        writer = task.writer(overwrite=True)
        checkpoint, _ = _open_checkpoint(folder, task, writer, join=True)
        path = writer.join_partial() if checkpoint else None
        if checkpoint is None or path is None:
            raise StreamfxError(f"there are no closed segments of '{task.target}' to join")
        return path, checkpoint.frames


@dataclass
class _Task:
    """A job with its source opened and everything chosen that was left open."""

    job: Job
    target: str
    chain: Sequence[Effect]  # with the filters for rate, size and width
    source: Reader | StillSource
    files: Sequence[Path] | None  # of the source; None if it can be read only once
    length: Fraction | None  # seconds
    frames: int | None  # expected number of input frames
    soundtrack: Soundtrack | None
    fingerprint: Fingerprint
    output: Output  # with a comment that describes the job

    @property
    def reader(self) -> Reader | None:
        return self.source if isinstance(self.source, Reader) else None

    def writer(self, *, overwrite: bool) -> Writer:
        return Writer(self.target, self.reader, replace(self.output, overwrite=overwrite), self.soundtrack)

    def is_finished(self) -> bool:
        """Whether the target is the finished video of this job."""
        return f"[{self.fingerprint.key}]" in comment_of(self.target)

    def check_damage(self, writer: Writer) -> None:
        """Raise StreamfxError if the source ended early."""
        if self.reader is not None and self.reader.damaged_at is not None:
            of = f" of {float(self.length):.2f} s" if self.length else ""
            raise StreamfxError(
                f"'{self.reader.name}' ends early or is damaged at {float(self.reader.damaged_at):.2f} s{of}; "
                f"'{self.target}' contains the {writer.written} frames that could be read"
            )


@contextmanager
def _prepared(job: Job) -> Iterator[_Task]:
    chain = build_chain(job.chain) if isinstance(job.chain, str) else list(job.chain)
    start, end = Fraction(job.start), None if job.end is None else Fraction(job.end)
    if not all(isinstance(effect, Filters) for effect in chain):
        device = find_device(job.device)
        chain = [resolve(effect, device, start) for effect in chain]
    target = str(job.target)
    with ExitStack() as stack:
        stack.enter_context(_thread_limits(chain))
        soundtrack: Soundtrack | None = None
        source: Reader | StillSource
        length: Fraction | None
        frames: int | None
        if isinstance(job.source, StillSource):
            source, length, frames = job.source, job.source.length, job.source.count
            files = _all_files(job.source.files)
            if job.source.audio is not None:
                audio = job.source.audio
                soundtrack = stack.enter_context(Soundtrack(audio.path, length, audio.start))
        else:
            source = stack.enter_context(_open(job, str(job.source), start, end))
            length, rate = source.info.duration, job.rate or source.info.rate
            chain = [at_rate(effect, source.info.rate) for effect in chain] if source.info.rate else chain
            frames = round(length * rate) if length and rate else None
            files = source_files(str(job.source)) if job.input_format is None else None
        scaled = with_scaling(chain, job.rate, job.size, job.width, target, job.output.format)
        fast = any(prefers_speed(effect) for effect in chain)
        text = chain_text(chain) or "null"
        fingerprint = fingerprint_of(_settings(job, text, frames, fast), files or (), scaled)
        comment = f"streamfx {__version__}: {text} [{fingerprint.key}]"
        output = replace(job.output, fast=fast, comment=comment)
        yield _Task(job, target, scaled, source, files, length, frames, soundtrack, fingerprint, output)


def _open(job: Job, name: str, start: Fraction, end: Fraction | None) -> Reader:
    """The source, opened on another thread, so that one that sends nothing yet can be interrupted."""
    readers = (
        Reader(name, input_format=job.input_format, input_rate=job.input_rate, start=start, end=end) for _ in range(1)
    )
    with closing(prefetch(readers)) as opening:
        return next(opening)


def _all_files(names: Sequence[str]) -> list[Path] | None:
    """The files of all sources; None if one of them can be read only once."""
    known = [source_files(name) for name in names]
    return [file for files in known for file in files or ()] if all(files is not None for files in known) else None


@contextmanager
def _thread_limits(chain: Sequence[Effect]) -> Iterator[None]:
    """Keep torch and OpenCV to one thread each while decoder, engine and encoder need the cores."""
    if all(isinstance(effect, Filters) for effect in chain) or any(uses_all_cores(effect) for effect in chain):
        yield
        return
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _settings(job: Job, chain: str, frames: int | None, fast: bool) -> dict[str, object]:
    """The settings of the video for its fingerprint."""
    output = job.output
    generated = job.source if isinstance(job.source, StillSource) else None
    values: dict[str, object] = {
        "chain": chain,
        "format": output.format,
        "encoder": output.encoder,
        "crf": output.crf,
        "encoder options": " ".join(f"{key}={value}" for key, value in output.options.items()),
        "pixel format": output.pix_fmt,
        "audio": output.audio,
        "fast encoding": fast,
        "device": job.device,
        "start": job.start,
        "end": job.end,
        "size": job.size and "{}x{}".format(*job.size),
        "frame rate": job.rate,
        "width": job.width,
        "input format": job.input_format,
        "input frame rate": job.input_rate,
        "frames": frames if generated else None,
        "soundtrack": bool(generated and generated.audio),
    }
    return {name: "" if value is None else value for name, value in values.items()}


def _run(
    task: _Task, writer: Writer, checkpoint: Checkpoint | None, status: StatusFile, on_progress: OnProgress | None
) -> tuple[Literal["finished", "paused", "stopped", "canceled"], int, str]:
    """Run the chain; returns the state, the number of input frames, and what was left on disk if it was stopped."""
    done = checkpoint.done if checkpoint else 0
    tracker = _Tracker(task, done, status, on_progress)
    try:
        with writer:
            if checkpoint and checkpoint.complete:
                return "finished", done, ""
            source = task.source.frames(done) if isinstance(task.source, StillSource) else task.source
            device = task.job.device
            count = run(source, task.chain, writer, device=device, progress=tracker, checkpoint=checkpoint)
            return "finished", count, ""
    except _Stop as stop:
        if str(stop) == "cancel":
            if writer.partial_path:
                writer.partial_path.unlink(missing_ok=True)
            return "canceled", tracker.frames, ""
        state: Literal["paused", "stopped"] = "paused" if checkpoint and checkpoint.resumable else "stopped"
        return state, tracker.frames, _saved(writer, checkpoint)
    except KeyboardInterrupt:
        raise JobInterrupted(_saved(writer, checkpoint)) from None
    except StreamfxError as error:
        status.error = str(error)
        if checkpoint and checkpoint.resumable:
            raise ResumableError(f"{error}; {_saved(writer, checkpoint)}") from error
        raise
    finally:
        if checkpoint and not checkpoint.frames:
            checkpoint.remove()
        status.end(resumable=checkpoint is not None and checkpoint.resumable)


@dataclass
class _Tracker:
    """Counts frames, reports progress and handles stop requests."""

    task: _Task
    frames: int
    status: StatusFile
    on_progress: OnProgress | None

    def __post_init__(self) -> None:
        self.resumed, self.began = self.frames, time.monotonic()

    def __call__(self, position: Fraction) -> None:
        self.frames += 1
        task, elapsed = self.task, time.monotonic() - self.began
        progress = Progress(self.frames, task.frames, position, task.length, elapsed, self.resumed)
        if self.on_progress:
            self.on_progress(progress)
        self.status.update(progress)
        if request := self.status.request():
            raise _Stop(request)


def _saved(writer: Writer, checkpoint: Checkpoint | None) -> str:
    """What a run that ended early left on disk."""
    if checkpoint and checkpoint.resumable:
        return f"{checkpoint.frames} frames are saved in '{checkpoint.folder}'"
    if writer.partial_path:
        return f"the first {writer.written} frames are in '{writer.partial_path}'"
    if writer.written and not writer.atomic:
        return f"{writer.written} frames were written to '{writer.name}'"
    return "nothing was saved"


def _open_checkpoint(
    folder: Path | None, task: _Task, writer: Writer, *, resume: bool = False, join: bool = False
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
        frames = sum(segment.written for segment in saved.segments)
        raise StreamfxError(
            f"'{folder}' contains {frames} frames of a stopped run; give --resume to continue, -y to start over, "
            "or --join-partial to join them into a video"
        )
    if saved and not join:
        _check_unchanged(saved, task)
    reason = _reason_not_resumable(task)
    every = saved.every if saved else task.job.segment or min(map(segment_length, task.chain), default=MAX_SEGMENT)
    if reason or (saved is None and task.frames is not None and task.frames <= every):
        return None, reason
    checkpoint = Checkpoint(folder, every, task.fingerprint, saved)
    checkpoint.attach(writer, task.reader)
    return checkpoint, ""


def _check_unchanged(saved: Manifest, task: _Task) -> None:
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


def _reason_not_resumable(task: _Task) -> str:
    """Why a run of this job cannot be resumed; empty if it can."""
    if task.job.segment == 0:
        return "checkpoints are off: segment is 0"
    if task.files is None:
        name = task.reader.name if task.reader else task.target
        return f"{'stdin' if name == '-' else name} can be read only once"
    if not can_hold_segments(format_of(task.target, task.job.output.format)):
        return f"the format of '{task.target}' cannot be joined from segments"
    first = next((i for i, effect in enumerate(task.chain) if not isinstance(effect, Filters)), len(task.chain))
    leading = 1 if task.reader and first else 0  # leading filters are run again from the start
    for effect in flattened(task.chain[leading:]):
        if isinstance(effect, Filters) and (filter_name := stateful_filter(effect.nodes)):
            return f"the filter {filter_name} after an effect depends on earlier frames"
    return ""
