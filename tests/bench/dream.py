"""Speed of DeepDream, and the effect of motion compensation on its flicker.

python tests/bench/dream.py [--parts rate still video feedback coherence] [--frames 24]

rate       gradients per second of 512x512 tiles with lite0 at block 10, compared with plain PyTorch: the same network
           in single precision as timm builds it, with separate batch norms
still      seconds for an image of 1280x720, 4 octaves of 10 steps
video      frames per second at 640x360, 2 octaves of 3 steps, with motion compensation
feedback   frames per second of a feedback video of 1280x720 with default settings; hours for the 127,000 gradients of
           512x512 pixels in presets/tabea.toml, with lite0 and with the architecture of inceptionv1 (random weights)
coherence  a still shot with noise and a panned photo, with and without motion compensation; brightness, contrast and
           color of the last frame; mean activation over both clips (--frames 500 for a long one)
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
QUICK = {"layer": LAYER, "octaves": 2, "steps": 3}


def best(work: Callable[[], object], runs: int) -> float:
    """Seconds of the fastest of `runs` runs, after one that is not counted."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def objective_of(network: torch.nn.Module) -> Objective:
    return Objective(network, parse_objective(LAYER), CPU)


def show_rate(_: argparse.Namespace) -> None:
    image = torch.rand(1, 3, *TILE)
    objective = objective_of(build_layers("lite0", [LAYER]).to(memory_format=torch.channels_last))
    plain = Features([LAYER])

    def eager() -> None:
        pixels = image.clone().requires_grad_()
        torch.autograd.grad(plain(pixels)[LAYER].square().mean(), pixels)

    slow, fast = best(eager, 5), best(lambda: objective.gradient(image), 10)
    print(f"gradients of tiles per second: {1 / fast:.1f}; plain PyTorch {1 / slow:.1f}; ratio {slow / fast:.2f}")


def show_still(_: argparse.Namespace) -> None:
    step = Dream(layer=LAYER, octaves=4, steps=10, coherence="off").build(CPU)
    frame = Frame(load_photo("astronaut.png", *HD), Fraction(0), Fraction(1, 25))
    start = time.perf_counter()
    list(step(frame, {}))
    print(f"still {HD[1]}x{HD[0]}, 4 octaves of 10 steps: {time.perf_counter() - start:.1f} s")


def show_video(options: argparse.Namespace) -> None:
    images = [moment.image for moment in pan(load_photo("chelsea.png", 450, 800), min(options.frames, 24), SMALL)]
    outputs = run(Dream(**QUICK), images)
    next(outputs)
    start = time.perf_counter()
    count = sum(1 for _ in outputs)
    rate = count / (time.perf_counter() - start)
    print(f"video {SMALL[1]}x{SMALL[0]}, 2 octaves of 3 steps: {rate:.2f} frames per second")


def random_inception(layer: str) -> torch.nn.Module:
    """The architecture of the 2015 graph at its full width, with random weights, up to `layer`."""
    sys.path.append(str(Path(__file__).parents[1] / "deepdream"))
    from graphs import Graph

    graph = Graph()
    x = graph.norm(
        "localresponsenorm0", graph.pool("maxpool0", graph.conv("conv2d0", "input", 7, 3, 64, stride=2), 3, 2)
    )
    x = graph.conv("conv2d2", graph.conv("conv2d1", x, 1, 64, 64), 3, 64, 192)
    x, width = graph.pool("maxpool1", graph.norm("localresponsenorm1", x), 3, 2), 192
    for block, (one, low3, three, low5, five, pooled) in WIDTHS.items():
        name = f"mixed{block}"
        branches = [
            graph.conv(f"{name}_1x1", x, 1, width, one),
            graph.conv(f"{name}_3x3", graph.conv(f"{name}_3x3_bottleneck", x, 1, width, low3), 3, low3, three),
            graph.conv(f"{name}_5x5", graph.conv(f"{name}_5x5_bottleneck", x, 1, width, low5), 5, low5, five),
            graph.conv(f"{name}_pool_reduce", graph.pool(f"{name}_pool", x, 3, 1), 1, width, pooled),
        ]
        x, width = graph.concat(name, branches), one + three + five + pooled
        if block in ("3b", "4e"):
            x = graph.pool("maxpool4" if block == "3b" else "maxpool10", x, 3, 2)
    with tempfile.TemporaryDirectory() as folder:
        return load_inception(graph.write(Path(folder, "graph.pb")), [layer])


