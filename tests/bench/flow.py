"""Accuracy of "dis" optical flow, of its confidence, and its cost: python tests/bench/flow.py

Scenes of 1280x720 with known motion (tests/motion/conftest.py). EPE (end-point error) is the mean distance in pixels of
the estimated flow from the true one, over pixels that were visible in the previous frame. Detected is the share of
occluded pixels with a confidence below 0.5, rejected the share of visible ones. CPU time of one call, minimum of five.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "motion"))
from conftest import Scene

from streamfx.motion.flow import build_motion

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


def percent(mask: np.ndarray) -> str:
    return f"{100 * mask.mean():.1f} %" if mask.size else ""


def main() -> None:
    estimate = build_motion("dis", torch.device("cpu"))
    print("| scene | EPE | EPE where confident | median | detected | rejected | mean flow | ms |")
    print("|:--|--:|--:|--:|--:|--:|--:|--:|")
    for name, scene in SCENES.items():
        pair = scene.pair()
        images = [torch.from_numpy(p.transpose(2, 0, 1).copy()) for p in (pair.previous, pair.current)]
        times = []
        for _ in range(5):
            start = time.process_time()
            motion = estimate(*images)
            times.append(time.process_time() - start)
        error = np.hypot(*(motion.flow.numpy() - pair.flow))
        visible, rejected = ~pair.occluded, motion.confidence[0].numpy() < 0.5
        row = f"| {name} | {error[visible].mean():.3f} | {error[visible & ~rejected].mean():.3f} | "
        row += f"{np.median(error[visible]):.3f} | {percent(rejected[pair.occluded])} | {percent(rejected[visible])} | "
        print(row + f"{motion.flow.norm(dim=0).mean():.3f} | {1000 * min(times):.1f} |", flush=True)


if __name__ == "__main__":
    main()
