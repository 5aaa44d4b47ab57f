"""How exact "dis" motion is, what its trust catches, and what it costs: python tests/bench/flow.py

Scenes of 1280x720 with known motion (tests/nets/conftest.py). EPE is the mean distance in pixels of the found flow from
the true one, over pixels that were visible before; caught is the share of hidden ones, distrusted the share of visible
ones, with a trust below 0.5. The time is the CPU's, of one call, the least of five.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "nets"))
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
    print("| scene | EPE | EPE where trusted | median | caught | distrusted | mean flow | ms |")
    print("|:--|--:|--:|--:|--:|--:|--:|--:|")
    for name, scene in SCENES.items():
        pair = scene.pair()
        images = [torch.from_numpy(p.transpose(2, 0, 1).copy()) for p in (pair.previous, pair.current)]
        times = []
        for _ in range(5):
            began = time.process_time()
            motion = estimate(*images)
            times.append(time.process_time() - began)
        error = np.hypot(*(motion.flow.numpy() - pair.flow))
        seen, distrusted = ~pair.occluded, motion.confidence[0].numpy() < 0.5
        row = f"| {name} | {error[seen].mean():.3f} | {error[seen & ~distrusted].mean():.3f} | "
        row += f"{np.median(error[seen]):.3f} | {percent(distrusted[pair.occluded])} | {percent(distrusted[seen])} | "
        print(row + f"{motion.flow.norm(dim=0).mean():.3f} | {1000 * min(times):.1f} |", flush=True)


if __name__ == "__main__":
    main()
