"""Renders one piece of a job: the task that executors run, in any process on any machine."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.chain import build_chain
from streamfx.effects.defaults import memory_at, uses_all_cores
from streamfx.errors import StreamfxError
from streamfx.jobs.piece_files import PieceFiles, Report
from streamfx.jobs.planner import Piece
from streamfx.jobs.preparation import open_source, thread_limits
from streamfx.jobs.result import Result
from streamfx.jobs.settings import JobSettings
from streamfx.media.filters.effect import Filters
from streamfx.media.limits import limit_pixels
from streamfx.media.output.encoder import Layout
from streamfx.media.output.segments import Segments, segment_name
from streamfx.media.output.writer import Writer
from streamfx.media.threads import limit_threads
from streamfx.pipeline import run

if TYPE_CHECKING:
    import torch

    from streamfx.frame import Effect, Memory

_REPORT_EVERY = 0.5  # seconds
# errors of a machine, its disk or its network, not of the input: another try, or another machine, may succeed
_TRANSIENT = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS, errno.EFBIG, errno.ENOMEM, errno.ETIMEDOUT),
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN),
)


@dataclass(frozen=True, slots=True)
class PieceRequest:
    """What a task needs to know; it is sent to other processes and machines."""

    settings: JobSettings  # with the chain as text
    current_folder: str  # to which relative paths refer
    folder: Path  # the work folder
    files: list[str]  # that the task reads
    piece: Piece
    layout: Layout
    rate: Fraction  # frames per second, for schedules
    max_pixels: int

    @property
    def number(self) -> int:
        """Of the piece."""
        return self.piece.number


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job that is not split, to run in another process or on another machine."""

    job: JobSettings
    current_folder: str
    files: list[str]  # that the job reads
    resume: bool
    max_pixels: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: finished if there is no error."""

    number: int  # of the piece
    worker: str  # the name of the process or machine
    error: str = ""
    retry: bool = False  # whether another try may succeed
    stopped: bool = False  # at a request
    result: Result | None = None  # of a job that is not split
    warnings: tuple[str, ...] = ()  # of such a job


class _Stopped(Exception):
    """The task was asked to stop."""


def try_piece(
    request: PieceRequest, worker: str, threads: int | None = None, alive: Callable[[], bool] = lambda: True
) -> Outcome:
    """Render a piece, with `threads` threads if given; never raises. It stops once `alive` returns False."""
    number = request.piece.number
    try:
        if threads:
            limit_threads(threads)
        render_piece(request, worker, threads, alive)
        return Outcome(number, worker)
    except _Stopped:
        if request.folder.exists():
            return Outcome(number, worker, stopped=True)
        return Outcome(number, worker, f"the folder '{request.folder}' is gone", retry=True)
    except Exception as error:
        return failed(number, worker, error)
    finally:
        with suppress(OSError):
            PieceFiles(request.folder).forget(number)


def failed(number: int, worker: str, error: Exception) -> Outcome:
    """The outcome of a task that raised an error; bad input is not tried again."""
    if not isinstance(error, StreamfxError):
        return Outcome(number, worker, f"{type(error).__name__}: {error}", retry=True)
    cause = error.__cause__
    return Outcome(number, worker, str(error), retry=isinstance(cause, OSError) and cause.errno in _TRANSIENT)


def render_piece(request: PieceRequest, worker: str, threads: int | None, alive: Callable[[], bool]) -> None:
    """Write the segment of a piece and its record."""
    with suppress(OSError):  # where it does not exist, only absolute paths are found
        os.chdir(request.current_folder)
    limit_pixels(request.max_pixels)
    settings, piece = request.settings, request.piece
    assert isinstance(settings.chain, str)
    chain = build_chain(settings.chain)
    files = PieceFiles(request.folder)
    end = None if settings.end is None else Fraction(settings.end)
    with open_source(settings, str(settings.source), Fraction(settings.start), end) as reader:
        if piece.start.number:
            reader.resume_at(piece.start)
        writer = Writer(str(settings.target), reader, replace(settings.output, overwrite=True))
        writer.begin = piece.begin
        # several processes may write the same segment, if one was taken for dead: each has a file of its own
        name = segment_name(piece.number, secrets.token_hex(4))
        segments = Segments(request.folder, layout=request.layout, name=name, previous=piece.previous)
        writer.use_segments(segments)
        task = _Task(request, worker, files, writer, chain, alive)
        try:
            with thread_limits(chain):
                if threads and any(uses_all_cores(effect) for effect in chain):
                    limit_torch(threads)
                device, advance = settings.device, task.advance
                run(reader, chain, writer, device=device, progress=advance, checkpoint=task, stop=piece.stop)
            _check_count(request, segments)
            files.finish(piece.number, segments.closed[0])
        except BaseException:
            writer.abandon()
            raise


def _check_count(request: PieceRequest, segments: Segments) -> None:
    piece, received = request.piece, sum(segment.received for segment in segments.closed)
    if received != piece.frames:
        raise StreamfxError(
            f"frames {piece.first} to {piece.stop - 1} of '{request.settings.source}': {received} instead of "
            f"{piece.frames} frames; has the file changed?"
        )


def limit_torch(threads: int) -> None:
    """Let torch and OpenCV use that many threads in this process."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


class _Task:
    """The state of a running task, with the interface of the pipeline's Checkpoints."""

    every = 1 << 62  # a piece is one segment

    def __init__(
        self,
        request: PieceRequest,
        worker: str,
        files: PieceFiles,
        writer: Writer,
        chain: Sequence[Effect],
        alive: Callable[[], bool],
    ) -> None:
        self.done = self._count = request.piece.start.number
        self._request, self._worker, self._files, self._writer = request, worker, files, writer
        self._chain, self._alive = chain, alive
        self._reported = time.monotonic()

    def memories(self, count: int, device: torch.device) -> list[Memory]:
        """Memories in which effects that count frames across cuts start at the first frame read."""
        effects = list(self._chain)
        if effects and isinstance(effects[0], Filters):
            effects.pop(0)  # runs in the reader
        return [memory_at(effect, self.done, self._request.rate) if self.done else {} for effect in effects[:count]]

    def close(self, number: int, memories: Sequence[Memory], *, last: bool = False) -> None:
        """Close the segment at the end."""
        if last:
            self._writer.close_segment(last=True)

    def advance(self, position: Fraction) -> None:
        """Report progress after a frame, and stop if asked to."""
        if self._files.stopping or not self._alive():
            raise _Stopped
        self._count += 1
        if (now := time.monotonic()) - self._reported >= _REPORT_EVERY:
            self._reported = now
            piece = self._request.piece
            self._files.report(piece.number, Report(max(0, self._count - piece.first), self._worker))
