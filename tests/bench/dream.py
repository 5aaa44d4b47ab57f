"""How fast dreaming is, and what following the motion does for it.

python tests/bench/dream.py [--parts rate still film feedback coherence] [--frames 24]

rate       512x512 tile-gradients a second of lite0 at block 10, ours beside plain PyTorch: the same network in
           single precision as timm builds it, its norms not folded
still      seconds for 1280x720, 4 octaves of 10 steps
film       frames a second at 640x360, 2 octaves of 3 steps, followed
feedback   frames a second of a film out of one picture, 1280x720 with its settings by themselves, and with them the
           hours for 127,000 gradients of 512x512
coherence  a still shot with noise, and a photo panned, against each frame alone; light, contrast and colour of the
           last frame; the mean activation over both films (--frames 500 for a long film)
"""

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from statistics import fmean

import torch
from clips import load_photo, pan, still
from coherence import run

from streamfx.cli.memory import keep_memory
from streamfx.dream.feedback import Feedback
from streamfx.dream.schedule import Context
from streamfx.effects.dream import Dream
from streamfx.frame import Frame
from streamfx.measure import warp_error
from streamfx.nets.address import parse_objective
from streamfx.nets.ascent import Ascent, octave_sizes
from streamfx.nets.features import Features
from streamfx.nets.networks import build_layers
from streamfx.nets.objective import Objective
from streamfx.ops.color import luma
from streamfx.ops.warp import warp

CPU = torch.device("cpu")
LAYER = "block10"
TILE, HD, SMALL = (512, 512), (720, 1280), (360, 640)
COHERENT = 180, 320  # pixels
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


def show_feedback(asked: argparse.Namespace) -> None:
    count = min(asked.frames, 24)
    effect = Feedback(Context(count, 30.0), HD, model="lite0", step="0.014").settled()
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
    ours = objective_of(build_layers("lite0", [LAYER]).to(memory_format=torch.channels_last))
    picture = torch.rand(1, 3, *TILE)
    each = best(lambda: ours.gradient(picture), 5)
    print(f"127,000 gradients of {TILE[1]}x{TILE[0]}: {127_000 * each / 3600:.1f} hours at {1 / each:.1f} a second")


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
