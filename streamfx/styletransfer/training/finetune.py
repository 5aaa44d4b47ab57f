"""Fit a style to one painting while the user waits (--style-image), and keep it in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch

from streamfx.errors import StreamfxError
from streamfx.presets import TrainingSettings, load_preset
from streamfx.resources import cache_folder
from streamfx.settings import Quality
from streamfx.styletransfer.network import load_network, save_network
from streamfx.styletransfer.preset_files import save_preset, temporary_folder
from streamfx.styletransfer.targets import save_targets
from streamfx.styletransfer.training.dataset import load_photos
from streamfx.styletransfer.training.images import load_painting
from streamfx.styletransfer.training.preset_training import (
    base_weights,
    build_style,
    build_trainer,
    title_of,
    weights_file,
)
from streamfx.styletransfer.training.trainer import run_steps

FIT_SECONDS = 150.0  # with loading and saving, below three minutes on two cores
VERSION = 3  # of the trainer; increase it when the same settings would give a different result
SETTINGS = TrainingSettings(minutes=FIT_SECONDS / 60, crop=320, flicker_weight=50.0)

_NAME = "style"
_TARGETS = "targets.safetensors"


def fit_style(
    painting: Path,
    quality: Quality,
    *,
    settings: TrainingSettings = SETTINGS,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda done: None,
) -> Path:
    """The preset file of a style after `painting`: from the user's cache, or fitted now.

    Training starts from a shipped network. `report` is called with the completed share, 0..1. An interrupted fit leaves
    no files.
    """
    preset = cached_preset(painting, quality, settings)
    if _is_complete(preset, quality):
        return preset
    style = build_style(title_of(painting), [painting], settings, quality, _NAME, None)
    image = load_painting(painting, style.painting[0])
    with temporary_folder(preset.parent, lambda: _is_complete(preset, quality)) as folder:
        trainer = build_trainer([(image, 1.0)], settings, quality, device)
        for progress in run_steps(trainer, load_photos(None, settings.crop)):
            report(progress.done)
        save_network(weights_file(folder / preset.name, quality), trainer.network)
        save_targets(folder / _TARGETS, {_NAME: trainer.loss.targets})
        save_preset(folder / preset.name, style.model_copy(update={"targets": _TARGETS}))
    return preset


def cached_preset(painting: Path, quality: Quality, settings: TrainingSettings = SETTINGS) -> Path:
    """The cached preset file for this painting; the name of its folder hashes everything that the fit depends on."""
    key = hashlib.sha256(f"{VERSION} {quality} {settings.model_dump_json()}".encode())
    for file in (painting, base_weights(quality)):
        try:
            key.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise StreamfxError(f"cannot read {file}: {error.strerror or error}") from error
    folder = cache_folder() / "styles" / key.hexdigest()[:32]
    return folder / f"{_NAME}.toml"


def _is_complete(preset: Path, quality: Quality) -> bool:
    if not preset.is_file():
        return False
    try:
        load_network(load_preset(str(preset)).weights(quality))
    except StreamfxError:
        return False
    return True
