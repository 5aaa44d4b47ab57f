"""`streamfx doctor --gpu`: checks the GPU code on this machine, and reports the results as Markdown tables."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame, Memory, Step

if TYPE_CHECKING:
    import torch

log = logging.getLogger("streamfx")

RATE = 25  # frames per second of the clip
LENGTHS = 20, 140  # frames of a short and a long run; their difference excludes the startup
RUNS = 20  # per kernel
FULL_IMAGE = 64 << 10  # bytes; copies of at least this size count as images
COMPARED_INTERVAL = 5  # frames
NEAR = 3 / 255  # maximum mean difference of an unprocessed video from its source


@dataclass(frozen=True, slots=True)
class Passthrough:
    """Return the frames unchanged, as tensors."""

    def build(self, device: torch.device) -> Step:
        def step(frame: Frame | None, memory: Memory) -> Sequence[Frame]:
            return [] if frame is None else [frame]

        return step


@dataclass(frozen=True, slots=True)
class Result:
    """The measurements of one chain."""

    fps: float
    uploads: float  # images copied to the GPU per frame
    downloads: float  # images copied from the GPU per frame
    small_copies: float  # smaller copies per frame, both ways
    waits: float  # times per frame that the CPU waits for a stream, as it does to read a value
    messages: list[str]  # of the log: where frames were decoded and encoded
    difference: float  # mean difference from the source, 0..1


def check_gpu(device: torch.device, size: tuple[int, int] = (1080, 1920)) -> Iterator[tuple[str, bool]]:
    """Lines of Markdown, and whether the check of each one passed."""
    yield f"| {_name(device)} | |\n|:--|:--|", True
    for name, text in _versions().items():
        yield f"| {name} | {text} |", True
    yield from check_kernels(device, size)
    yield "\n| video {1}x{0} | fps | uploads per frame | downloads | small copies | waits | |".format(*size), True
    yield "|:--|--:|--:|--:|--:|--:|:--|", True
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "clip.mp4")
        make_clip(clip, size, LENGTHS[1])
        for name, build in chains().items():
            try:
                result = measure_chain(clip, build(), device)
            except Exception as error:  # any error; the other chains are still checked
                log.debug("%s", name, exc_info=True)
                yield f"| {name} | | | | | | failed: {type(error).__name__}: {' '.join(str(error).split())} |", False
                continue
            numbers = (result.fps, result.uploads, result.downloads, result.small_copies, result.waits)
            cells = " | ".join(f"{number:.1f}" for number in numbers)
            yield f"| {name} | {cells} | {'; '.join(result.messages)} |", _is_correct(name, result)


def chains() -> dict[str, Callable[[], list[Effect]]]:
    """Name -> a function that builds the chain."""
    from streamfx.effects.dream import Dream
    from streamfx.effects.style import Style

    return {
        "no effect": lambda: [Passthrough()],
        "style, coherence=off": lambda: [Style(coherence="off")],
        "style": lambda: [Style()],
        "style, motion=lk": lambda: [Style(motion="lk")],
        "dream": lambda: [Dream(octaves=2, steps=3, coherence="off")],
    }


def _is_correct(name: str, result: Result) -> bool:
    """Whether images were copied only as far as the codecs require, and the output is plausible."""
    on_cpu = ("decoded on the CPU", "encoding on the CPU")
    uploads, downloads = (any(phrase in message for message in result.messages) for phrase in on_cpu)
    if result.uploads > uploads or result.downloads > downloads:
        return False
    return result.difference <= NEAR if name == "no effect" else NEAR < result.difference < 0.5


def check_kernels(device: torch.device, size: tuple[int, int]) -> Iterator[tuple[str, bool]]:
    """The checks of each kernel against its reference implementation."""
    import torch

    from streamfx.evaluation.kernel_checks import comparisons, mean_difference
    from streamfx.ops import cuda

    yield "\n| kernel | difference | tolerance | us | reference, us | GB/s |\n|:--|--:|--:|--:|--:|--:|", True
    if device.type == "cuda" and not cuda.installed():
        yield "| none: CuPy is missing, pip install '.[cuda]' | | | | | |", False
        return
    for dtype, suffix in ((torch.float32, ""), (torch.float16, ", half")):
        for row in comparisons(*size, dtype, device):
            try:
                difference = mean_difference(row)
                seconds = [_seconds(job, device) for job in (row.kernel, row.reference)]
            except Exception as error:  # any error; the other kernels are still checked
                yield f"| {row.name}{suffix} | failed: {' '.join(str(error).split())} | | | | |", False
                continue
            bandwidth = f"{row.bytes / seconds[0] / 1e9:.0f}" if row.bytes else ""
            times = " | ".join(f"{1e6 * time:.0f}" for time in seconds)
            line = f"| {row.name}{suffix} | {difference:.1e} | {row.tolerance:.1e} | {times} | {bandwidth} |"
            yield line, difference <= row.tolerance


def _seconds(job: Callable[[], object], device: torch.device) -> float:
    """Median time of a job over several runs, with synchronization."""
    import torch

    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    times = []
    for _ in range(RUNS):
        synchronize()
        began = time.perf_counter()
        job()
        synchronize()
        times.append(time.perf_counter() - began)
    return median(times)


def make_clip(path: Path, size: tuple[int, int], frames: int) -> None:
    """Write a video of moving color gradients."""
    import torch

    from streamfx.media.output.writer import create

    height, width = size
    y, x = torch.arange(height)[:, None] / height, torch.arange(width) / width
    with create(path) as sink:
        for number in range(frames):
            phase = 6.28 * number / RATE
            waves = [torch.sin(9 * x + phase) + 0 * y, torch.cos(7 * y - phase) + 0 * x]
            waves.append(torch.sin(5 * (x + y) + 2 * phase))
            sink.write(Frame(0.5 + 0.3 * torch.stack(waves), Fraction(number, RATE), Fraction(1, RATE)))


def measure_chain(clip: Path, chain: list[Effect], device: torch.device) -> Result:
    """Process the clip's first frames, as many as each of LENGTHS; rates come from the difference of the two runs."""
    output = clip.with_name("output.mp4")
    ends = [Fraction(frames, RATE) for frames in LENGTHS]
    seconds, copies = [], []
    for end in ends:  # also warms up
        with _counted_copies(device) as counts:
            _process(clip, output, chain, device, end)
        copies.append(counts)
    for end in ends:  # timed separately, because profiling is slow
        began = time.perf_counter()
        messages = _process(clip, output, chain, device, end)
        seconds.append(time.perf_counter() - began)
    frames = LENGTHS[1] - LENGTHS[0]
    kinds = ("up", "down", "small", "waits")
    up, down, small, waits = ((copies[1][kind] - copies[0][kind]) / frames for kind in kinds)
    fps = frames / max(seconds[1] - seconds[0], 1e-9)
    return Result(fps, up, down, small, waits, messages, _mean_difference(output, clip))


