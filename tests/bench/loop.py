"""Speed of decode -> null chain -> encode, compared with the ffmpeg command, and memory for short and long videos.

python tests/bench/loop.py [--runs 5] [--memory]
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as name:
        folder = Path(name)
        if options.memory:
            memory(folder)
            return
        clip = real_clip("bigbuckbunny.mp4")
        clips = looped(clip, 2, folder), looped(clip, 8, folder)
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
