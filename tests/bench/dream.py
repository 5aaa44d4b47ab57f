"""How fast dreaming is, and what following the motion does for it.

python tests/bench/dream.py [--parts rate still film feedback coherence] [--frames 24]

rate       512x512 tile-gradients a second of lite0 at block 10, ours beside plain PyTorch: the same network in
           single precision as timm builds it, its norms not folded
still      seconds for 1280x720, 4 octaves of 10 steps
film       frames a second at 640x360, 2 octaves of 3 steps, followed
feedback   frames a second of a film out of one picture, 1280x720 with its settings by themselves; the hours for the
           127,000 gradients of 512x512 of the film of presets/tabea.toml, and beside lite0 those of the architecture
           of inceptionv1 as far as the lattice of that film, with random weights
coherence  a still shot with noise, and a photo panned, against each frame alone; light, contrast and colour of the
           last frame; the mean activation over both films (--frames 500 for a long film)
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import torch
from clips import load_photo, pan, still
from coherence import run

from streamfx.animation.context import Context
from streamfx.cli._allocator import keep_memory
from streamfx.deepdream.ascent import Ascent, octave_sizes
from streamfx.deepdream.inception import load_inception
from streamfx.deepdream.networks import build_layers
from streamfx.deepdream.objective import Objective
from streamfx.deepdream.objective_syntax import parse_objective
from streamfx.effects.dream import Dream
from streamfx.effects.feedback import Feedback
from streamfx.evaluation.temporal import warp_error
from streamfx.frame import Frame
from streamfx.inference.efficientnet import Features
from streamfx.ops.color import luma
from streamfx.ops.warp import warp

CPU = torch.device("cpu")
LAYER = "block10"
TILE, HD, SMALL = (512, 512), (720, 1280), (360, 640)
COHERENT = 180, 320  # pixels
WIDTHS = {  # channels of 1x1, 3x3's bottleneck, 3x3, 5x5's bottleneck, 5x5, pool
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 204, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 48, 128, 128),
}
TABEA = 127_000  # gradients
INCEPTION_LAYER = "mixed5a_3x3_bottleneck_pre_relu"
FILM = {"layer": LAYER, "octaves": 2, "steps": 3}


def best(work: Callable[[], object], runs: int) -> float:
    """Seconds of the quickest of some runs, the first of which does not count."""
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def objective_of(network: torch.nn.Module) -> Objective:
    return Objective(network, parse_objective(LAYER), CPU)


def show_rate(_: argparse.Namespace) -> None:
    picture = torch.rand(1, 3, *TILE)
    ours = objective_of(build_layers("lite0", [LAYER]).to(memory_format=torch.channels_last))
    plain = Features([LAYER])

    def eager() -> None:
        pixels = picture.clone().requires_grad_()
        torch.autograd.grad(plain(pixels)[LAYER].square().mean(), pixels)

    slow, fast = best(eager, 5), best(lambda: ours.gradient(picture), 10)
    print(f"tile-gradients a second: {1 / fast:.1f}; plain PyTorch {1 / slow:.1f}; ratio {slow / fast:.2f}")


def show_still(_: argparse.Namespace) -> None:
    step = Dream(layer=LAYER, octaves=4, steps=10, coherence="off").build(CPU)
    frame = Frame(load_photo("astronaut.png", *HD), Fraction(0), Fraction(1, 25))
    began = time.perf_counter()
    list(step(frame, {}))
    print(f"still {HD[1]}x{HD[0]}, 4 octaves of 10 steps: {time.perf_counter() - began:.1f} s")


def show_film(asked: argparse.Namespace) -> None:
    images = [moment.image for moment in pan(load_photo("chelsea.png", 450, 800), min(asked.frames, 24), SMALL)]
    made = run(Dream(**FILM), images)
    next(made)
    began = time.perf_counter()
    count = sum(1 for _ in made)
    print(
        f"film {SMALL[1]}x{SMALL[0]}, 2 octaves of 3 steps: {count / (time.perf_counter() - began):.2f} frames a second"
    )


def random_inception(layer: str) -> torch.nn.Module:
    """The architecture of the graph of 2015, as wide as it was, with random weights, as far as `layer`."""
    sys.path.append(str(Path(__file__).parents[1] / "nets"))
    from graphs import Graph  # as the tests write such graphs

    graph = Graph()
    x = graph.norm(
        "localresponsenorm0", graph.pool("maxpool0", graph.conv("conv2d0", "input", 7, 3, 64, stride=2), 3, 2)
    )
    x = graph.conv("conv2d2", graph.conv("conv2d1", x, 1, 64, 64), 3, 64, 192)
    x, width = graph.pool("maxpool1", graph.norm("localresponsenorm1", x), 3, 2), 192
    for block, (one, low3, three, low5, five, pooled) in WIDTHS.items():
        name = f"mixed{block}"
        parts = [
            graph.conv(f"{name}_1x1", x, 1, width, one),
            graph.conv(f"{name}_3x3", graph.conv(f"{name}_3x3_bottleneck", x, 1, width, low3), 3, low3, three),
            graph.conv(f"{name}_5x5", graph.conv(f"{name}_5x5_bottleneck", x, 1, width, low5), 5, low5, five),
            graph.conv(f"{name}_pool_reduce", graph.pool(f"{name}_pool", x, 3, 1), 1, width, pooled),
        ]
        x, width = graph.concat(name, parts), one + three + five + pooled
        if block in ("3b", "4e"):
            x = graph.pool("maxpool4" if block == "3b" else "maxpool10", x, 3, 2)
    with tempfile.TemporaryDirectory() as folder:
        return load_inception(graph.write(Path(folder, "graph.pb")), [layer])


def show_feedback(asked: argparse.Namespace) -> None:
    count = min(asked.frames, 24)
    effect = Feedback(Context(count, 30.0), HD, model="lite0", step="0.014").with_network()
    step, memory = effect.build(CPU), {}
    photo = load_photo("astronaut.png", *HD)
    frames = (Frame(photo, Fraction(number, 30), Fraction(1, 30)) for number in range(count + 1))
    list(step(next(frames), memory))
    began = time.perf_counter()
    for frame in frames:
        list(step(frame, memory))
    rate = count / (time.perf_counter() - began)
    (top, left), (height, width) = effect.margins, HD
    settings = Ascent(effect.octaves, effect.octave_scale)
    sizes = octave_sizes(height + 2 * top, width + 2 * left, settings)
    shown = ", ".join(f"{across}x{down}" for down, across in sizes) + f" (in one frame of {effect.finest})"
    print(f"feedback {width}x{height}, octaves {shown}: {rate:.2f} frames a second")
    picture = torch.rand(1, 3, *TILE)
    networks = {
        "lite0": build_layers("lite0", [LAYER]),
        "inceptionv1's architecture, random weights": random_inception(INCEPTION_LAYER),
    }
    for name, network in networks.items():
        layer = LAYER if name == "lite0" else INCEPTION_LAYER
        ours = Objective(network.to(memory_format=torch.channels_last), parse_objective(layer), CPU)
        each = best(partial(ours.gradient, picture), 5)
        told = f"{TABEA * each / 3600:.1f} hours at {1 / each:.1f} a second"
        print(f"Tabea's {TABEA:,} gradients of {TILE[1]}x{TILE[0]} with {name} at {layer}: {told}")


def show_coherence(asked: argparse.Namespace) -> None:
    objective = objective_of(build_layers("lite0", [LAYER]))
    shot = list(still(load_photo("astronaut.png", *COHERENT), asked.frames))
    moments = list(pan(load_photo("chelsea.png", 240, 420), min(asked.frames, 24), COHERENT))
    print("| | frame to frame, /255 | error after the exact warp | mean | contrast | colour | activation |")
    print("|:--|--:|--:|--:|--:|--:|--:|")
    for how in ("off", "warp"):
        effect = Dream(**FILM, coherence=how)
        made = list(run(effect, shot))
        change = 255 * fmean(float((b - a).abs().mean()) for a, b in pairwise(made[3:]))
        moved = list(run(effect, [moment.image for moment in moments]))
        errors = [
            warp_error(now, warp(before, moment.flow), moment.visible) or 0.0
            for before, now, moment in zip(moved[3:], moved[4:], moments[4:])
        ]
        last = made[-1]
        hue = float((last - luma(last)).square().mean().sqrt())
        excited = " and ".join(f"{fmean(objective.value(each[None]) for each in film):.1f}" for film in (made, moved))
        figures = f"{last.mean():.4f} | {luma(last).std():.4f} | {hue:.4f} | {excited}"
        print(f"| {how} | {change:.2f} | {fmean(errors):.5f} | {figures} |", flush=True)


PARTS = {
    "rate": show_rate,
    "still": show_still,
    "film": show_film,
    "feedback": show_feedback,
    "coherence": show_coherence,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--frames", type=int, default=24)
    asked = parser.parse_args()
    keep_memory()
    for part in asked.parts:
        PARTS[part](asked)


if __name__ == "__main__":
    main()
