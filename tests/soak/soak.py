"""Processes a long video of variable frame rate with audio; checks for memory growth and timestamp drift.

    python tests/soak/soak.py                  an hour of video, 320x180
    python tests/soak/soak.py --rate 12        half as many frames per second, for slower machines
    python tests/soak/soak.py --minutes 10
    python tests/soak/soak.py --minutes 0.2 --chain mirror

The memory of the process is sampled each second; its slope is fitted after the first fifth of the run, once everything
has been allocated. Fails if memory grows by more than --growth MiB over the rest, if the time of a frame or an audio
packet differs from the source, or if audio and video end more than one frame apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

KEEP_ONE_IN = 2  # frames kept at random
SETTLED = 0.2  # fraction of the run after which memory should be constant
MIN_SECONDS = 60  # of samples for a verdict on memory


def make_source(path: Path, seconds: float, rate: int) -> None:
    """A moving test pattern, `rate` frames per second on average, with random gaps, and a tone."""
    full_rate = KEEP_ONE_IN * rate
    keep = f"select='gt(random(1),{1 - 1 / KEEP_ONE_IN})+lt(t,0.01)+gt(t,{seconds - 1.5 / full_rate})'"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    command += ["-f", "lavfi", "-i", f"testsrc2=size=320x180:rate={full_rate}:duration={seconds},{keep}"]
    command += ["-f", "lavfi", "-i", f"sine=frequency=300:duration={seconds}:sample_rate=48000"]
    command += ["-fps_mode", "passthrough", "-enc_time_base", "1/1000"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", str(path)]
    subprocess.run(command, check=True)


def run(source: Path, target: Path, chain: str) -> tuple[list[tuple[float, float]], dict[str, object]]:
    """Run the command; returns samples of (seconds, MiB), and its JSON summary."""
    command = [sys.executable, "-m", "streamfx", "run", str(source), str(target)]
    command += ["--chain", chain, "-y", "--json", "--no-progress", "--device", "cpu"]
    began = time.monotonic()
    samples = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            resident = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
            if resident:
                samples.append((time.monotonic() - began, int(resident[0]) / 1024))
            time.sleep(min(1.0, 0.05 * (len(samples) + 1)))
        assert process.stdout is not None
        summary = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"the command exited with code {process.returncode}")
    return samples, json.loads(summary)


def slope(samples: list[tuple[float, float]]) -> tuple[float, float]:
    """MiB per hour after the start of the run, by least squares, and the growth in MiB until the end."""
    settled = np.array([sample for sample in samples if sample[0] >= SETTLED * samples[-1][0]])
    per_second = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    return 3600 * per_second, per_second * float(settled[-1, 0] - settled[0, 0])


def times(path: Path, kind: str) -> list[tuple[Fraction, Fraction]]:
    """(pts, duration) of each packet of a stream in seconds, sorted."""
    query = ["-select_streams", kind, "-show_entries", "packet=pts,duration:stream=time_base", "-of", "json"]
    entries = json.loads(
        subprocess.run(["ffprobe", "-v", "error", *query, str(path)], check=True, stdout=subprocess.PIPE).stdout
    )
    base = Fraction(entries["streams"][0]["time_base"])
    return sorted((packet["pts"] * base, packet.get("duration", 0) * base) for packet in entries["packets"])


def audio_hash(path: Path) -> str:
    """A hash of the audio packets."""
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:a",
        "-c",
        "copy",
        "-f",
        "streamhash",
        "-",
    ]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def check_times(source: Path, target: Path, rate: int) -> tuple[int, Fraction, list[str]]:
    """The number of frames, how many seconds later audio ends than video, and a list of errors."""
    before, after = times(source, "v:0"), times(target, "v:0")
    errors = []
    if [pts for pts, _ in before] != [pts for pts, _ in after]:
        lost = {pts for pts, _ in before} - {pts for pts, _ in after}
        errors.append(f"{len(before)} frames became {len(after)}; {len(lost)} timestamps are missing")
    if audio_hash(source) != audio_hash(target):
        errors.append("the audio packets differ")
    audio = times(target, "a:0")
    lag = sum(audio[-1]) - (after[-1][0] + (after[-1][1] or Fraction(1, KEEP_ONE_IN * rate)))
    if abs(lag) > Fraction(1, rate):
        errors.append(f"audio and video end {float(lag):+.3f} s apart")
    return len(after), lag, errors


def main() -> int:
    options = argparse.ArgumentParser(description="Process a long video; check memory and timestamps.")
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--rate", type=int, default=25, help="frames per second on average")
    options.add_argument("--chain", default="style=vangogh:quality=fast")
    options.add_argument("--growth", type=float, default=16.0, help="MiB of growth allowed after the first fifth")
    options.add_argument("--samples", type=Path, help="file for the samples, as JSON")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        source, target = Path(name) / "source.mkv", Path(name) / "out.mkv"
        make_source(source, 60 * arguments.minutes, arguments.rate)
        samples, summary = run(source, target, arguments.chain)
        frames, lag, errors = check_times(source, target, arguments.rate)
    if arguments.samples:
        arguments.samples.write_text(json.dumps(samples))
    per_hour, growth = slope(samples)
    if samples[-1][0] * (1 - SETTLED) < MIN_SECONDS:
        print("the run is too short for a verdict on memory")
    elif growth > arguments.growth:
        errors.append(f"memory grew by {growth:.1f} MiB")
    print(f"{arguments.minutes:g} minutes, {frames} frames, {summary['fps']} per second, --chain {arguments.chain}")
    print(f"memory: {samples[-1][1]:.0f} MiB, maximum {max(mib for _, mib in samples):.0f}; ", end="")
    print(f"slope {per_hour:+.1f} MiB per hour, {growth:+.2f} MiB over the rest")
    print(f"audio ends {1000 * float(lag):+.1f} ms after the video")
    print("\n".join(f"FAILED: {error}" for error in errors) or "passed")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