def _process(clip: Path, output: Path, chain: list[Effect], device: torch.device, end: Fraction) -> list[str]:
    """Run the chain on the clip; returns the log messages about decoding and encoding."""
    from streamfx.media.encoding import Output
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.writer import Writer
    from streamfx.pipeline import run

    with _logged() as messages, Reader(clip, end=end) as reader:
        with Writer(output, reader, Output(overwrite=True)) as writer:
            run(reader, chain, writer, device=device)
        return [message.replace(f"'{clip}' is ", "") for message in messages]


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Collect the log messages about decoding and encoding."""
    messages: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.addFilter(lambda record: "decoded on" in record.getMessage() or "encoding" in record.getMessage())
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


@contextmanager
def _counted_copies(device: torch.device) -> Iterator[Counter[str]]:
    """Count the copies between CPU and GPU in a block; the counts are available when it ends."""
    import torch

    counts: Counter[str] = Counter()
    if device.type != "cuda":
        yield counts
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True) as profile:
        yield counts
        torch.cuda.synchronize(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profile.export_chrome_trace(str(path))
        counts.update(count_copies(json.loads(path.read_text("utf-8"))))


def count_copies(trace: Mapping[str, Any]) -> Counter[str]:
    """The number of images copied "up" to and "down" from the GPU, of "small" copies, and of "waits" for a stream.

    `trace` is that of torch's profiler.
    """
    counts: Counter[str] = Counter()
    for event in trace["traceEvents"]:
        if event.get("name") == "cudaStreamSynchronize":
            counts["waits"] += 1
        if event.get("cat") != "gpu_memcpy":
            continue
        for direction, code in (("up", "HtoD"), ("down", "DtoH")):
            if code in event["name"]:
                counts["small" if event["args"]["bytes"] < FULL_IMAGE else direction] += 1
    return counts


def _mean_difference(output: Path, clip: Path) -> float:
    """Mean absolute difference of two videos, both decoded on the CPU; every COMPARED_INTERVAL-th frame is compared."""
    from streamfx.media.input.reader import Reader
    from streamfx.media.pixel_formats import to_image

    with Reader(output) as processed, Reader(clip) as source:
        differences, count = [], 0
        for one, other in zip(processed.video_frames(), source.video_frames()):
            if count % COMPARED_INTERVAL == 0:
                differences.append(float((to_image(one)[0] - to_image(other)[0]).abs().mean()))
            count += 1
    if count != LENGTHS[1]:
        raise StreamfxError(f"the output has {count} frames instead of {LENGTHS[1]}")
    return sum(differences) / len(differences)


def _name(device: torch.device) -> str:
    import torch

    if device.type != "cuda":
        return str(device)
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, sm_{properties.major}{properties.minor}"


def _versions() -> dict[str, str]:
    import torch

    from streamfx.media.probe import versions
    from streamfx.version import __version__, package_version

    media = versions()
    return {
        "streamfx": __version__,
        "torch, CUDA": f"{torch.__version__}, {torch.version.cuda}",
        "CuPy": package_version("cupy-cuda13x") or "not installed",
        "PyAV, FFmpeg": f"{media['av']}, {media['ffmpeg']}",
    }
