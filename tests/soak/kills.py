"""Kills runs at random moments, has them go on, and compares the films: python tests/soak/kills.py --runs 50"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = [sys.executable, "-m", "streamfx"]
FFMPEG = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
TWICE = 0.3  # of the runs that go on, so many are killed as well
LATE = 0.6  # of the kills, so many come behind a segment: most of a short run is its start

TIMELINE = """kind = "timeline"
size = [96, 72]
fps = 25
[pictures]
photo = "photo.png"
[defaults]
octaves = 1
layer = "block2"
[[section]]
name = "forth"
start = "photo"
length = 30
zoom = 1.01
[[section]]
name = "back"
direction = "backward"
start = "photo"
length = 30
"""


@dataclass
class Kind:
    """A command whose runs are killed."""

    name: str
    arguments: list[str]  # {out} is the film
    seconds: float = 0.0  # that a run lasts
    frames: list[str] = field(default_factory=list)  # what its film is, made without a break


def kinds(folder: Path) -> list[Kind]:
    """Small films to make in `folder`, where their sources are made."""
    film, photo = str(folder / "in.mp4"), str(folder / "photo.png")
    picture, sound = "testsrc2=size=96x72:rate=25:duration=2.4", "sine=frequency=440:duration=2.4:sample_rate=48000"
    code = ["-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    subprocess.run([*FFMPEG, "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *code, film], check=True)
    subprocess.run([*FFMPEG, "-i", film, "-frames:v", "1", photo], check=True)
    timeline = folder / "timeline.toml"
    timeline.write_text(TIMELINE)
    quick = ["--octaves", "1", "--layer"]
    music = ["--audio", film, "--size", "96x72", "--fps", "25", *quick, "block2"]
    return [
        Kind("run", ["run", film, "{out}", "--chain", "fps=20,trails,hue=s=2", "--segment", "8"]),
        Kind("style", ["style", film, "{out}", "--quality", "fast", "--segment", "9"]),
        Kind("dream", ["dream", film, "{out}", "--steps", "2", *quick, "block3", "--segment", "7"]),
        Kind("render", ["render", str(timeline), "{out}", "--audio", film, "--segment", "7"]),
        Kind("feedback", ["dream", "--start", photo, "{out}", *music, "--segment", "7"]),
    ]


def seen_and_heard(film: Path) -> list[str]:
    """MD5 of each decoded frame and of each packet of sound, with their times."""
    made = []
    for stream, how in (("0:v", ["-fps_mode", "passthrough"]), ("0:a", ["-c", "copy"])):
        command = [*FFMPEG, "-i", str(film), "-map", stream, *how, "-f", "framemd5", "-"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        made += [line for line in text.splitlines() if not line.startswith("#")]
    return made


def start(kind: Kind, out: Path, *more: str) -> "subprocess.Popen[bytes]":
    arguments = [each.format(out=out) for each in kind.arguments]
    return subprocess.Popen([*COMMAND, *arguments, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def learn(kind: Kind, folder: Path) -> None:
    """Make the film without a break: how long that takes, and what comes of it."""
    out = folder / f"{kind.name}.whole.mp4"
    begun = time.monotonic()
    process = start(kind, out, "-y")
    _, said = process.communicate()
    kind.seconds = time.monotonic() - begun
    if process.returncode:
        sys.exit(said.decode())
    kind.frames = seen_and_heard(out)


def wait_for_segment(process: "subprocess.Popen[bytes]", out: Path) -> None:
    """Wait until there is a segment of the film to go on with, or the run has ended."""
    manifest = out.with_name(f"{out.name}.streamfx") / "manifest.json"
    while process.poll() is None and not manifest.exists():
        time.sleep(0.005)


def kill_one(kind: Kind, folder: Path, chance: random.Random, number: int) -> tuple[int, int]:
    """Kill a run until chance lets it go on to its end; how often, and how many frames it had not to do again.

    Raises AssertionError where the film is not the same, or anything is left beside it.
    """
    out = folder / f"{kind.name}.{number}.mp4"
    kills = 0
    while kills == 0 or chance.random() < TWICE:
        process = start(kind, out, "-y", "--resume")
        longest = kind.seconds
        if chance.random() < LATE:
            wait_for_segment(process, out)
            longest /= 2
        try:
            process.wait(chance.uniform(0.0, 1.1) * longest)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        kills += 1
    process = start(kind, out, "-y", "--resume", "--json")
    told, said = process.communicate()
    assert process.returncode == 0, said.decode()
    answer = json.loads(told)
    assert seen_and_heard(out) == kind.frames
    left = [path.name for path in folder.iterdir() if path.name.startswith(out.name + ".")]
    assert not left, left
    out.unlink()
    return kills, -1 if "finished" in answer else answer["resumed_frames"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="run, style, dream, render, feedback")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = [kind for kind in kinds(folder) if not asked.only or kind.name in asked.only]
        counts: dict[str, Counter[str]] = {kind.name: Counter() for kind in chosen}
        for kind in chosen:
            learn(kind, folder)
        for number in range(asked.runs):
            kind = chosen[number % len(chosen)]
            count = counts[kind.name]
            count["runs"] += 1
            try:
                kills, resumed = kill_one(kind, folder, chance, number)
            except AssertionError as error:
                count["lost"] += 1
                print(f"{kind.name} {number}: {str(error)[:300]}", file=sys.stderr)
                continue
            count["kills"] += kills
            count["survived"] += 1
            count["behind a segment"] += resumed > 0
            count["finished before"] += resumed < 0
            print(f"{kind.name} {number}: killed {kills} times, went on behind {resumed} frames", file=sys.stderr)
    columns = ("runs", "kills", "behind a segment", "finished before", "survived", "lost")
    print("| command | " + " | ".join(columns) + " |")
    for kind_name, count in counts.items():
        print(f"| {kind_name} | " + " | ".join(str(count[column]) for column in columns) + " |")
    sys.exit(any(count["lost"] for count in counts.values()))


if __name__ == "__main__":
    main()
