"""Making a film so that it survives: locked, in segments beside it, gone on with where an earlier run was stopped."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streamfx.cli._console import STDERR
from streamfx.cli._progress import Bar
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from streamfx.cli._options import FilmOptions
    from streamfx.frame import Effect, Frame
    from streamfx.jobs.checkpoint import Journal
    from streamfx.jobs.fingerprint import Identity
    from streamfx.jobs.manifest import Manifest
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.encoder_selection import Output
    from streamfx.media.output.soundtrack import Song
    from streamfx.media.output.writer import Writer

log = logging.getLogger("streamfx")

SPACING, QUICK_SPACING = 300, 3000  # frames a segment: painted, and through FFmpeg's filters alone
SLOW_SPACING, SLOWEST_SPACING = 60, 5  # dreamed, and painted pixel by pixel
MOST = 10**6  # frames a segment


@dataclass(frozen=True)
class Job:
    """A film to be made, and what it depends on."""

    target: str
    chain: Sequence[Effect]
    output: Output
    source: Reader | Callable[[int], Iterable[Frame]]  # or the frames from the one of this number on
    name: str  # of the source, as the bar shows it
    length: Fraction | None  # seconds
    frames: int | None  # how many to expect
    files: Sequence[Path] | None  # the source is; None: it cannot be read again
    song: Song | None = None
    facts: dict[str, object] = field(default_factory=dict)  # other than the options, that make it the film it is

    @property
    def reader(self) -> Reader | None:
        from streamfx.media.input.reader import Reader

        return self.source if isinstance(self.source, Reader) else None


def make(job: Job, options: FilmOptions, facts: dict[str, object]) -> Writer | None:
    """Make the film and report it; `facts` are added to what --json prints. None where it was finished already."""
    from streamfx.jobs.fingerprint import identify
    from streamfx.media.output.writer import Writer

    began = time.monotonic()
    identity = identify(_settings(job, options), job.files or (), job.chain)
    if options.resume and _is_finished(job.target, identity):
        _say_finished(job, options, facts)
        return None
    output = replace(job.output, settings=f"{job.output.settings} [{identity.key}]")
    partial = options.join_partial
    writer = Writer(job.target, job.reader, replace(output, overwrite=output.overwrite or partial), job.song)
    with ExitStack() as stack:
        journal = _journal(stack, job, options, writer, identity)
        done = journal.done if journal else 0
        if partial:
            _join_partial(job, writer, journal)
            return None
        if done and not options.quiet:
            STDERR.print(f"streamfx: going on behind {done} frames", markup=False)
        frames = _run(job, options, writer, journal)
        if journal:
            journal.remove()
    facts = facts | ({"resumed_frames": done} if options.resume else {})
    report_film(options, writer, frames, time.monotonic() - began, facts, done)
    return writer


def _run(job: Job, options: FilmOptions, writer: Writer, journal: Journal | None) -> int:
    """Run the chain and write the film; what was done stays where that ends early."""
    from streamfx.pipeline import run

    done = journal.done if journal else 0
    try:
        with writer, Bar(job.name, job.length, shown=shows_progress(options)) as tick, _stops(journal) as stop:

            def progress(moment: Fraction) -> None:
                tick(moment)
                stop()

            if journal and journal.complete:
                return done
            frames = job.source(done) if callable(job.source) else job.source
            return run(frames, job.chain, writer, device=options.device, progress=progress, journal=journal)
    except KeyboardInterrupt:
        say_kept(writer, journal)
        raise typer.Exit(130) from None
    except StreamfxError as error:
        if journal and journal.lasts:
            raise StreamfxError(f"{error}; {_kept(journal)}") from error
        raise
    finally:
        if journal and not journal.pictures:
            journal.remove()


def _journal(stack: ExitStack, job: Job, options: FilmOptions, writer: Writer, identity: Identity) -> Journal | None:
    """The journal to keep, with what an earlier run left if that is to be gone on with; None where none is kept."""
    from streamfx.jobs.checkpoint import Journal, claimed, discard
    from streamfx.jobs.manifest import load

    if not writer.whole:
        _say_unkept(options, f"'{job.target}' is no file that takes its name when it is whole")
        return None
    folder = stack.enter_context(claimed(Path(job.target)))
    again = options.yes and not options.resume and not options.join_partial
    if again:
        discard(folder)
    kept = load(folder)
    if kept and not kept.segments:
        kept = None
    if kept and not (options.resume or options.join_partial):
        pictures = sum(each.written for each in kept.segments)
        raise StreamfxError(
            f"'{folder}' holds {pictures} frames of a run that was stopped; give --resume to go on, -y to begin anew, "
            "or --join-partial to make a film of them"
        )
    if kept and not options.join_partial:
        _check_same(kept, identity, options.segment, job.target)
    why = _why_unkept(job, options)
    every = kept.every if kept else options.segment or _spacing(job.chain)
    if why or (kept is None and job.frames is not None and job.frames <= every):
        _say_unkept(options, why)
        return None
    journal = Journal(folder, every, identity, kept)
    journal.attach(writer, job.reader)
    return journal


def _check_same(kept: Manifest, identity: Identity, every: int | None, target: str) -> None:
    """Raise StreamfxError where another film would be made than the one that was begun."""
    from streamfx.jobs.fingerprint import differences, other_libraries

    changed = differences(kept.identity, identity)
    if every not in (None, kept.every):
        changed.append(f"--segment was {kept.every}, is {every}")
    if changed:
        raise StreamfxError(f"cannot go on with '{target}': {'; '.join(changed)}. Give -y alone to begin anew")
    for line in other_libraries(kept.identity, identity):
        log.warning("%s: frames may differ a little from here on", line)


def _why_unkept(job: Job, options: FilmOptions) -> str:
    """Why a run of this job cannot be resumed; empty where it can."""
    from streamfx.media.filters.effect import Filters
    from streamfx.media.input.resume_points import what_remembers
    from streamfx.media.output.formats import format_of
    from streamfx.media.output.segments import can_hold_segments

    if options.segment == 0:
        return "--segment 0 turns that off"
    if job.files is None:
        return f"{'stdin' if job.name == '-' else job.name} can be read only once"
    if not can_hold_segments(format_of(job.target, job.output.format)):
        return f"'{job.target}' is of a format that is made in one piece"
    ours = next((i for i, effect in enumerate(job.chain) if not isinstance(effect, Filters)), len(job.chain))
    leading = 1 if job.reader and ours else 0  # what is in front is gone through again
    for effect in job.chain[leading:]:
        if isinstance(effect, Filters) and (name := what_remembers(effect.nodes)):
            return f"the filter {name} behind an effect remembers what was before"
    return ""


def _spacing(chain: Sequence[Effect]) -> int:
    """Frames from one boundary to the next, half a minute's work or less on two cores where that is to be had."""
    from streamfx.media.filters.effect import Filters

    if all(isinstance(effect, Filters) for effect in chain):  # which need no torch, so none is imported for them
        return QUICK_SPACING

    from streamfx.animation.timeline.renderer import Render
    from streamfx.effects.dream import Dream
    from streamfx.effects.feedback import Feedback
    from streamfx.effects.style import Style

    if any(isinstance(effect, Style) and effect.method == "optimise" for effect in chain):
        return SLOWEST_SPACING
    return SLOW_SPACING if any(isinstance(effect, Dream | Feedback | Render) for effect in chain) else SPACING


