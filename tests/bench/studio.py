"""How fast the studio answers: page, previews, gallery and renders, and how much memory it takes.

python tests/bench/studio.py VIDEO [--runs 15] [--seconds 2]

Prints a Markdown table. Run it on a quiet machine, once before to compile the networks. The last row compares the
faster of two renders each, which alternate.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from statistics import median

import httpx
import psutil

MIB = 2**20
SETTLE = 3.0  # seconds before memory is read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=15, help="previews to time")
    parser.add_argument("--seconds", type=float, default=2, help="of the video to render")
    arguments = parser.parse_args()
    print("| measured | value | limit |\n|:--|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, f"clip{arguments.video.suffix}")
        shutil.copyfile(arguments.video, clip)
        page_and_memory(Path(folder))
        previews(clip, arguments.runs)
        gallery(clip)
        render(clip, arguments.seconds)


def row(name: str, value: float, unit: str, limit: str) -> None:
    print(f"| {name} | {value:.2f} {unit} | {limit} |", flush=True)


def page_and_memory(folder: Path) -> None:
    """Seconds from the start of the command until the page is answered, and the memory of the idle studio."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "streamfx", "studio", str(folder), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    address = re.search(r"http://\S+", process.stdout.readline())
    assert address
    page = httpx.get(address[0])
    assert page.status_code == 200
    row("page ready", time.perf_counter() - began, "s", "2.5 s")
    cookie = page.headers["set-cookie"].partition(";")[0]
    base = address[0].partition("/?")[0]
    httpx.get(f"{base}/studio/frame/clip.mp4?t=0", headers={"Cookie": cookie}, timeout=60)  # imports the engine
    time.sleep(SETTLE)
    studio = psutil.Process(process.pid).memory_info().rss / MIB
    process.terminate()
    process.wait()
    code = (
        "import os, psutil, torch, streamfx.effects.style, streamfx.media.input.reader; "
        "print(psutil.Process(os.getpid()).memory_info().rss)"
    )
    engine = int(subprocess.check_output([sys.executable, "-c", code])) / MIB
    row("memory of the idle studio over the engine's", studio - engine, "MiB", "250 MiB")


def previews(clip: Path, runs: int) -> None:
    """Median seconds from a request, as of a slider, to the draft and to the full picture."""
    from streamfx.studio.library import Library
    from streamfx.studio.previews import Preview, Previews

    service = Previews(Library(clip.parent, clip.parent))
    seconds: dict[str, list[float]] = {"draft": [], "full": []}
    for number in range(runs + 1):
        answers: list[Preview] = []
        chain = f"style=vangogh:strength={1 - number / 100:g}:detail={number / 100:g}"
        service.request("page", clip, Fraction(1), chain, 0, answers.append)
        assert service.worker.wait_idle(300)
        for answer in answers if number else ():  # the first one builds the networks
            assert answer.url, answer.message
            seconds[answer.stage].append(answer.seconds)
    service.close()
    row("slider to draft, median", median(seconds["draft"]), "s", "0.35 s")
    row("slider to full size, median", median(seconds["full"]), "s", "0.8 s")


def gallery(clip: Path) -> None:
    """Seconds until every preset is painted on a new frame, with compiled networks in the disk cache."""
    from streamfx.studio.gallery import Gallery, Moment
    from streamfx.studio.stills import StillRenderer

    pictures = Gallery(clip.parent / "gallery")
    for time_at in (Fraction(1), Fraction(3, 2)):
        began = time.perf_counter()
        pictures.paint(Moment(clip, time_at), StillRenderer(), lambda: False, lambda preset, done: None)
        elapsed = time.perf_counter() - began
    row("gallery complete", elapsed, "s", "20 s")


def render(clip: Path, length: float) -> None:
    """Time of a render of the queue, relative to the same command in a terminal."""
    from streamfx.studio.library import Library
    from streamfx.studio.queue import RenderQueue
    from streamfx.studio.renders import Renders

    def arguments(target: Path) -> list[str]:
        return ["style", str(clip), str(target), "--preset", "vangogh", "--to", f"{length:g}"]

    library = Library(clip.parent, clip.parent)
    queue = RenderQueue(library.state / "queue.json")
    renders = Renders(queue, library)
    renders.start()
    commands, queued = [], []
    for number in range(2):
        began = time.perf_counter()
        words = arguments(clip.with_name(f"alone{number}.mp4"))
        subprocess.run([sys.executable, "-m", "streamfx", *words, "-q"], check=True)
        commands.append(time.perf_counter() - began)
        target = clip.with_name(f"queued{number}.mp4")
        began = time.perf_counter()
        entry = queue.add(arguments(target), str(target))
        while queue.get(entry.id).state in ("waiting", "running"):
            time.sleep(0.02)
        queued.append(time.perf_counter() - began)
        assert queue.get(entry.id).state == "finished", queue.get(entry.id).message
    renders.stop()
    row("render from the queue, relative to the command", min(queued) / min(commands), "", "1.05")


if __name__ == "__main__":
    main()
