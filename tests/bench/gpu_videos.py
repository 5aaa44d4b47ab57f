"""Frames per second of 1080p videos on a GPU, start-up excluded: python tests/bench/gpu_videos.py [--size 1920x1080]

Each command runs on the first 20 and 120 frames of bigbuckbunny.mp4, enlarged (dreams: 10 and 40). Goals on an H100:
default motion at least 120 frames per second, dreams at least 30.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from timing import Rate, rate_of, real_clip, streamfx

COMMANDS = {
    "style, coherence=off": (["style", "--coherence", "off"], (20, 120)),
    "style": (["style"], (20, 120)),
    "style, motion=lk": (["style", "--motion", "lk"], (20, 120)),
    "style, quality=fast": (["style", "--quality", "fast"], (20, 120)),
    "dream": (["dream"], (10, 40)),
}


def cut(size: str, frames: int, target: Path) -> Path:
    """The first frames of the clip at another size."""
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(real_clip("bigbuckbunny.mp4")), "-frames:v", str(frames), "-an"]
    subprocess.run([*command, "-vf", f"scale={size.replace('x', ':')}", "-crf", "12", str(target)], check=True)
    return target


def rate(words: list[str], clips: tuple[Path, Path]) -> Rate:
    def command(source: Path, target: Path) -> list[str]:
        return streamfx(words[0], str(source), str(target), "-y", "--device", "cuda", *words[1:])

    return rate_of({"": command}, clips, 1)[""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1920x1080")
    options = parser.parse_args()
    print(f"{options.size}\n\n| | frames per second | start-up, s |\n|:--|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as folder:
        for name, (words, counts) in COMMANDS.items():
            first, second = (cut(options.size, count, Path(folder, f"{count}.mp4")) for count in counts)
            result = rate(words, (first, second))
            print(f"| {name} | {result.fps:.1f} | {result.startup:.1f} |", flush=True)


if __name__ == "__main__":
    main()
