"""The main loop: pulls frames from a source through the steps of a chain into a sink."""

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

from streamfx.effects.defaults import flattened
from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame, Memory, Sink, Step
from streamfx.media.filters.effect import BUFFERING_FILTERS, TIME_FILTERS, Filters
from streamfx.media.filters.graph import Filter
from streamfx.media.input.reader import Reader
from streamfx.media.output.writer import Writer

if TYPE_CHECKING:
    import torch

log = logging.getLogger("streamfx")

WRITE_AHEAD = 2  # processed frames that may wait for the encoder
READ_AHEAD = 4  # decoded frames that may wait for the effects; more gains nothing and costs memory

Item = TypeVar("Item")


class Checkpoints(Protocol):
    """Saves the state of a run after every `every` input frames; a resumed run starts at frame `done`."""

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
    checkpoint: Checkpoints | None = None,
    stop: int | None = None,
) -> int:
    """Pull every frame of `source` through `chain` into `sink`; return the number of input frames.

    With a `checkpoint`, the source must start at frame `checkpoint.done`, and the state is saved at regular intervals;
    the returned count includes the frames of earlier runs. With `stop`, the run ends before the frame of that number.

    With a Reader and a Writer, FFmpeg filters before the first and after the last of our effects run on the decoder's
    frames; a chain without our effects creates no tensors. `device` is "auto" (CUDA if available, else CPU), "cpu",
    "cuda" or a torch device. `progress` is called after each frame with its end time in seconds.
    Raises StreamfxError. KeyboardInterrupt passes through and leaves the sink unfinished.
    """
    _check_device(device)
    _warn_about_filters(chain, source)
    before, effects, after = _split(chain, isinstance(source, Reader), isinstance(sink, Writer))
    if isinstance(sink, Writer):
        sink.filters = after.nodes if after else ()
    leading = before.nodes if before else ()
    if not effects and isinstance(source, Reader) and isinstance(sink, Writer):
        return _run_filters_only(source, leading, sink, progress, checkpoint, stop)
    device = find_device(device)
    log.info("effects run on %s", _describe_device(device))
    steps = [effect.build(device) for effect in effects]
    memories: list[Memory] = checkpoint.memories(len(steps), device) if checkpoint else [{} for _ in steps]
    count = checkpoint.done if checkpoint else 0
    # closed before the source, so that the prefetch thread never reads from a closed file
    prefetched = closing(prefetch(source.frames(leading, device))) if isinstance(source, Reader) else None
    with _writer_thread() as submit:
        with prefetched or nullcontext(_on_device(source, device)) as frames:
            for frame in frames:
                if _is_boundary(checkpoint, count):
                    memories = [_contiguous(memory) for memory in memories]
                    submit(checkpoint.close, count, [dict(memory) for memory in memories])
                for output in apply_steps(steps, memories, frame):
                    submit(sink.write, output)
                count += 1
                if progress:
                    progress(frame.pts + frame.duration)
                if count == stop:
                    break
        for output in flush_steps(steps, memories):
            submit(sink.write, output)
        if checkpoint:
            submit(partial(checkpoint.close, last=True), count, [])
    return count


def _run_filters_only(
    source: Reader,
    filters: Sequence[Filter],
    sink: Writer,
    progress: Callable[[Fraction], None] | None,
    checkpoint: Checkpoints | None,
    stop: int | None,
) -> int:
    """The loop for a chain of FFmpeg filters only: decoded frames go to the writer and never become tensors."""
    count = checkpoint.done if checkpoint else 0
    with closing(prefetch(source.video_frames(filters))) as prefetched:
        for video_frame in prefetched:
            if _is_boundary(checkpoint, count):
                checkpoint.close(count, [])
            end = ((video_frame.pts or 0) + video_frame.duration) * (video_frame.time_base or 0)
            sink.write_video_frame(video_frame)
            count += 1
            if progress:
                progress(Fraction(end))
            if count == stop:
                break
    if checkpoint:
        checkpoint.close(count, [], last=True)
    return count


def _is_boundary(checkpoint: Checkpoints | None, count: int) -> TypeGuard[Checkpoints]:
    """Whether a segment ends after `count` input frames."""
    return checkpoint is not None and count > checkpoint.done and count % checkpoint.every == 0


def _contiguous(memory: Memory) -> Memory:
    """The memory with contiguous tensors, as if saved and loaded, so that a resumed run computes the same frames."""
    return {
        name: value if isinstance(value, int | Fraction | str) else value.contiguous() for name, value in memory.items()
    }


