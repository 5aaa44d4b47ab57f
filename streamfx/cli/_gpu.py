"""`streamfx doctor --gpu`: tries on a GPU all that is meant for it, and prints a table to paste."""

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

RATE = 25  # frames a second of the clip
LENGTHS = 20, 140  # frames of two films; what the longer one takes more is told
RUNS = 20  # of each kernel
PICTURE = 64 << 10  # bytes: what is larger is a picture, or much of one
LOOKED_AT = 5  # frames from one that is compared with its source to the next
NEAR = 3 / 255  # by which a film may differ from its source, where nothing is done to it


@dataclass(frozen=True, slots=True)
class Same:
    """Change nothing, of frames as tensors."""

    def build(self, device: torch.device) -> Step:
        def step(frame: Frame | None, memory: Memory) -> Sequence[Frame]:
            return [] if frame is None else [frame]

        return step


@dataclass(frozen=True, slots=True)
class Try:
    """What came of one film."""

    fps: float
    up: float  # pictures sent to the GPU for each frame
    down: float
    small: float  # copies of less than a picture, both ways, for each frame
    told: list[str]  # what the run said of where it works
    apart: float  # mean difference from the source, 0..1


def examine(device: torch.device, size: tuple[int, int] = (1080, 1920)) -> Iterator[tuple[str, bool]]:
    """Lines of Markdown, and whether what each tells is as it should be."""
    yield f"| {_name(device)} | |\n|:--|:--|", True
    for name, text in _versions().items():
        yield f"| {name} | {text} |", True
    yield from examine_kernels(device, size)
    yield "\n| film of {1}x{0} | frames a second | pictures up | down | small copies | |".format(*size), True
    yield "|:--|--:|--:|--:|--:|:--|", True
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "clip.mp4")
        make_clip(clip, size, LENGTHS[1])
        for name, effects in films().items():
            try:
                found = try_film(clip, effects(), device)
            except Exception as error:  # whatever it is, the table goes on
                log.debug("%s", name, exc_info=True)
                yield f"| {name} | | | | | failed: {type(error).__name__}: {' '.join(str(error).split())} |", False
                continue
            numbers = f"{found.fps:.1f} | {found.up:.1f} | {found.down:.1f} | {found.small:.1f}"
            yield f"| {name} | {numbers} | {'; '.join(found.told)} |", _is_right(name, found)


def films() -> dict[str, Callable[[], list[Effect]]]:
    """Name -> the effects to be tried."""
    from streamfx.effects.dream import Dream
    from streamfx.effects.style import Style

    return {
        "nothing": lambda: [Same()],
        "painted, each alone": lambda: [Style(coherence="off")],
        "painted, motion by lk": lambda: [Style(motion="lk")],
        "painted, motion by dis": lambda: [Style()],  # which is the CPU's: small pictures go down, flows come up
        "dreamed": lambda: [Dream(octaves=2, steps=3, coherence="off")],
    }


def _is_right(name: str, found: Try) -> bool:
    """Whether pictures stayed where they should, and came out as they should."""
    up, down = (any(words in line for line in found.told) for words in ("decoded on the CPU", "encoding on the CPU"))
    if not name.endswith("dis") and (found.up > up or found.down > down):
        return False
    return found.apart <= NEAR if name == "nothing" else NEAR < found.apart < 0.5


def examine_kernels(device: torch.device, size: tuple[int, int]) -> Iterator[tuple[str, bool]]:
    import torch

    from streamfx.evaluation.kernel_checks import comparisons, mean_difference
    from streamfx.ops import cuda

    yield "\n| kernel | differs by | at most | us | its twin's | GB/s |\n|:--|--:|--:|--:|--:|--:|", True
    if device.type == "cuda" and not cuda.installed():
        yield "| none: CuPy is missing, pip install 'streamfx[cuda]' | | | | | |", False
        return
    for dtype, kind in ((torch.float32, ""), (torch.float16, ", half")):
        for row in comparisons(*size, dtype, device):
            try:
                found = mean_difference(row)
                times = [_seconds(job, device) for job in (row.kernel, row.reference)]
            except Exception as error:  # of one kernel; the others may run
                yield f"| {row.name}{kind} | failed: {' '.join(str(error).split())} | | | | |", False
                continue
            speed = f"{row.bytes / times[0] / 1e9:.0f}" if row.bytes else ""
            figures = " | ".join(f"{1e6 * each:.0f}" for each in times)
            line = f"| {row.name}{kind} | {found:.1e} | {row.tolerance:.1e} | {figures} | {speed} |"
            yield line, found <= row.tolerance


def _seconds(job: Callable[[], object], device: torch.device) -> float:
    """The median of some runs, each waited for."""
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    times = []
    for _ in range(RUNS):
        wait()
        began = time.perf_counter()
        job()
        wait()
        times.append(time.perf_counter() - began)
    return median(times)


