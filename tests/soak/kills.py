"""Kills runs at random moments, resumes them, and compares the videos: python tests/soak/kills.py --runs 50"""

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
KILL_AGAIN = 0.3  # probability that a resumed run is killed too
AFTER_SEGMENT = 0.6  # share of the kills that come after the first segment: most of a short run is its startup

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
    arguments: list[str]  # {out} stands for the output
    seconds: float = 0.0  # that an uninterrupted run takes
    hashes: list[str] = field(default_factory=list)  # of the output of an uninterrupted run


def kinds(folder: Path) -> list[Kind]:
    """Commands that make short videos; creates their sources in `folder`."""
    video, photo = str(folder / "in.mp4"), str(folder / "photo.png")
    pattern, tone = "testsrc2=size=96x72:rate=25:duration=2.4", "sine=frequency=440:duration=2.4:sample_rate=48000"
    code = ["-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    subprocess.run([*FFMPEG, "-f", "lavfi", "-i", pattern, "-f", "lavfi", "-i", tone, *code, video], check=True)
    subprocess.run([*FFMPEG, "-i", video, "-frames:v", "1", photo], check=True)
    timeline = folder / "timeline.toml"
    timeline.write_text(TIMELINE)
    quick = ["--octaves", "1", "--layer"]
    feedback = ["--audio", video, "--size", "96x72", "--fps", "25", *quick, "block2"]
    return [
        Kind("run", ["run", video, "{out}", "--chain", "fps=20,trails,hue=s=2", "--segment", "8"]),
        Kind("style", ["style", video, "{out}", "--quality", "fast", "--segment", "9"]),
        Kind("dream", ["dream", video, "{out}", "--steps", "2", *quick, "block3", "--segment", "7"]),
        Kind("render", ["render", str(timeline), "{out}", "--audio", video, "--segment", "7"]),
        Kind("feedback", ["dream", "--start", photo, "{out}", *feedback, "--segment", "7"]),
    ]


def content_hashes(video: Path) -> list[str]:
    """MD5 of each decoded frame and of each audio packet, with their times."""
    hashes = []
    for stream, options in (("0:v", ["-fps_mode", "passthrough"]), ("0:a", ["-c", "copy"])):
        command = [*FFMPEG, "-i", str(video), "-map", stream, *options, "-f", "framemd5", "-"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        hashes += [line for line in text.splitlines() if not line.startswith("#")]
    return hashes


def start(kind: Kind, out: Path, *more: str) -> "subprocess.Popen[bytes]":
    arguments = [word.format(out=out) for word in kind.arguments]
    return subprocess.Popen([*COMMAND, *arguments, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def measure(kind: Kind, folder: Path) -> None:
    """Run without interruption, and store the time and the hashes of the output."""
    out = folder / f"{kind.name}.uninterrupted.mp4"
    start_time = time.monotonic()
    process = start(kind, out, "-y")
    _, stderr = process.communicate()
    kind.seconds = time.monotonic() - start_time
    if process.returncode:
        sys.exit(stderr.decode())
    kind.hashes = content_hashes(out)


def wait_for_segment(process: "subprocess.Popen[bytes]", out: Path) -> None:
    """Wait until there is a segment from which the run can resume, or the run has ended."""
    manifest = out.with_name(f"{out.name}.streamfx") / "manifest.json"
    while process.poll() is None and not manifest.exists():
        time.sleep(0.005)


def kill_one(kind: Kind, folder: Path, rng: random.Random, number: int) -> tuple[int, int]:
    """Kill a run one or more times, then let it finish; returns the kills, and the frames not processed again.

    The frames are -1 if a killed run had already finished. Raises AssertionError if the video differs from that of an
    uninterrupted run, or if other files are left next to it.
    """
    out = folder / f"{kind.name}.{number}.mp4"
    kills = 0
    while kills == 0 or rng.random() < KILL_AGAIN:
        process = start(kind, out, "-y", "--resume")
        limit = kind.seconds
        if rng.random() < AFTER_SEGMENT:
            wait_for_segment(process, out)
            limit /= 2
        try:
            process.wait(rng.uniform(0.0, 1.1) * limit)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        kills += 1
    process = start(kind, out, "-y", "--resume", "--json")
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr.decode()
    summary = json.loads(stdout)
    assert content_hashes(out) == kind.hashes, "the videos differ"
    remaining = [path.name for path in folder.iterdir() if path.name.startswith(out.name + ".")]
    assert not remaining, remaining
    out.unlink()
    return kills, -1 if "finished" in summary else summary["resumed_frames"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="run, style, dream, render, feedback")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        selected = [kind for kind in kinds(folder) if not arguments.only or kind.name in arguments.only]
        counts: dict[str, Counter[str]] = {kind.name: Counter() for kind in selected}
        for kind in selected:
            measure(kind, folder)
        for number in range(arguments.runs):
            kind = selected[number % len(selected)]
            count = counts[kind.name]
            count["runs"] += 1
            try:
                kills, resumed = kill_one(kind, folder, rng, number)
            except AssertionError as error:
                count["failed"] += 1
                print(f"{kind.name} {number}: {str(error)[:300]}", file=sys.stderr)
                continue
            count["kills"] += kills
            count["passed"] += 1
            count["resumed"] += resumed > 0
            count["already finished"] += resumed < 0
            print(f"{kind.name} {number}: killed {kills} times, resumed after {resumed} frames", file=sys.stderr)
    columns = ("runs", "kills", "resumed", "already finished", "passed", "failed")
    print("| command | " + " | ".join(columns) + " |")
    for kind_name, count in counts.items():
        print(f"| {kind_name} | " + " | ".join(str(count[column]) for column in columns) + " |")
    sys.exit(any(count["failed"] for count in counts.values()))


if __name__ == "__main__":
    main()