def find_device(name: str | torch.device) -> torch.device:
    """The torch device for a name. "auto" is CUDA if available, else the CPU; "cuda" without a usable GPU raises."""
    import torch

    _check_device(name)
    if isinstance(name, torch.device):
        return name
    if name == "cuda" and not torch.cuda.is_available():
        raise StreamfxError("device cuda is not available; run 'streamfx doctor' to see why, or give --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _describe_device(device: torch.device) -> str:
    """The device for the log, with the GPU's name and whether our CUDA kernels are used."""
    if device.type != "cuda":
        return "the CPU" if device.type == "cpu" else str(device)
    import torch

    from streamfx.ops import cuda

    backend = "our kernels" if cuda.installed() else "torch (for our kernels: pip install '.[cuda]')"
    return f"{device}, {torch.cuda.get_device_name(device)}, using {backend}"


def _check_device(name: str | torch.device) -> None:
    """Check a device name without importing torch."""
    if isinstance(name, str) and name not in ("auto", "cpu", "cuda"):
        raise StreamfxError(f"unknown device '{name}'; give auto, cpu or cuda")


def prefetch(items: Iterator[Item], ahead: int = READ_AHEAD) -> Generator[Item, None, None]:
    """Yield `items`, produced on another thread up to `ahead` items early; errors are raised in order."""
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

    # a daemon, so that an interrupt does not wait for a pipe or camera that sends nothing
    thread = Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # never None without an error
    finally:
        stop.set()
        thread.join(timeout=1.0)


@contextmanager
def _writer_thread() -> Generator[Callable[..., None]]:
    """Give a function that queues calls, up to WRITE_AHEAD, for one other thread; all have run when the block ends.

    After a call fails, the rest are dropped; its error is raised at the next submission or at the end.
    """
    queue: Queue[Callable[[], object] | None] = Queue(WRITE_AHEAD)
    failed: list[BaseException] = []

    def work() -> None:
        while (task := queue.get()) is not None:
            try:
                if not failed:
                    task()
            except BaseException as error:
                failed.append(error)

    def submit(function: Callable[..., object], *arguments: object) -> None:
        if failed:
            raise failed[0]
        queue.put(partial(function, *arguments))

    thread = Thread(target=work, name="write", daemon=True)
    thread.start()
    try:
        yield submit
    finally:
        queue.put(None)
        thread.join()
    if failed:
        raise failed[0]


def _split(
    chain: Sequence[Effect], native_source: bool, native_sink: bool
) -> tuple[Filters | None, Sequence[Effect], Filters | None]:
    """Split off the leading FFmpeg filters for the reader and the trailing ones for the writer."""
    effects = list(chain)
    before = after = None
    if native_source and effects and isinstance(effects[0], Filters):
        before = effects.pop(0)
    if native_sink and effects and isinstance(effects[-1], Filters):
        after = effects.pop()
    assert before is None or isinstance(before, Filters)
    assert after is None or isinstance(after, Filters)
    return before, effects, after


def _warn_about_filters(chain: Sequence[Effect], source: Iterable[Frame]) -> None:
    """Warn about filters that change timing, which does not affect the audio, or that buffer the whole clip."""
    names = [node.name for effect in flattened(chain) if isinstance(effect, Filters) for node in effect.nodes]
    retiming = [name for name in names if name in TIME_FILTERS]
    if retiming and isinstance(source, Reader) and source.input and source.input.streams.audio:
        log.warning("%s changes the timing of the video but not of the audio", ", ".join(retiming))
    for name in names:
        if name in BUFFERING_FILTERS:
            log.warning("%s buffers the whole clip in memory; shorten long clips with --from and --to", name)


def _on_device(frames: Iterable[Frame], device: torch.device) -> Iterator[Frame]:
    """The frames with their images on the device; consecutive frames that share an image copy it once."""
    last = image = None
    for frame in frames:
        if frame.image is not last:
            last, image = frame.image, frame.image.to(device)
        assert image is not None
        yield replace(frame, image=image, alpha=None if frame.alpha is None else frame.alpha.to(device))


def apply_steps(steps: Sequence[Step], memories: Sequence[Memory], frame: Frame) -> Iterator[Frame]:
    """The output frames of the steps, in sequence, for one input frame."""
    if not steps:
        yield frame
        return
    for output in steps[0](frame, memories[0]):
        yield from apply_steps(steps[1:], memories[1:], output)


def flush_steps(steps: Sequence[Step], memories: Sequence[Memory]) -> Iterator[Frame]:
    """The frames that the steps still buffer at the end, each passed through the later steps."""
    for number in range(len(steps)):
        for buffered in steps[number](None, memories[number]):
            yield from apply_steps(steps[number + 1 :], memories[number + 1 :], buffered)