def _settings(job: Job, options: FilmOptions) -> dict[str, object]:
    """What the film is made of, by the words of the command line."""
    output = job.output
    said: dict[str, object] = {
        "chain": output.settings.partition(": ")[2],
        "--format": output.format,
        "--encoder": output.encoder,
        "--crf": output.crf,
        "-e": " ".join(f"{key}={value}" for key, value in output.options.items()),
        "--pix-fmt": output.pix_fmt,
        "--no-audio": "" if output.audio else "given",
        "--device": options.device,
    }
    for name in ("size", "fps", "width", "start", "end", "duration", "input_format", "input_fps"):
        said[{"start": "--from", "end": "--to"}.get(name, f"--{name.replace('_', '-')}")] = getattr(options, name)
    return {name: "" if value is None else value for name, value in {**said, **job.facts}.items()}


def _is_finished(target: str, identity: Identity) -> bool:
    from streamfx.media.output.paths import comment_of

    return f"[{identity.key}]" in comment_of(target)


def _say_finished(job: Job, options: FilmOptions, facts: dict[str, object]) -> None:
    """The film is whole; what a run may have left beside it just before it ended goes."""
    from streamfx.jobs.checkpoint import claimed, discard

    with claimed(Path(job.target)) as folder:
        discard(folder)
    if not options.quiet:
        STDERR.print(f"streamfx: '{job.target}' is already finished", markup=False)
    if options.report:
        print(json.dumps({"finished": True, "output": job.target, **facts}))


def _join_partial(job: Job, writer: Writer, journal: Journal | None) -> None:
    """Make a film of the segments that are closed, and leave them for a run to go on."""
    made = writer.join_partial() if journal else None
    if made is None:
        raise StreamfxError(f"there are no closed segments of '{job.target}' to join")
    assert journal is not None
    STDERR.print(f"streamfx: the first {journal.pictures} frames are in '{made}'; --resume goes on", markup=False)


def _say_unkept(options: FilmOptions, why: str) -> None:
    if options.resume and why:
        log.warning("this run cannot be resumed: %s", why)


@contextmanager
def _stops(journal: Journal | None) -> Iterator[Callable[[], None]]:
    """Ctrl-C and SIGTERM stop a run with a journal at its next frame, the second one at once.

    Gives the function that is to be called after each frame.
    """
    if journal is None:
        yield lambda: None
        return
    asked = False

    def ask(number: int, at: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        log.error("stopping at the next frame; once more stops at once")

    def stop() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shows_progress(options: FilmOptions) -> bool:
    return STDERR.is_terminal and not options.quiet if options.progress is None else options.progress


def report_film(
    options: FilmOptions, writer: Writer, frames: int, seconds: float, facts: dict[str, object], resumed: int = 0
) -> None:
    """Print the JSON object where it was asked for: on stdout, or stderr where stdout carries the film."""
    if not options.report:
        return
    said = {
        "frames": writer.written,
        "frames_read": frames,
        "seconds": round(seconds, 3),
        "fps": round((frames - resumed) / seconds, 2),
        "output": writer.name,
        "encoder": writer.encoder,
        "device": options.device,
        **facts,
    }
    print(json.dumps(said), file=sys.stderr if writer.name == "-" else sys.stdout)


def say_kept(writer: Writer, journal: Journal | None = None) -> None:
    """Tell where an interrupted film was left."""
    if journal and journal.lasts:
        log.error("interrupted: %s", _kept(journal))
    elif writer.kept:
        log.error("interrupted: the %d frames made so far are in '%s'", writer.written, writer.kept)
    elif writer.written and not writer.whole:
        log.error("interrupted: %d frames went to '%s'", writer.written, writer.name)
    else:
        log.error("interrupted: nothing was kept")


def _kept(journal: Journal) -> str:
    return (
        f"{journal.pictures} frames are kept in '{journal.folder}': the same command with --resume goes on, "
        "with --join-partial makes a film of them"
    )
