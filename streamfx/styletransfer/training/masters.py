"""Train the network of a shipped preset again, from what its TOML file says.

python -m streamfx.styletransfer.training.masters PRESET PAINTINGS PHOTOS WEIGHTS [--quality fine] [--base FILE]
    [--teacher FILE] [--steps N] [--resume] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.presets import load_preset
from streamfx.settings import QUALITIES
from streamfx.styletransfer.features import FeatureExtractor
from streamfx.styletransfer.losses import build_targets
from streamfx.styletransfer.network import SIZES, StyleNetwork, load_network
from streamfx.styletransfer.training.contact_sheets import stylize, write_grid
from streamfx.styletransfer.training.dataset import load_photos
from streamfx.styletransfer.training.images import load_image, load_painting
from streamfx.styletransfer.training.trainer import Progress, Trainer, train

HELD_OUT = (  # beginnings of the names of photos that no shipped network is trained on
    *("kodak_04", "kodak_08", "kodak_15", "kodak_19", "kodak_21", "kodak_23"),
    *("wall_Bridge", "wall_sunset", "mate_GreenMeadow"),
)
_REPORT_EVERY, _SHEET_EVERY = 25, 100  # steps
_SHEET_HEIGHT = 720  # pixels of the photos on the sheet, as frames are stylized


def train_preset_network(name: str, paintings: Path, photos: Path, weights: Path, options: argparse.Namespace) -> None:
    """Write the network of the preset `name` to `weights`, beside it a log, a checkpoint and contact sheets.

    Photos whose names begin with one of `HELD_OUT` are never trained on; the sheets show them. Losses and sheets are
    written to WEIGHTS.log (a JSON object a line) and WEIGHTS.STEP.jpg. `options` are those of the command line.
    """
    preset = load_preset(name).style
    _require_folders(paintings, photos, weights.parent)
    steps = {} if options.steps is None else {"steps": options.steps}
    settings = preset.training.model_copy(update=steps)
    extractors = [FeatureExtractor(settings, network, options.device) for network in settings.style_layers]
    images = [(load_painting(paintings / part.file, part).to(options.device), part.share) for part in preset.painting]
    network = StyleNetwork(SIZES[options.quality]) if options.base is None else load_network(options.base)
    teacher = None if options.teacher is None else load_network(options.teacher)
    targets = build_targets(images, settings, extractors)
    trainer = Trainer(network, targets, settings, options.device, teacher)
    report = _Report(weights, trainer, _held_out(photos))
    train(trainer, load_photos(photos, settings.crop, HELD_OUT), weights, resume=options.resume, report=report)


def _require_folders(*folders: Path) -> None:
    """Raise StreamfxError unless all of them exist, before hours of training."""
    for folder in folders:
        if not folder.is_dir():
            raise StreamfxError(f"{folder} is not a folder; create it, or give another one")


class _Report:
    """Log mean losses and write contact sheets of the held-out photos, if there are any."""

    def __init__(self, weights: Path, trainer: Trainer, photos: Sequence[Tensor]) -> None:
        self.weights, self.trainer, self.photos = weights, trainer, photos
        self.means: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        for name, loss in progress.losses.items():
            self.means[name] = 0.95 * self.means.get(name, loss) + 0.05 * loss
        if progress.step % _REPORT_EVERY == 0:
            row = {"step": progress.step, "minutes": round(progress.minutes, 2)}
            row |= {name: float(f"{mean:.4g}") for name, mean in self.means.items()}
            with self.weights.with_suffix(".log").open("a") as log:
                log.write(json.dumps(row) + "\n")
        if self.photos and (progress.step % _SHEET_EVERY == 0 or progress.done >= 1):
            self._write_sheet(self.weights.with_suffix(f".{progress.step:05d}.jpg"))

    def _write_sheet(self, file: Path) -> None:
        network = self.trainer.network
        write_grid(file, [[stylize(network, photo, detail) for photo in self.photos] for detail in (0.0, 1.0)])


def _held_out(folder: Path) -> list[Tensor]:
    """Up to three held-out photos [3, H, W] 0..1."""
    files = [f for f in sorted(folder.iterdir()) if f.name.startswith(("kodak_08", "kodak_19", "wall_Bridge"))]
    photos = []
    for file in files:
        image = load_image(file)[None].float() / 255
        size = (_SHEET_HEIGHT, round(image.shape[-1] * _SHEET_HEIGHT / image.shape[-2]))
        photos.append(F.interpolate(image, size, mode="bilinear", antialias=True)[0])
    return photos


def main() -> None:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m streamfx.styletransfer.training.masters", description=about)
    parser.add_argument("preset")
    parser.add_argument("paintings", type=Path, help="folder with the files that the preset names")
    parser.add_argument("photos", type=Path, help="folder of photos to train on")
    parser.add_argument("weights", type=Path, help="NAME.safetensors to write")
    parser.add_argument("--quality", choices=QUALITIES, default="fine")
    parser.add_argument("--base", type=Path, help="weights to start from")
    parser.add_argument("--teacher", type=Path, help="fine weights to distill")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args()
    train_preset_network(options.preset, options.paintings, options.photos, options.weights, options)


if __name__ == "__main__":
    try:
        main()
    except StreamfxError as error:
        sys.exit(str(error))
