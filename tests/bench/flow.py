"""Accuracy of optical flow and of its confidence, and its cost: python tests/bench/flow.py [--methods dis twin lk]

"twin" is the reference implementation in torch, on the CPU, of the kernels that compute "dis" on a GPU.

Scenes of 1280x720 with known motion (tests/motion/conftest.py), and two clips of tests/bench/clips.py. EPE (end-point
error) is the mean distance in pixels of the estimated flow from the true one, over pixels that were visible in the
previous frame. Detected is the share of occluded pixels with a confidence below 0.5, rejected the share of visible
ones. CPU time of one call, minimum of --runs.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "motion"))
from clips import Moment, crossing, load_photo, pan
from conftest import Pair, Scene

from streamfx.motion.flow import build_motion
from streamfx.motion.occlusion import Estimate

CHINA, COFFEE = "sklearn/datasets/images/china.jpg", "skimage/data/coffee.png"
ASTRONAUT, ROCKET = "skimage/data/astronaut.png", "skimage/data/rocket.jpg"
SCENES = {
    "shift": Scene(),
    "turn and zoom": Scene(shift=(0.3, 0.2), turn=0.4, zoom=1.006),
    "two textures": Scene(
        background=COFFEE, foreground=ASTRONAUT, shift=(-7.7, 3.1), foreground_shift=(9.2, 4.1), zoom=0.99
    ),
    "noise": Scene(background=ASTRONAUT, shift=(1.4, 0.6), turn=-0.6, foreground_shift=(-3.3, 0), noise=2.5),
    "fast": Scene(background=ROCKET, shift=(18.4, -6.3), foreground_shift=(-20, 5)),
    "still ground": Scene(shift=(0, 0), foreground_shift=(8, 0), noise=2.5),
    "still dark ground": Scene(background=ROCKET, shift=(0, 0), foreground_shift=(-4, 2), noise=2.5),
    "still shot": Scene(foreground=None, shift=(0, 0), noise=2.5),
    "slow pan": Scene(foreground=None, shift=(0.1, 0), noise=2.5),
}
SIZE, LARGER = (720, 1280), (900, 1600)


def pairs() -> Iterator[tuple[str, Pair]]:
    """The scenes, and the middle two frames of the clips."""
    for name, scene in SCENES.items():
        yield name, scene.pair()
    photo, object_photo = load_photo("chelsea.png", *LARGER), load_photo("coffee.png", 400, 600)
    clips = {"clip, pan": pan(photo, 10, SIZE), "clip, crossing": crossing(photo, object_photo, 10, SIZE)}
    for name, moments in clips.items():
        yield name, as_pair(*list(pairwise(moments))[-4])


def as_pair(previous: Moment, current: Moment) -> Pair:
    """Two frames of a clip."""
    images = [np.ascontiguousarray(moment.image.permute(1, 2, 0).numpy()) for moment in (previous, current)]
    visible = current.visible[0].numpy() > 0.5
    return Pair(*images, current.flow.numpy(), ~visible, np.zeros_like(visible))


def method(name: str) -> Estimate:
    """An estimator of motion on the CPU; for any other device, "dis" is computed in torch."""
    return build_motion("dis", torch.device("meta")) if name == "twin" else build_motion(name, torch.device("cpu"))


def percent(mask: np.ndarray) -> str:
    return f"{100 * mask.mean():.1f} %" if mask.size else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=("dis", "twin", "lk", "raft"), default=["dis", "twin"])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    estimates = {name: method(name) for name in options.methods}
    print("| scene | method | EPE | EPE where confident | median | detected | rejected | mean flow | ms |")
    print("|:--|:--|--:|--:|--:|--:|--:|--:|--:|")
    for name, pair in pairs():
        images = [torch.from_numpy(p.transpose(2, 0, 1).copy()) for p in (pair.previous, pair.current)]
        for kind, estimate in estimates.items():
            times = []
            for _ in range(options.runs):
                start = time.process_time()
                motion = estimate(*images)
                times.append(time.process_time() - start)
            error = np.hypot(*(motion.flow.numpy() - pair.flow))
            visible, rejected = ~pair.occluded, motion.confidence[0].numpy() < 0.5
            row = f"| {name} | {kind} | {error[visible].mean():.3f} | {error[visible & ~rejected].mean():.3f} | "
            row += f"{np.median(error[visible]):.3f} | {percent(rejected[pair.occluded])} | "
            row += f"{percent(rejected[visible])} | {motion.flow.norm(dim=0).mean():.3f} | {1000 * min(times):.1f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
