"""Speed of decode -> null chain -> encode, compared with the ffmpeg command, and memory for short and long videos.

python tests/bench/loop.py [--runs 5] [--memory]
python tests/bench/loop.py --runs 7 --against OTHER_CHECKOUT    compares CPU time and memory with another version
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from timing import looped, rate_of, real_clip, streamfx

ENCODER = ["-c:v", "libx264", "-crf", "18", "-preset", "veryfast", "-c:a", "copy"]


def peak_memory(command: list[str]) -> float:
    """Largest resident size of a command, in MiB."""
    with subprocess.Popen(command) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024


def usage_of(checkout: Path, clip: Path, out: Path) -> tuple[float, float]:
    """CPU seconds and peak memory in MiB of the null chain of a checkout."""
    command = [sys.executable, "-m", "streamfx", "run", str(clip), str(out), "--chain", "null", "-y", "-q"]
    with subprocess.Popen(command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)}) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def compare(other: Path, clips: tuple[Path, Path], folder: Path, runs: int) -> None:
    """Paired runs of this checkout and another one; CPU time depends less than wall time on what else runs."""
    checkouts, ratios = (Path(__file__).resolve().parents[2], other.resolve()), []
    for number in range(runs):
        results = {}
        for checkout in checkouts[:: 1 if number % 2 else -1]:
            short, long = (usage_of(checkout, clip, folder / "out.mp4") for clip in clips)
            results[checkout] = long[0] - short[0], short[0], long[1]
        ratios.append([one / another for one, another in zip(results[checkouts[0]], results[checkouts[1]])])
    names = ("CPU time without start-up", "CPU time of the short clip", "peak memory")
    for name, values in zip(names, zip(*ratios)):
        print(f"{name} relative to {other}: {median(values):.3f}, {min(values):.3f} to {max(values):.3f}")


def memory(folder: Path) -> None:
    """Peak memory of the null chain for 10 seconds and 10 minutes of generated 720p video."""
    peaks = []
    for seconds in (10, 600):
        clip = folder / f"{seconds}.mp4"
        source = f"testsrc2=size=1280x720:rate=25:duration={seconds}"
        tone = f"sine=duration={seconds}"
        generate = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-f", "lavfi", "-i", tone]
        subprocess.run([*generate, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", str(clip)], check=True)
        out = folder / "out.mp4"
        peaks.append(peak_memory(streamfx("run", str(clip), str(out), "--chain", "null", "-y", "-q")))
        print(f"peak memory, null chain, {seconds:4d} s of 1280x720: {peaks[-1]:8.1f} MiB")
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--against", type=Path, help="another checkout to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as name:
        folder = Path(name)
        if options.memory:
            memory(folder)
            return
        clip = real_clip("bigbuckbunny.mp4")
        clips = looped(clip, 2, folder), looped(clip, 8, folder)
        if options.against:
            compare(options.against, clips, folder, options.runs)
            return
        commands = {
            "streamfx": lambda clip, out: streamfx("run", str(clip), str(out), "--chain", "null", "-q"),
            "ffmpeg": lambda clip, out: ["ffmpeg", "-v", "error", "-i", str(clip), *ENCODER, str(out)],
        }
        rates = rate_of(commands, clips, options.runs)
    print(f"{clip.name}, 1280x720, {options.runs} runs, medians; start-up excluded by two lengths")
    for command, rate in rates.items():
        print(f"{command:10} {1000 / rate.fps:7.2f} ms per frame, start-up {rate.startup:5.2f} s")
    print(f"time relative to ffmpeg: {rates['ffmpeg'].fps / rates['streamfx'].fps:.2f}")


if __name__ == "__main__":
    main()
