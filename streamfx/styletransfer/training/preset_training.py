"""Train user presets: their settings, the training run and its output files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.presets import Painting, StylePreset, TrainingSettings, load_preset
from streamfx.resources import resource
from streamfx.settings import Quality
from streamfx.styletransfer.features import FeatureExtractor
from streamfx.styletransfer.losses import build_targets
from streamfx.styletransfer.network import load_network
from streamfx.styletransfer.preset_files import make_folder, save_preset
from streamfx.styletransfer.targets import save_targets
from streamfx.styletransfer.training.contact_sheets import write_sheet, write_thumbnail
from streamfx.styletransfer.training.dataset import load_photos
from streamfx.styletransfer.training.images import load_painting, painting_height
from streamfx.styletransfer.training.trainer import Progress, Trainer, train

SUFFIXES: dict[Quality, str] = {"fine": ".safetensors", "fast": "-fast.safetensors"}  # after a preset's name
LICENSE = "yours, subject to the rights in the paintings"
_BASE = "vangogh"  # the shipped style that training starts from: its strokes are bold


def base_weights(quality: Quality) -> Path:
    """The shipped weights that training starts from."""
    return resource("presets") / f"{_BASE}{SUFFIXES[quality]}"


def build_trainer(
    paintings: Sequence[tuple[Tensor, float]],
    settings: TrainingSettings,
    quality: Quality,
    device: torch.device | None = None,
    teacher: Path | None = None,
) -> Trainer:
    """A trainer of a network of this quality for `paintings`: images [3, H, W] 0..1 and their shares in the style."""
    device = device or torch.device("cpu")
    extractors = [FeatureExtractor(settings, network, device) for network in settings.style_layers]
    targets = build_targets([(image.to(device), share) for image, share in paintings], settings, extractors)
    known = None if teacher is None else load_network(teacher)
    return Trainer(load_network(base_weights(quality)), targets, settings, device, known)


def weights_file(preset: Path, quality: Quality) -> Path:
    """The weight file of this quality next to the preset file NAME.toml."""
    return preset.with_name(preset.stem + SUFFIXES[quality])


def build_style(
    title: str, paintings: Sequence[Path], settings: TrainingSettings, quality: Quality, name: str, height: int | None
) -> StylePreset:
    """The settings of a new preset `name`, trained on these paintings in equal shares.

    `height` in pixels is the training height of all; by default each painting's own, within bounds.
    """
    return StylePreset(
        kind="style",
        title=title,
        license=LICENSE,
        weights={quality: name + SUFFIXES[quality]},
        painting=tuple(
            Painting(file=_text(file.name), title=title_of(file), height=height or painting_height(file))
            for file in paintings
        ),
        training=settings,
    )


def title_of(painting: Path) -> str:
    """A title derived from the file name."""
    return _text(painting.stem).replace("_", " ").strip().title() or _text(painting.name)


def prepare_style(
    preset: Path,
    paintings: Sequence[Path],
    settings: TrainingSettings,
    quality: Quality,
    height: int | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> StylePreset:
    """The settings that a training run will write to `preset`. Raises StreamfxError if it would overwrite files.

    An existing preset of the same paintings without this quality keeps its settings and gains the quality.
    """
    weights = weights_file(preset, quality)
    kept = load_preset(str(preset)).style if preset.exists() and not overwrite else None
    if not (overwrite or resume):
        existing = preset if kept is not None and quality in kept.weights else weights
        if existing.exists():
            raise StreamfxError(f"{existing} exists; overwrite it with -y, or resume its training with --resume")
        unfinished = weights.with_suffix(".checkpoint")
        if unfinished.exists():
            raise StreamfxError(
                f"{unfinished} belongs to an unfinished training run; resume it with --resume, or start over with -y"
            )
    if kept is None:
        return build_style(title_of(preset), paintings, settings, quality, preset.stem, height)
    files = [painting.file for painting in kept.painting]
    if files != [_text(file.name) for file in paintings]:
        raise StreamfxError(f"the preset {preset} was trained on {', '.join(files)}; give that, another --name, or -y")
    changed: dict[str, Any] = {"weights": {**kept.weights, quality: weights.name}}
    if height is not None:
        changed["painting"] = tuple(entry.model_copy(update={"height": height}) for entry in kept.painting)
    budget = settings.model_dump(include={"minutes", "steps", "seed"})
    return kept.model_copy(update={**changed, "training": kept.training.model_copy(update=budget)})


def train_preset(
    preset: Path,
    style: StylePreset,
    quality: Quality,
    paintings: Sequence[Path],
    photos: Path | None = None,
    *,
    resume: bool = False,
    device: torch.device | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Train `style` on the files `paintings`, which it names, and write it as `preset` (NAME.toml).

    Also writes the weights, the log and checkpoint of `train`, a sheet of photos and their stylized frames
    (NAME.sheet.png), and a thumbnail (NAME.jpg). Training starts from a shipped network. `photos` defaults to those of
    installed packages.
    """
    name, settings = preset.stem, style.training
    images = [(load_painting(file, entry), entry.share) for file, entry in zip(paintings, style.painting, strict=True)]
    content = load_photos(photos, settings.crop)
    teacher = weights_file(preset, "fine") if quality == "fast" and "fine" in style.weights else None
    trainer = build_trainer(images, settings, quality, device, teacher)
    weights = weights_file(preset, quality)
    if resume:
        trainer.load(weights.with_suffix(".checkpoint"))
    make_folder(preset.parent)
    train(trainer, content, weights, report=report)
    save_targets(targets := weights.with_name(f"{name}-targets.safetensors"), {name: trainer.loss.targets})
    save_preset(preset, style.model_copy(update={"targets": targets.name}))
    write_thumbnail(preset.with_suffix(".jpg"), paintings[0])
    write_sheet(weights.with_suffix(".sheet.png"), trainer.network, content)


def _text(name: str) -> str:
    """A file name as text that UTF-8 can encode."""
    return name.encode("utf-8", "replace").decode("utf-8")
