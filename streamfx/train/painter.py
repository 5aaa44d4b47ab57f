"""Train a painter: one painting and some photos -> weights and a preset."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.nets.painter import Painter, save_painter
from streamfx.preset import StylePreset, TrainingSettings, load_preset
from streamfx.train.content import build_batch, load_image, load_photos
from streamfx.train.losses import PaintingLoss, border_loss

_SAVE_EVERY = 60.0  # seconds between checkpoints and preview sheets
_LONGEST_STEP = 20.0  # seconds; what is longer, the machine slept
_WARM_UP = 50  # steps in which the learning rate rises
_PREVIEWS = 6


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands."""

    step: int
    minutes: float  # spent so far, with those of a resumed training
    losses: dict[str, float]  # unweighted, of the last batch
    preview: Path | None  # the sheet just written, if one was


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one training, all in one folder."""

    preset: Path

    @property
    def weights(self) -> Path:
        return self.preset.with_suffix(".safetensors")

    @property
    def checkpoint(self) -> Path:
        return self.preset.with_suffix(".checkpoint")

    @property
    def preview(self) -> Path:
        return self.preset.with_suffix(".preview.png")


class _Training:
    """The state that a checkpoint holds, and one step of it."""

    def __init__(self, settings: TrainingSettings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        painter = Painter(settings.channels, settings.wide, settings.blocks, settings.fine)
        self.painter = painter.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.painter.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
        self.steps = 0
        self.minutes = 0.0

    def step(self, loss: PaintingLoss, photos: list[Tensor]) -> dict[str, float]:
        """Learn from one batch, chosen by seed and step alone: a resumed training sees what it would have seen."""
        settings = self.settings
        chance = random.Random(f"{settings.seed} {self.steps}")
        torch.manual_seed(chance.getrandbits(32))
        given, wanted = build_batch(photos, settings.crop, settings.batch, chance)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._rate()
        given = given.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            painted = self.painter(given).float()  # without borders, as training mode is
            self.painter.eval()
            bordered = self.painter(given).float()
            self.painter.train()
        losses = loss(painted, wanted)
        losses["border"] = border_loss(bordered, painted.detach())
        self.optimizer.zero_grad()
        loss.total(losses).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.painter.parameters(), 5.0)
        self.optimizer.step()
        self.steps += 1
        return {name: value.item() for name, value in losses.items()}

    @property
    def done(self) -> float:
        """Share of the training that is behind us; 1 and more when it is over."""
        if self.settings.steps is not None:
            return self.steps / self.settings.steps
        return self.minutes / self.settings.minutes

    def _rate(self) -> float:
        """Share of the learning rate now: a short rise, then half a cosine down to the end."""
        fall = (1 + math.cos(math.pi * min(1.0, self.done))) / 2
        return min(1.0, (self.steps + 1) / _WARM_UP) * (0.01 + 0.99 * fall)

    def save(self, file: Path) -> None:
        beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        state = {"painter": self.painter.state_dict(), "optimizer": self.optimizer.state_dict()}
        about = {"steps": self.steps, "minutes": self.minutes, "settings": self.settings.model_dump_json()}
        torch.save(state | about, beside)
        beside.replace(file)

    def load(self, file: Path) -> None:
        """Go on from `file`; its network must have the sizes asked for now."""
        if not file.is_file():
            raise StreamfxError(f"nothing to resume: {file} does not exist")
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            self.painter.load_state_dict(state["painter"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.steps, self.minutes = int(state["steps"]), float(state["minutes"])
        except Exception as error:  # torch names no errors of its own for files that are not what they should be
            raise StreamfxError(f"{file} does not fit this training; start anew without resuming") from error


def train_painter(
    painting: Path,
    photos: Path | None,
    preset: Path,
    settings: TrainingSettings,
    *,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Train for settings.minutes, or settings.steps where given, and write `preset` (NAME.toml); returns it.

    NAME.safetensors is written beside it at the end, also when KeyboardInterrupt brings the end early. Every minute a
    checkpoint (NAME.checkpoint, which resumes) and a sheet of photos with their paintings (NAME.preview.png) are
    written there. Without `photos` those that come with scikit-image serve. `report` is called after every step.
    """
    files = _Files(preset)
    if not preset.parent.is_dir():
        _make_folder(preset.parent)
    canvas = _load_painting(painting, settings)
    pictures = load_photos(photos, settings.crop)
    training = _Training(settings)
    if resume:
        training.load(files.checkpoint)
    with contextlib.suppress(KeyboardInterrupt):  # what is learned so far is kept, and can be resumed
        _run(training, PaintingLoss(canvas, settings), pictures, files, report)
    training.save(files.checkpoint)
    save_painter(files.weights, training.painter)
    _write_preset(files, painting, settings, resume)
    return preset


def _load_painting(file: Path, settings: TrainingSettings) -> Tensor:
    image = load_image(file, settings.painting_height).float() / 255
    top, left = (int(side * settings.painting_margin) for side in image.shape[-2:])
    return image[:, top : image.shape[-2] - top, left : image.shape[-1] - left]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamfxError(f"cannot make the folder {folder}: {error.strerror or error}") from error


def _run(
    training: _Training,
    loss: PaintingLoss,
    photos: list[Tensor],
    files: _Files,
    report: Callable[[Progress], None],
) -> None:
    shown = [F.interpolate(p[None] / 255, scale_factor=320 / p.shape[-2], mode="area") for p in photos[:_PREVIEWS]]
    before = saved = time.monotonic()
    while training.done < 1:
        losses = training.step(loss, photos)
        if not all(map(math.isfinite, losses.values())):
            raise StreamfxError(f"the training broke down at step {training.steps}; lower the learning rate")
        now = time.monotonic()
        training.minutes += min(now - before, _LONGEST_STEP) / 60
        before = now
        due = now - saved >= _SAVE_EVERY or training.done >= 1
        if due:
            saved = now
            training.save(files.checkpoint)
            _write_preview(files.preview, training.painter, shown)
        report(Progress(training.steps, training.minutes, losses, files.preview if due else None))


def _write_preview(file: Path, painter: Painter, photos: list[Tensor]) -> None:
    """Photos above their paintings, cut to one width."""
    painter.eval()
    with torch.no_grad():
        pairs = [torch.cat([photo, painter(photo)], dim=-2) for photo in photos]
    painter.train()
    sheet = torch.cat([F.pad(pair[..., :480], (0, max(0, 480 - pair.shape[-1]))) for pair in pairs], dim=-1)
    pixels = (sheet[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file)


def _write_preset(files: _Files, painting: Path, settings: TrainingSettings, resume: bool) -> None:
    """A preset that says all that the trainer knows; a resumed one keeps the words it has."""
    title = painting.stem.replace("_", " ").strip().title() or painting.name
    about = {"kind": "style", "title": title, "painting": painting.name, "licence": "yours, as far as the painting is"}
    if resume and files.preset.is_file():
        about = load_preset(str(files.preset)).style.model_dump(exclude={"weights", "training"})
    values = {**about, "weights": files.weights.name, "training": settings.model_dump(exclude_none=True)}
    StylePreset.model_validate(values)
    files.preset.write_text(_toml(values), encoding="utf-8")


def _toml(values: dict[str, Any]) -> str:
    """Strings, numbers, lists and one level of tables as TOML, whose notation of them is JSON's."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", _toml(value).rstrip()]
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"
