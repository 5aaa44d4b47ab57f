"""Train a painter: paintings and photos -> weights that hold one style or many."""

from __future__ import annotations

import contextlib
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.nets.painter import SIZES, Painter, load_painter, save_painter
from streamfx.preset import Painting, Quality, TrainingSettings
from streamfx.train.content import build_batch, load_image
from streamfx.train.losses import Losses, PaintingLoss, border_loss

_SAVE_EVERY = 60.0  # seconds between checkpoints and preview sheets
_LONGEST_STEP = 20.0  # seconds; what is longer, the machine slept
_WARM_UP = 50  # steps in which the learning rate rises
_SHARED_RATE = 0.3  # of the learning rate, for weights that have learned to paint before
_PREVIEWS = 6


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands."""

    step: int
    minutes: float  # spent so far, with those of a resumed training
    losses: dict[str, float]  # unweighted, of the last batch
    style: str  # the style that batch was for
    preview: Path | None  # the sheet just written, if one was


@dataclass(frozen=True, slots=True)
class Subject:
    """A style to learn: its paintings [3, H, W] 0..1 with their shares in it, and the weights of its losses."""

    paintings: Sequence[tuple[Tensor, float]]
    settings: TrainingSettings


def load_painting(file: Path, painting: Painting) -> Tensor:
    """The picture in `file` [3, H, W] 0..1 at the height and without the margin that `painting` says."""
    image = load_image(file, painting.height).float() / 255
    top, left = (int(side * painting.margin) for side in image.shape[-2:])
    return image[:, top : image.shape[-2] - top, left : image.shape[-1] - left]


class Training:
    """What a checkpoint holds: a painter, its styles and the optimizer; and one step of learning.

    Steps go round the styles; each is for one alone. With a `base` its weights are where learning starts, and a new
    style starts in the middle of those that the base knows.
    """

    def __init__(
        self, quality: Quality, subjects: Mapping[str, Subject], settings: TrainingSettings, base: Path | None = None
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        known: dict[str, Tensor] = {}
        if base is None:
            self.painter = Painter(**SIZES[quality])
        else:
            self.painter, known = load_painter(base)
            self.painter.requires_grad_(True).train()
        self.painter.to(memory_format=torch.channels_last)
        middle = torch.stack(list(known.values())).mean(0) if known else torch.zeros(self.painter.numbers)
        self.styles = nn.ParameterDict({name: known.get(name, middle).clone() for name in subjects})
        shared = settings.learning_rate * (1.0 if base is None else _SHARED_RATE)
        self._rates = [settings.learning_rate, shared]
        groups = [{"params": list(self.styles.values())}, {"params": list(self.painter.parameters())}]
        self.optimizer = torch.optim.Adam(groups, lr=settings.learning_rate, betas=(0.9, 0.99))
        self.losses = {name: PaintingLoss(subject.paintings, subject.settings) for name, subject in subjects.items()}
        self.paint: Callable[[Tensor, Tensor], Tensor] = self.painter
        self.steps = 0
        self.minutes = 0.0

    def compile(self) -> None:
        """Spend some minutes on making steps quicker; for trainings of an hour."""
        self.paint = torch.compile(self.painter, dynamic=False)
        for loss in self.losses.values():
            loss.features.compile(dynamic=False)

    def step(self, photos: list[Tensor]) -> tuple[str, dict[str, float]]:
        """Learn from one batch, chosen by seed and step alone: a resumed training sees what it would have seen."""
        settings = self.settings
        name = list(self.styles)[self.steps % len(self.styles)]
        chance = random.Random(f"{settings.seed} {self.steps}")
        torch.manual_seed(chance.getrandbits(32))
        given, wanted = build_batch(photos, settings.crop, settings.batch, chance)
        for group, rate in zip(self.optimizer.param_groups, self._rates):
            group["lr"] = rate * self._share_of_rate()
        losses = self._paint(name, given.contiguous(memory_format=torch.channels_last), wanted)
        self.optimizer.zero_grad()
        self.losses[name].total(losses).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_((*self.painter.parameters(), *self.styles.values()), 5.0)
        self.optimizer.step()
        self.steps += 1
        return name, {loss: value.item() for loss, value in losses.items()}

    def _paint(self, name: str, given: Tensor, wanted: Tensor) -> Losses:
        style = self.styles[name].unsqueeze(0)
        with torch.autocast("cpu", torch.bfloat16):
            painted = self.paint(given, style).float()  # without borders, as training mode is
            self.painter.eval()
            bordered = self.painter(given[:1], style).float()
            self.painter.train()
        losses = self.losses[name](painted, wanted)
        losses["border"] = border_loss(bordered, painted[:1].detach())
        return losses

    @property
    def done(self) -> float:
        """Share of the training that is behind us; 1 and more when it is over."""
        if self.settings.steps is not None:
            return self.steps / self.settings.steps
        return self.minutes / self.settings.minutes

    def _share_of_rate(self) -> float:
        """Share of the learning rate now: a short rise, then half a cosine down to the end."""
        fall = (1 + math.cos(math.pi * min(1.0, self.done))) / 2
        return min(1.0, (self.steps + 1) / _WARM_UP) * (0.01 + 0.99 * fall)

    def save(self, file: Path) -> None:
        beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        modules = {"painter": self.painter, "styles": self.styles, "optimizer": self.optimizer}
        state = {name: module.state_dict() for name, module in modules.items()}
        about = {"steps": self.steps, "minutes": self.minutes}
        torch.save(state | about, beside)
        beside.replace(file)

    def load(self, file: Path) -> None:
        """Go on from `file`; its network must have the sizes and the styles asked for now."""
        if not file.is_file():
            raise StreamfxError(f"nothing to resume: {file} does not exist")
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            self.painter.load_state_dict(state["painter"])
            self.styles.load_state_dict(state["styles"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.steps, self.minutes = int(state["steps"]), float(state["minutes"])
        except Exception as error:  # torch names no errors of its own for files that are not what they should be
            raise StreamfxError(f"{file} does not fit this training; start anew without resuming") from error


def train(
    training: Training,
    photos: list[Tensor],
    weights: Path,
    *,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Train for settings.minutes, or settings.steps where given, and write `weights` (NAME.safetensors).

    They are written at the end, also when KeyboardInterrupt brings it early. Every minute a checkpoint
    (NAME.checkpoint, which resumes) and a sheet of photos with their paintings (NAME.preview.png) are written beside
    them. `report` is called after every step.
    """
    checkpoint = weights.with_suffix(".checkpoint")
    if resume:
        training.load(checkpoint)
    with contextlib.suppress(KeyboardInterrupt):  # what is learned so far is kept, and can be resumed
        _run(training, photos, weights, report)
    training.save(checkpoint)
    save_painter(weights, training.painter, dict(training.styles))


