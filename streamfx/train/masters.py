"""Train the painter of the shipped masters again, from what their presets say.

python -m streamfx.train.masters PAINTINGS WEIGHTS [--quality fine] [--photos FOLDER] [--minutes 60] [--resume]
    [--device cuda]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from streamfx.errors import StreamfxError
from streamfx.painting.losses import save_targets
from streamfx.preset import QUALITIES, Quality, StylePreset, TrainingSettings, load_preset, preset_files
from streamfx.shipped import shipped
from streamfx.train.content import load_photos
from streamfx.train.painter import Progress, Subject, Training, train
from streamfx.train.pictures import load_painting
from streamfx.train.recipe import masters

_BATCH, _CROP = 8, 192
_COMPILED = 30.0  # minutes of training, from where on some spent on compiling come back
_TOLD_EVERY = 40  # steps


def train_masters(
    presets: Mapping[str, StylePreset],
    paintings: Path,
    weights: Path,
    quality: Quality,
    photos: Path | None,
    settings: TrainingSettings,
    *,
    base: Path | None = None,
    resume: bool = False,
    device: torch.device | None = None,
) -> None:
    """Learn all `presets` in one painter, written to `weights`; their paintings lie in the folder `paintings`.

    The losses are those of each preset, the rest of the `settings` is shared. Learning starts from the weights `base`,
    or from nothing. The fast painter follows the shipped fine one.
    """
    subjects = {
        name: Subject(
            [(load_painting(paintings / words.file, words), words.share) for words in style.painting],
            style.training.model_copy(update={"crop": settings.crop, "batch": settings.batch}),
        )
        for name, style in presets.items()
    }
    training = Training(quality, subjects, settings, base, device)
    if quality == "fast":
        training.follow(masters("fine"))
    if settings.minutes >= _COMPILED:
        training.compile()
    means: dict[str, float] = {}

    def report(progress: Progress) -> None:
        for name, loss in progress.losses.items():
            means[name] = 0.95 * means.get(name, loss) + 0.05 * loss
        if progress.step % _TOLD_EVERY == 0:
            told = ", ".join(f"{name} {loss:.4g}" for name, loss in means.items())
            print(f"step {progress.step}, {progress.minutes:.2f} minutes: {told}", flush=True)

    save_targets(weights.with_name("targets.safetensors"), training.targets())
    train(training, load_photos(photos, settings.crop), weights, resume=resume, report=report)


def main() -> None:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m streamfx.train.masters", description=about)
    parser.add_argument("paintings", type=Path, help="folder with the files that the presets name")
    parser.add_argument("weights", type=Path, help="NAME.safetensors to write")
    parser.add_argument("--quality", choices=QUALITIES, default="fine")
    parser.add_argument("--photos", type=Path, help="folder to practise on; else the photographs that are installed")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--base", type=Path, help="weights to start from")
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint beside WEIGHTS")
    parser.add_argument("--presets", nargs="+", metavar="NAME", help="some of those shipped, rather than all")
    asked = parser.parse_args()
    names = asked.presets or [name for name, file in preset_files().items() if file.parent == shipped("presets")]
    settings = TrainingSettings(minutes=asked.minutes, batch=_BATCH, crop=_CROP)
    styles = {name: load_preset(name).style for name in names}
    train_masters(
        styles, asked.paintings, asked.weights, asked.quality, asked.photos, settings, base=asked.base,
        resume=asked.resume, device=asked.device,
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except StreamfxError as error:
        sys.exit(str(error))
