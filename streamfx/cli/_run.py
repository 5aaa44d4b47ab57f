"""Runs a job with a progress bar, and reports its end."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import typer

from streamfx.cli._allocator import keep_memory, return_memory
from streamfx.cli._console import STDERR
from streamfx.cli._executor import distribution_of
from streamfx.cli._options import make_job
from streamfx.cli._progress import Bar
from streamfx.errors import StreamfxError
from streamfx.media.standard_streams import descriptor_of

if TYPE_CHECKING:
    from streamfx.cli._options import VideoOptions
    from streamfx.frame import Effect
    from streamfx.jobs.job import Job
    from streamfx.jobs.result import JobStart, Result
    from streamfx.jobs.status import Progress

log = logging.getLogger("streamfx")

ADVICE = ": repeat the command with --resume to continue, or with --join-partial to join them into a video"


def make_video(
    source: str, target: str, chain: Sequence[Effect], options: VideoOptions, facts: dict[str, object]
) -> None:
    """Read `source`, run the chain and write `target`; `facts` are added to the --json report."""
    run(make_job(source, target, chain, options), options, facts)


def run(job: Job, options: VideoOptions, facts: dict[str, object]) -> None:
    """Run or resume the job, or join its finished part, as the options say; `facts` are added to the --json report."""
    from streamfx.jobs.job import join_partial, run_job
    from streamfx.jobs.result import JobInterrupted, ResumableError
    from streamfx.media.filters.effect import Filters

    _set_log_level(options)
    if all(isinstance(effect, Filters) for effect in job.chain):
        return_memory()
    else:
        keep_memory()
    if options.join_partial:
        path, frames = join_partial(job)
        STDERR.print(f"streamfx: the first {frames} frames are in '{path}'; resume with --resume", markup=False)
        return
    distribution = distribution_of(options)
    with _Display(job, options) as display:
        try:
            result = run_job(
                job,
                resume=options.resume,
                distribution=distribution,
                on_start=display.start,
                on_progress=display.advance,
            )
        except JobInterrupted as interrupted:
            log.error("interrupted: %s%s", interrupted, ADVICE if job.status().state == "paused" else "")
            raise typer.Exit(130) from None
        except ResumableError as error:
            raise StreamfxError(f"{error}{ADVICE}") from error
    _report(result, job, options, facts)


def _set_log_level(options: VideoOptions) -> None:
    if options.quiet:
        log.setLevel(logging.ERROR)
    elif options.verbose:
        log.setLevel(logging.INFO)
        log.getChild("iterations").setLevel(logging.WARNING)  # shown by the progress bar


class _Display(ExitStack):
    """Shows the progress of a job, and stops it between two frames when it is interrupted."""

    def __init__(self, job: Job, options: VideoOptions) -> None:
        super().__init__()
        self.options = options
        self.name = job.source if isinstance(job.source, str) else str(job.target)
        self._bar: Bar | None = None
        self._stopping: Callable[[], bool] = lambda: False

    def start(self, start: JobStart) -> None:
        """Called before the first frame."""
        options = self.options
        if start.resumed and not options.quiet:
            STDERR.print(f"streamfx: resuming at frame {start.resumed}", markup=False)
        if options.resume and start.reason:
            log.warning("this run cannot be resumed: %s", start.reason)
        if start.resumable:
            self._stopping = self.enter_context(_stop_signals())
        shown = STDERR.is_terminal and not options.quiet if options.progress is None else options.progress
        self._bar = self.enter_context(Bar(self.name, start.length, shown=shown))

    def advance(self, progress: Progress) -> None:
        """Called after each frame."""
        if self._bar:
            self._bar.advance(progress)
        if self._stopping():
            raise KeyboardInterrupt


def stop_signals() -> list[signal.Signals]:
    """The signals that stop a run; a hangup does not if it is ignored, as under nohup."""
    hangup = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    return [signal.SIGINT, signal.SIGTERM, *hangup]


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Let the first stop signal only make the given function return True, and the second interrupt at once."""
    stopping = False

    def on_signal(number: int, stack_frame: Any) -> None:
        nonlocal stopping
        if stopping:
            raise KeyboardInterrupt
        stopping = True
        log.error("stopping at the next frame; interrupt again to stop immediately")

    previous = {number: signal.signal(number, on_signal) for number in stop_signals()}
    try:
        yield lambda: stopping
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _report(result: Result, job: Job, options: VideoOptions, facts: dict[str, object]) -> None:
    """Print how the run ended; the --json object goes to stdout, or to stderr if the video goes to stdout."""
    if result.state == "already_finished":
        if not options.quiet:
            STDERR.print(f"streamfx: '{result.output}' is already finished", markup=False)
        if options.report:
            print(json.dumps({"finished": True, "output": result.output, **facts}))
        return
    if result.state != "finished":
        advice = ADVICE if result.state == "paused" else ""
        log.error("%s: %s%s", result.state, result.message or "its work is deleted", advice)
        raise typer.Exit(130)
    if options.report:
        report = {
            "frames": result.frames,
            "frames_read": result.frames_read,
            "seconds": round(result.seconds, 3),
            "fps": round(result.fps, 2),
            "output": result.output,
            "encoder": result.encoder,
            "device": job.device,
            **facts,
            **({"resumed_frames": result.resumed_frames} if options.resume else {}),
        }
        print(json.dumps(report), file=sys.stderr if descriptor_of(result.output) == 1 else sys.stdout)