def make_clip(path: Path, size: tuple[int, int], frames: int) -> None:
    """Soft colours that move, as a film."""
    import torch

    from streamfx.media.output.writer import create

    height, width = size
    down, across = torch.arange(height)[:, None] / height, torch.arange(width) / width
    with create(path) as sink:
        for number in range(frames):
            turn = 6.28 * number / RATE
            waves = [torch.sin(9 * across + turn) + 0 * down, torch.cos(7 * down - turn) + 0 * across]
            waves.append(torch.sin(5 * (across + down) + 2 * turn))
            moment = Fraction(number, RATE)
            sink.write(Frame(0.5 + 0.3 * torch.stack(waves), moment, Fraction(1, RATE)))


def try_film(clip: Path, effects: list[Effect], device: torch.device) -> Try:
    """Make films of the clip's beginning, of LENGTHS; by frame, what the longer one takes more than the shorter."""
    made = clip.with_name("made.mp4")
    ends = [Fraction(frames, RATE) for frames in LENGTHS]
    seconds, copies = [], []
    for end in ends:  # which warms up, too
        with _counted(device) as counted:
            _film(clip, made, effects, device, end)
        copies.append(counted)
    for end in ends:  # being counted takes time
        began = time.perf_counter()
        told = _film(clip, made, effects, device, end)
        seconds.append(time.perf_counter() - began)
    more = LENGTHS[1] - LENGTHS[0]
    up, down, small = ((copies[1][kind] - copies[0][kind]) / more for kind in ("up", "down", "small"))
    return Try(more / max(seconds[1] - seconds[0], 1e-9), up, down, small, told, _apart(made, clip))


def _film(clip: Path, made: Path, effects: list[Effect], device: torch.device, end: Fraction) -> list[str]:
    """Run the effects over the clip; the lines of the log."""
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.encoder_selection import Output
    from streamfx.media.output.writer import Writer
    from streamfx.pipeline import run

    with _told() as lines, Reader(clip, end=end) as reader:
        with Writer(made, reader, Output(overwrite=True)) as writer:
            run(reader, effects, writer, device=device)
        return [line.replace(f"'{clip}' is ", "") for line in lines]


@contextmanager
def _told() -> Iterator[list[str]]:
    """What the run says of where it works."""
    lines: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.addFilter(lambda record: "decoded on" in record.getMessage() or "encoding" in record.getMessage())
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


@contextmanager
def _counted(device: torch.device) -> Iterator[Counter[str]]:
    """The copies that the driver tells of while this lasts; known at its end."""
    import torch

    found: Counter[str] = Counter()
    if device.type != "cuda":
        yield found
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True) as profile:
        yield found
        torch.cuda.synchronize(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profile.export_chrome_trace(str(path))
        found.update(count_copies(json.loads(path.read_text("utf-8"))))


def count_copies(trace: Mapping[str, Any]) -> Counter[str]:
    """How many pictures went up and down, and how many smaller things, by a trace of torch's profiler."""
    found: Counter[str] = Counter()
    for event in trace["traceEvents"]:
        if event.get("cat") != "gpu_memcpy":
            continue
        ways = [way for way, word in (("up", "HtoD"), ("down", "DtoH")) if word in event["name"]]
        for way in ways:
            found["small" if event["args"]["bytes"] < PICTURE else way] += 1
    return found


def _apart(made: Path, clip: Path) -> float:
    """The mean difference of some pictures of two films, as the CPU decodes them, from the first to the last."""
    from streamfx.media.input.reader import Reader
    from streamfx.media.pixel_formats import to_image

    with Reader(made) as ours, Reader(clip) as theirs:
        found, count = [], 0
        for one, other in zip(ours.video_frames(), theirs.video_frames()):
            if count % LOOKED_AT == 0:
                found.append(float((to_image(one)[0] - to_image(other)[0]).abs().mean()))
            count += 1
    if count != LENGTHS[1]:
        raise StreamfxError(f"{count} frames came out of {LENGTHS[1]}")
    return sum(found) / len(found)


def _name(device: torch.device) -> str:
    import torch

    if device.type != "cuda":
        return str(device)
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, sm_{properties.major}{properties.minor}"


def _versions() -> dict[str, str]:
    import torch

    from streamfx import __version__
    from streamfx.cli.doctor import package_version
    from streamfx.media.probe import versions

    media = versions()
    return {
        "streamfx": __version__,
        "torch, CUDA": f"{torch.__version__}, {torch.version.cuda}",
        "CuPy": package_version("cupy-cuda13x") or "not installed",
        "PyAV, FFmpeg": f"{media['av']}, {media['ffmpeg']}",
    }
