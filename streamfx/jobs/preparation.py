"""Opens the source of a job, and chooses everything that its settings leave open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from streamfx.chain import build_chain, chain_text
from streamfx.effects.defaults import at_rate, flattened, prefers_speed, resolve, uses_all_cores
from streamfx.errors import StreamfxError
from streamfx.frame import Effect
from streamfx.jobs.fingerprint import Fingerprint, fingerprint_of, source_files
from streamfx.jobs.generated import StillSource
from streamfx.jobs.scaling import with_scaling
from streamfx.jobs.settings import JobSettings
from streamfx.media.encoding import Output
from streamfx.media.filters.effect import Filters
from streamfx.media.input.reader import Reader
from streamfx.media.input.resume_points import stateful_filter
from streamfx.media.output.formats import format_of
from streamfx.media.output.paths import comment_of
from streamfx.media.output.segments import can_hold_segments
from streamfx.media.output.soundtrack import Soundtrack
from streamfx.media.output.writer import Writer
from streamfx.pipeline import find_device, prefetch
from streamfx.version import __version__


@dataclass
class Task:
    """A job with its source opened and everything chosen that was left open."""

    job: JobSettings
    target: str
    chain: Sequence[Effect]  # with the filters for rate, size and width
    source: Reader | StillSource
    files: Sequence[Path] | None  # of the source; None if it can be read only once
    length: Fraction | None  # seconds
    frames: int | None  # expected number of input frames
    soundtrack: Soundtrack | None
    fingerprint: Fingerprint
    output: Output  # with a comment that describes the job
    damaged_at: Fraction | None = None  # seconds at which other processes found the source damaged

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
        damaged_at = self.damaged_at if self.reader is None else self.damaged_at or self.reader.damaged_at
        if self.reader is not None and damaged_at is not None:
            of = f" of {float(self.length):.2f} s" if self.length else ""
            raise StreamfxError(
                f"'{self.reader.name}' ends early or is damaged at {float(damaged_at):.2f} s{of}; "
                f"'{self.target}' contains the {writer.written} frames that could be read"
            )


@contextmanager
def prepared(job: JobSettings) -> Iterator[Task]:
    chain = build_chain(job.chain) if isinstance(job.chain, str) else list(job.chain)
    start, end = Fraction(job.start), None if job.end is None else Fraction(job.end)
    if not all(isinstance(effect, Filters) for effect in chain):
        device = find_device(job.device)
        chain = [resolve(effect, device, start) for effect in chain]
    target = str(job.target)
    with ExitStack() as stack:
        stack.enter_context(thread_limits(chain))
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
            source = stack.enter_context(open_source(job, str(job.source), start, end))
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
        job = replace(job, chain=chain)  # for another machine, which would choose by its own speed
        yield Task(job, target, scaled, source, files, length, frames, soundtrack, fingerprint, output)


def open_source(job: JobSettings, name: str, start: Fraction, end: Fraction | None) -> Reader:
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
def thread_limits(chain: Sequence[Effect]) -> Iterator[None]:
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


def _settings(job: JobSettings, chain: str, frames: int | None, fast: bool) -> dict[str, object]:
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


def reason_not_resumable(task: Task) -> str:
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
