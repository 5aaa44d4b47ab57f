"""The one loop: pulls frames from a source through the steps of a chain into a sink."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from fractions import Fraction
from functools import partial
from queue import Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol, TypeGuard, TypeVar

from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame, Memory, Sink, Step
from streamfx.media.filters.effect import HOLDING_FILTERS, TIME_FILTERS, Filters
from streamfx.media.input.reader import Reader
from streamfx.media.output.writer import Writer

if TYPE_CHECKING:
    import torch
    from av import VideoFrame

log = logging.getLogger("streamfx")

BEHIND = 2  # frames painted before the last one is encoded
AHEAD = 4  # frames decoded before they are needed; more gains nothing and costs memory

Item = TypeVar("Item")


class Checkpoints(Protocol):
    """Where a run saves its state: after every `every` input frames, beginning behind `done` frames."""

    @property
    def done(self) -> int: ...

    @property
    def every(self) -> int: ...

    def memories(self, count: int, device: torch.device) -> list[Memory]: ...

    def close(self, number: int, memories: Sequence[Memory], *, last: bool = False) -> None: ...


def run(
    source: Iterable[Frame],
    chain: Sequence[Effect],
    sink: Sink,
    *,
    device: str | torch.device = "auto",
    progress: Callable[[Fraction], None] | None = None,
    journal: Checkpoints | None = None,
) -> int:
    """Pull every frame of `source` through `chain` into `sink`; the number of frames that came in.

    With a `journal` the source begins behind what that knows as done, and is told of every so many frames; those done
    before are counted too.

    FFmpeg filters before the first effect of ours and behind the last one work on the decoder's own pictures, where the
    source is a Reader and the sink a Writer; a chain without effects of ours never makes a tensor. `device` is "auto"
    (CUDA where it works, else CPU), "cpu", "cuda" or a torch device. `progress` is called after each frame with the
    moment, in seconds, that the film has reached.
    Raises StreamfxError; an interrupt passes through, with the sink left as it is.
    """
    _check_device(device)
    _warn_of_time(chain, source)
    before, effects, behind = _split(chain, isinstance(source, Reader), isinstance(sink, Writer))
    if isinstance(sink, Writer):
        sink.filters = behind.nodes if behind else ()
    leading = before.nodes if before else ()
    if not effects and isinstance(source, Reader) and isinstance(sink, Writer):
        return _run_pictures(source.pictures(leading), sink, progress, journal)
    where = find_device(device)
    log.info("effects work on %s", _named(where))
    steps = [effect.build(where) for effect in effects]
    memories: list[Memory] = journal.memories(len(steps), where) if journal else [{} for _ in steps]
    count = journal.done if journal else 0
    # closed before the source is: its thread must not read from a closed file
    reading = closing(prefetch(source.frames(leading, where))) if isinstance(source, Reader) else None
    ahead = reading or nullcontext(_brought(source, where))
    with _done_behind() as later:
        with ahead as frames:
            for frame in frames:
                if _is_boundary(journal, count):
                    memories = [_as_saved(memory) for memory in memories]
                    later(journal.close, count, [dict(memory) for memory in memories])
                for done in _through(steps, memories, frame):
                    later(sink.write, done)
                count += 1
                if progress:
                    progress(frame.pts + frame.duration)
        for number in range(len(steps)):  # each in turn learns of the end, and those behind it get what it still held
            for held in steps[number](None, memories[number]):
                for done in _through(steps[number + 1 :], memories[number + 1 :], held):
                    later(sink.write, done)
        if journal:
            later(partial(journal.close, last=True), count, [])
    return count


def _run_pictures(
    pictures: Iterator[VideoFrame],
    sink: Writer,
    progress: Callable[[Fraction], None] | None,
    journal: Checkpoints | None,
) -> int:
    """The loop without effects of ours: the decoder's own pictures go to the writer as they are."""
    count = journal.done if journal else 0
    with closing(prefetch(pictures)) as ahead:
        for picture in ahead:
            if _is_boundary(journal, count):
                journal.close(count, [])
            end = ((picture.pts or 0) + picture.duration) * (picture.time_base or 0)
            sink.write_picture(picture)
            count += 1
            if progress:
                progress(Fraction(end))
    if journal:
        journal.close(count, [], last=True)
    return count


def _is_boundary(journal: Checkpoints | None, count: int) -> TypeGuard[Checkpoints]:
    """Whether a segment ends behind `count` frames."""
    return journal is not None and count > journal.done and count % journal.every == 0


def _as_saved(memory: Memory) -> Memory:
    """What is remembered, laid out in memory as it would be had it been saved: the frames to come are then the same."""
    return {
        name: value if isinstance(value, int | Fraction | str) else value.contiguous() for name, value in memory.items()
    }


