"""A long film at a variable frame rate, with sound, through a painter: does memory stay, and does nothing slip?

    python tests/soak/soak.py                  an hour of 320x180, as the film counts it
    python tests/soak/soak.py --rate 12        with half as many pictures a second, for slower machines
    python tests/soak/soak.py --minutes 10
    python tests/soak/soak.py --minutes 0.2 --chain mirror

Memory is that of the one process, sampled each second; its slope is fitted from a fifth of the run on, once everything
has been allocated. Fails where it grows by more than --growth MiB over the rest, where a picture's time differs from
the source's, a sound packet differs, or sound and picture end more than one frame apart.
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

KEPT = 2  # one of so many is kept, by chance
SETTLED = 0.2  # share of the run after which memory should stay
LEAST = 60  # seconds that have to be watched for a verdict on memory


def make_source(path: Path, seconds: float, rate: int) -> None:
    """`rate` moving pictures a second in the mean, with gaps by chance, the first and the last one kept; and a tone."""
    most = KEPT * rate
    keep = f"select='gt(random(1),{1 - 1 / KEPT})+lt(t,0.01)+gt(t,{seconds - 1.5 / most})'"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    command += ["-f", "lavfi", "-i", f"testsrc2=size=320x180:rate={most}:duration={seconds},{keep}"]
    command += ["-f", "lavfi", "-i", f"sine=frequency=300:duration={seconds}:sample_rate=48000"]
    command += ["-fps_mode", "passthrough", "-enc_time_base", "1/1000"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", str(path)]
    subprocess.run(command, check=True)


def run(source: Path, target: Path, chain: str) -> tuple[list[tuple[float, float]], dict[str, object]]:
    """Seconds and MiB of the command at work, and what it reported at its end."""
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
        said = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    return samples, json.loads(said)


def slope(samples: list[tuple[float, float]]) -> tuple[float, float]:
    """MiB a hour of the run once it has settled, by least squares, and how much that is until the end."""
    settled = np.array([sample for sample in samples if sample[0] >= SETTLED * samples[-1][0]])
    each = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    return 3600 * each, each * float(settled[-1, 0] - settled[0, 0])


def times(path: Path, kind: str) -> list[tuple[Fraction, Fraction]]:
    """When each packet of a stream is shown, and how long it lasts, in seconds, in order."""
    shown = ["-select_streams", kind, "-show_entries", "packet=pts,duration:stream=time_base", "-of", "json"]
    said = json.loads(
        subprocess.run(["ffprobe", "-v", "error", *shown, str(path)], check=True, stdout=subprocess.PIPE).stdout
    )
    base = Fraction(said["streams"][0]["time_base"])
    return sorted((packet["pts"] * base, packet.get("duration", 0) * base) for packet in said["packets"])


def sound_hash(path: Path) -> str:
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
    """Pictures of the film, how far the end of its sound is from that of its pictures, and what is wrong."""
    before, after = times(source, "v:0"), times(target, "v:0")
    wrong = []
    if [pts for pts, _ in before] != [pts for pts, _ in after]:
        lost = {pts for pts, _ in before} - {pts for pts, _ in after}
        wrong.append(f"{len(before)} pictures became {len(after)}, {len(lost)} of their times are lost")
    if sound_hash(source) != sound_hash(target):
        wrong.append("the sound differs")
    sound = times(target, "a:0")
    apart = sum(sound[-1]) - (after[-1][0] + (after[-1][1] or Fraction(1, KEPT * rate)))
    if abs(apart) > Fraction(1, rate):
        wrong.append(f"sound and picture end {float(apart):.3f} s apart")
    return len(after), apart, wrong


def main() -> int:
    options = argparse.ArgumentParser(description="A long film through a painter, watched.")
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--rate", type=int, default=25, help="pictures a second, in the mean")
    options.add_argument("--chain", default="style=vangogh:quality=fast")
    options.add_argument("--growth", type=float, default=16.0, help="MiB by which memory may grow once it has settled")
    options.add_argument("--samples", type=Path, help="file for the samples, as JSON")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        source, target = Path(name) / "source.mkv", Path(name) / "out.mkv"
        make_source(source, 60 * given.minutes, given.rate)
        samples, said = run(source, target, given.chain)
        pictures, apart, wrong = check_times(source, target, given.rate)
    if given.samples:
        given.samples.write_text(json.dumps(samples))
    each, grown = slope(samples)
    if samples[-1][0] * (1 - SETTLED) < LEAST:
        print("too short to judge memory by")
    elif grown > given.growth:
        wrong.append(f"memory grew by {grown:.1f} MiB")
    print(f"{given.minutes:g} minutes, {pictures} pictures, {said['fps']} a second, --chain {given.chain}")
    print(f"memory: {samples[-1][1]:.0f} MiB, at most {max(mib for _, mib in samples):.0f}; ", end="")
    print(f"slope {each:+.1f} MiB an hour, {grown:+.2f} MiB over the rest")
    print(f"sound ends {1000 * float(apart):+.1f} ms behind the picture")
    print("\n".join(f"FAILED: {each}" for each in wrong) or "all well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
