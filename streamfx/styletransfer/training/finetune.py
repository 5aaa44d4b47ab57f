"""A style after one painting, fitted while its user waits, and kept for the next time."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from platformdirs import user_cache_dir

from streamfx.errors import StreamfxError
from streamfx.presets import Quality, StylePreset, TrainingSettings, load_preset
from streamfx.styletransfer.painter import load_painter, save_painter
from streamfx.styletransfer.painting_losses import save_targets
from streamfx.styletransfer.training.dataset import load_photos
from streamfx.styletransfer.training.images import load_painting
from streamfx.styletransfer.training.painter import Subject, Training, learn
from streamfx.styletransfer.training.preset_training import (
    build_style,
    make_folder,
    masters,
    save_preset,
    title_of,
    weights_file,
)

FIT_SECONDS = 150.0  # with what comes before and after, below three minutes on two cores
VERSION = 2  # of the trainer; to be raised whenever it fits otherwise, so that what is kept is fitted anew
SETTINGS = TrainingSettings(minutes=FIT_SECONDS / 60, batch=2)

_ALONE = 0.25  # share of the time in which the style's numbers learn alone
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
    """The preset file of a style after `painting`, fitted now if it is not kept in the user's cache.

    Learning starts from the shipped masters: at first only the numbers of the style, then all weights. `report` is
    called with the share that is done. Nothing is left where the fit is interrupted.
    """
    preset = kept_file(painting, quality, settings)
    if _is_whole(preset, quality):
        return preset
    style = build_style(title_of(painting), [painting], settings, quality, _NAME, None)
    canvas = load_painting(painting, style.painting[0])
    with _growing(preset.parent, lambda: _is_whole(preset, quality)) as growing:
        subjects = {_NAME: Subject([(canvas, 1.0)], settings)}
        training = Training(quality, subjects, settings, masters(quality), device)
        training.painter.requires_grad_(False)
        photos = load_photos(None, settings.crop)
        for _ in learn(training, photos):
            if training.done >= _ALONE:
                training.painter.requires_grad_(True)
            report(min(1.0, training.done))
        _save(growing / preset.name, style, quality, training)
    return preset


def kept_file(painting: Path, quality: Quality, settings: TrainingSettings = SETTINGS) -> Path:
    """Where in the cache the preset after this painting lies: elsewhere if anything differs that it depends on."""
    key = hashlib.sha256(f"{VERSION} {quality} {settings.model_dump_json()}".encode())
    for file in (painting, masters(quality)):
        try:
            key.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise StreamfxError(f"cannot read {file}: {error.strerror or error}") from error
    folder = Path(user_cache_dir("streamfx", appauthor=False)) / "styles" / key.hexdigest()[:32]
    return folder / f"{_NAME}.toml"


def _is_whole(preset: Path, quality: Quality) -> bool:
    if not preset.is_file():
        return False
    try:
        load_painter(load_preset(str(preset)).weights(quality))
    except StreamfxError:
        return False
    return True


@contextmanager
def _growing(folder: Path, is_there: Callable[[], bool]) -> Iterator[Path]:
    """A folder that becomes `folder` when the block ends well, and is removed when it does not."""
    make_folder(folder.parent)
    try:
        growing = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise StreamfxError(f"cannot write to the cache {folder.parent}: {error.strerror or error}") from error
    try:
        yield growing
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or just made by another process
        try:
            growing.rename(folder)
        except OSError as error:
            if not is_there():
                raise StreamfxError(f"cannot write to the cache {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def _save(preset: Path, style: StylePreset, quality: Quality, training: Training) -> None:
    save_painter(weights_file(preset, quality), training.painter, training.numbers())
    save_targets(preset.with_name(_TARGETS), training.targets())
    save_preset(preset, style.model_copy(update={"targets": _TARGETS}))