def find_device(name: str | torch.device) -> torch.device:
    """The device of a name: "auto" takes CUDA where it works; asking for CUDA without one is an error."""
    import torch

    _check_device(name)
    if isinstance(name, torch.device):
        return name
    if name == "cuda" and not torch.cuda.is_available():
        raise StreamfxError("device cuda was asked for, but none works here; 'streamfx doctor' says why")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _named(device: torch.device) -> str:
    """The device, and what does there what our kernels are for."""
    if device.type != "cuda":
        return "the CPU" if device.type == "cpu" else str(device)
    import torch

    from streamfx.ops import cuda

    by = "our kernels" if cuda.installed() else "torch, for want of CuPy: pip install 'streamfx[cuda]'"
    return f"{device}, {torch.cuda.get_device_name(device)}, by {by}"


def _check_device(name: str | torch.device) -> None:
    """The name alone, which needs no torch."""
    if isinstance(name, str) and name not in ("auto", "cpu", "cuda"):
        raise StreamfxError(f"unknown device '{name}'; give auto, cpu or cuda")


def prefetch(items: Iterator[Item], ahead: int = AHEAD) -> Generator[Item, None, None]:
    """The same items, made on another thread up to `ahead` of their use; errors arrive in their place."""
    queue: Queue[tuple[Item | None, BaseException | None]] = Queue(ahead)
    stop = Event()

    def put(item: Item | None, error: BaseException | None) -> None:
        while not stop.is_set():
            try:
                queue.put((item, error), timeout=0.1)
                return
            except Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item, None)
                if stop.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:
            put(None, error)

    # a daemon: an interrupt must not wait for a pipe or camera that sends nothing
    thread = Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # an item comes with no error
    finally:
        stop.set()
        thread.join(timeout=1.0)


@contextmanager
def _done_behind() -> Generator[Callable[..., None]]:
    """A function that has others called on one other thread, in order and up to BEHIND late; all are at the end.

    An error of theirs is raised at the next call, or at the end; what is behind it is let go.
    """
    queue: Queue[Callable[[], object] | None] = Queue(BEHIND)
    failed: list[BaseException] = []

    def work() -> None:
        while (task := queue.get()) is not None:
            try:
                if not failed:
                    task()
            except BaseException as error:
                failed.append(error)

    def later(function: Callable[..., object], *arguments: object) -> None:
        if failed:
            raise failed[0]
        queue.put(partial(function, *arguments))

    thread = Thread(target=work, name="write", daemon=True)
    thread.start()
    try:
        yield later
    finally:
        queue.put(None)
        thread.join()
    if failed:
        raise failed[0]


def _split(
    chain: Sequence[Effect], native_source: bool, native_sink: bool
) -> tuple[Filters | None, Sequence[Effect], Filters | None]:
    """FFmpeg filters that the reader can run, the effects between, and FFmpeg filters that the writer can run."""
    effects = list(chain)
    before = behind = None
    if native_source and effects and isinstance(effects[0], Filters):
        before = effects.pop(0)
    if native_sink and effects and isinstance(effects[-1], Filters):
        behind = effects.pop()
    assert before is None or isinstance(before, Filters)
    assert behind is None or isinstance(behind, Filters)
    return before, effects, behind


def _warn_of_time(chain: Sequence[Effect], source: Iterable[Frame]) -> None:
    """Say what filters that change time, or hold the whole clip, mean for the sound and the memory."""
    names = [node.name for effect in chain if isinstance(effect, Filters) for node in effect.nodes]
    moving = [name for name in names if name in TIME_FILTERS]
    if moving and isinstance(source, Reader) and source.input and source.input.streams.audio:
        log.warning("%s changes the time of the pictures; the sound is left as it is", ", ".join(moving))
    for name in names:
        if name in HOLDING_FILTERS:
            log.warning("%s keeps the clip in memory; cut long ones with --from and --to", name)


def _brought(frames: Iterable[Frame], device: torch.device) -> Iterator[Frame]:
    """The frames with their pictures on the device; a picture that comes again and again is brought once."""
    last = there = None
    for frame in frames:
        if frame.image is not last:
            last, there = frame.image, frame.image.to(device)
        assert there is not None
        yield replace(frame, image=there, alpha=None if frame.alpha is None else frame.alpha.to(device))


def _through(steps: Sequence[Step], memories: Sequence[Memory], frame: Frame) -> Iterator[Frame]:
    """What becomes of one frame on its way through the steps."""
    if not steps:
        yield frame
        return
    for made in steps[0](frame, memories[0]):
        yield from _through(steps[1:], memories[1:], made)
