"""What long generated videos look like: metrics over time, variety, frames per second, and a contact sheet.

python tests/bench/dream_videos.py FOLDER [--starts fractal landscape portrait] [--song 0] [--seconds 180]
    [--size 1280x720] [--options "--regions 0.4"]

Each start image is dreamed to a generated song of eight sections by `streamfx dream` with its default settings, or
with --options; `--song` seeds the music. Videos that FOLDER holds are measured without rendering them again. The
landscape is scikit-learn's china.jpg and the portrait is scikit-image's astronaut.

metrics   of `streamfx measure --dream` at 10, 60 and 180 s, and their worst values from 10 s on
variety   cosine distance of lite0's features (mean and deviation of block6 and block12 over the frame), one frame a
          second: frames 20 s apart, frames of different sections, and frames of the same one
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
import synthetic_audio
import torch
from PIL import Image
from torch.nn.functional import interpolate, normalize

from streamfx.evaluation.dream import DreamMetrics, measure_dream
from streamfx.frame import Frame
from streamfx.inference.efficientnet import Features
from streamfx.media.input.reader import Reader

SECTIONS = (  # (share of the song, beats per minute, parts, loudness)
    *((0.08, 90, 1, 0.25), (0.14, 90, 1, 0.7), (0.14, 120, 2, 1.0), (0.12, 90, 1, 0.5)),
    *((0.16, 120, 2, 1.0), (0.10, 80, 1, 0.2), (0.18, 128, 2, 1.0), (0.08, 80, 1, 0.15)),
)
LAYERS = "block6", "block12"
APART = 20  # seconds
SHEET, ACROSS = 60, 10  # images


def write_song(path: Path, seconds: float, seed: int) -> list[float]:
    """Write a song; returns the start of each section in seconds. `seed` changes the music and the sections' order."""
    order = np.random.default_rng(seed).permutation(len(SECTIONS)) if seed else np.arange(len(SECTIONS))
    parts, starts, at = [], [], 0.0
    for number, index in enumerate(order):
        share, bpm, count, gain = SECTIONS[index]
        starts.append(at)
        audio = synthetic_audio.synthesize(bpm + 4 * seed, share * seconds, parts=count, seed=10 * seed + number)
        parts.append(gain * audio.samples)
        at += share * seconds
    synthetic_audio.write(path, np.concatenate(parts))
    return starts


def start_image(name: str, folder: Path) -> Path:
    """The file of a start image; written to `folder` unless it is the fractal."""
    if name == "fractal":
        return Path(__file__).parents[2] / "images" / "fractal.png"
    pixels = sklearn.datasets.load_sample_image("china.jpg") if name == "landscape" else skimage.data.astronaut()
    path = folder / f"{name}.png"
    Image.fromarray(pixels).save(path)
    return path


def render(start: Path, song: Path, video: Path, size: str, options: str) -> float:
    """Render a video; returns frames per second, start-up included."""
    command = ["dream", "--start", start, "--audio", song, video, "--size", size, *shlex.split(options)]
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "streamfx", *map(str, command)], check=True)
    elapsed = time.perf_counter() - begin
    with Reader(video) as reader:
        return sum(1 for _ in reader) / elapsed


def one_per_second(video: Path) -> Iterable[Frame]:
    due = 0.0
    with Reader(video) as reader:
        for frame in reader:
            if float(frame.pts) >= due:
                due += 1
                yield frame


def features(frame: Frame, network: Features) -> torch.Tensor:
    image = interpolate(frame.image.float()[None], (360, 640), mode="area")
    maps = network(image)
    pooled = [value for layer in LAYERS for value in (maps[layer].mean((2, 3)), maps[layer].std((2, 3)))]
    return torch.cat([normalize(part) for part in pooled], 1)[0]


def variety(vectors: torch.Tensor, sections: list[float]) -> dict[str, float]:
    """Mean and least distance of frames 20 s apart, and mean distances of frames between and within sections."""
    vectors = normalize(vectors)
    distance = 1 - vectors @ vectors.T
    of = torch.from_numpy(np.searchsorted(sections, np.arange(len(vectors)), side="right"))
    same = of[:, None] == of[None]
    apart = distance.diagonal(APART)
    within = same & ~torch.eye(len(vectors), dtype=torch.bool)
    between = distance[~same].mean()
    return {
        f"{APART} s apart, mean": float(apart.mean()),
        f"{APART} s apart, least": float(apart.min()),
        "different sections, mean": float(between),
        "same section, mean": float(distance[within].mean()),
        f"share of pairs {APART} s apart closer than different sections": float((apart < between).float().mean()),
    }


def write_sheet(frames: list[np.ndarray], path: Path) -> None:
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, SHEET).round().astype(int)]
    rows = [np.concatenate(chosen[i : i + ACROSS], 1) for i in range(0, SHEET, ACROSS)]
    Image.fromarray(np.concatenate(rows)).save(path, quality=88)


def small(frame: Frame) -> np.ndarray:
    pixels = frame.image.float().mul(255).round().byte().permute(1, 2, 0).numpy()
    return np.asarray(Image.fromarray(pixels).resize((256, 144), Image.Resampling.BOX))


def report(start: Path, video: Path, sections: list[float]) -> None:
    network = Features(LAYERS).eval()
    thumbnails, vectors = [], []

    def observed() -> Iterable[Frame]:
        for frame in one_per_second(video):
            thumbnails.append(small(frame))
            with torch.inference_mode():
                vectors.append(features(frame, network))
            yield frame

    with Reader(start) as image:
        rows = list(measure_dream(next(iter(image)), observed()))
    names = [name for name in DreamMetrics.__dataclass_fields__ if name != "time"]
    print("| second |", " | ".join(names), "|\n|--:|" + "--:|" * len(names))
    shown = [("start", rows[0]), *((f"{t}", row) for t in (10, 60, 179) for row in rows[1:] if round(row.time) == t)]
    for label, row in shown:
        print(f"| {label} |", " | ".join(f"{getattr(row, name):.3f}" for name in names), "|")
    later = [row for row in rows[1:] if row.time >= 10]
    for label, pick in (("least", min), ("most", max)):
        print(f"| {label} |", " | ".join(f"{pick(getattr(row, name) for row in later):.3f}" for name in names), "|")
    for name, value in variety(torch.stack(vectors), sections).items():
        print(f"{name}: {value:.3f}")
    write_sheet(thumbnails, video.with_suffix(".jpg"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--starts", nargs="+", default=["fractal", "landscape", "portrait"])
    parser.add_argument("--song", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--options", default="")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    song = options.folder / f"song{options.song}.wav"
    sections = write_song(song, options.seconds, options.song)
    for name in options.starts:
        start, video = start_image(name, options.folder), options.folder / f"{name}{options.song}.mp4"
        print(f"\n{name}, song {options.song}")
        if not video.exists():
            print(f"frames per second: {render(start, song, video, options.size, options.options):.2f}", flush=True)
        report(start, video, sections)


if __name__ == "__main__":
    main()