def _run(training: Training, photos: list[Tensor], weights: Path, report: Callable[[Progress], None]) -> None:
    shown = [F.interpolate(p[None] / 255, scale_factor=320 / p.shape[-2], mode="area") for p in photos[:_PREVIEWS]]
    preview = weights.with_suffix(".preview.png")
    before = saved = time.monotonic()
    while training.done < 1:
        name, losses = training.step(photos)
        if not all(map(math.isfinite, losses.values())):
            raise StreamfxError(f"the training broke down at step {training.steps}; lower the learning rate")
        now = time.monotonic()
        training.minutes += min(now - before, _LONGEST_STEP) / 60
        before = now
        due = now - saved >= _SAVE_EVERY or training.done >= 1
        if due:
            saved = now
            training.save(weights.with_suffix(".checkpoint"))
            write_sheet(preview, training.painter, training.styles, shown)
        report(Progress(training.steps, training.minutes, losses, name, preview if due else None))


def write_sheet(file: Path, painter: Painter, styles: Mapping[str, Tensor], photos: list[Tensor]) -> None:
    """Photos [1, 3, H, W] above their paintings in each style, cut to one width."""
    painter.eval()
    with torch.no_grad():
        pairs = [torch.cat([p, *(painter(p, style[None]) for style in styles.values())], dim=-2) for p in photos]
    painter.train()
    sheet = torch.cat([F.pad(pair[..., :480], (0, max(0, 480 - pair.shape[-1]))) for pair in pairs], dim=-1)
    pixels = (sheet[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file)