def show_feedback(options: argparse.Namespace) -> None:
    count = min(options.frames, 24)
    effect = Feedback(Context(count, 30.0), HD, model="lite0", step="0.014").with_network()
    step, memory = effect.build(CPU), {}
    photo = load_photo("astronaut.png", *HD)
    frames = (Frame(photo, Fraction(number, 30), Fraction(1, 30)) for number in range(count + 1))
    list(step(next(frames), memory))
    start = time.perf_counter()
    for frame in frames:
        list(step(frame, memory))
    rate = count / (time.perf_counter() - start)
    (top, left), (height, width) = effect.margins, HD
    settings = Ascent(effect.octaves, effect.octave_scale)
    sizes = octave_sizes(height + 2 * top, width + 2 * left, settings)
    shown = ", ".join(f"{across}x{down}" for down, across in sizes) + f" (in one frame of {effect.finest})"
    print(f"feedback {width}x{height}, octaves {shown}: {rate:.2f} frames per second")
    image = torch.rand(1, 3, *TILE)
    networks = {
        "lite0": build_layers("lite0", [LAYER]),
        "inceptionv1's architecture, random weights": random_inception(INCEPTION_LAYER),
    }
    for name, network in networks.items():
        layer = LAYER if name == "lite0" else INCEPTION_LAYER
        objective = Objective(network.to(memory_format=torch.channels_last), parse_objective(layer), CPU)
        seconds = best(partial(objective.gradient, image), 5)
        duration = f"{TABEA * seconds / 3600:.1f} hours at {1 / seconds:.1f} per second"
        print(f"{TABEA:,} gradients of tabea.toml of {TILE[1]}x{TILE[0]} pixels with {name} at {layer}: {duration}")


def show_coherence(options: argparse.Namespace) -> None:
    objective = objective_of(build_layers("lite0", [LAYER]))
    shot = list(still(load_photo("astronaut.png", *COHERENT), options.frames))
    moments = list(pan(load_photo("chelsea.png", 240, 420), min(options.frames, 24), COHERENT))
    print("| | change per frame, /255 | error after exact warp | mean | contrast | color | activation |")
    print("|:--|--:|--:|--:|--:|--:|--:|")
    for coherence in ("off", "warp"):
        effect = Dream(**QUICK, coherence=coherence)
        outputs = list(run(effect, shot))
        change = 255 * fmean(float((b - a).abs().mean()) for a, b in pairwise(outputs[3:]))
        panned = list(run(effect, [moment.image for moment in moments]))
        errors = [
            warp_error(now, warp(before, moment.flow), moment.visible) or 0.0
            for before, now, moment in zip(panned[3:], panned[4:], moments[4:])
        ]
        last = outputs[-1]
        color = float((last - luma(last)).square().mean().sqrt())
        means = (fmean(objective.value(image[None]) for image in images) for images in (outputs, panned))
        activations = " and ".join(f"{mean:.1f}" for mean in means)
        figures = f"{last.mean():.4f} | {luma(last).std():.4f} | {color:.4f} | {activations}"
        print(f"| {coherence} | {change:.2f} | {fmean(errors):.5f} | {figures} |", flush=True)


PARTS = {
    "rate": show_rate,
    "still": show_still,
    "video": show_video,
    "feedback": show_feedback,
    "coherence": show_coherence,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args()
    keep_memory()
    for part in options.parts:
        PARTS[part](options)


if __name__ == "__main__":
    main()
