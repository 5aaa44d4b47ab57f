"""Train a painter: paintings and photos -> weights that hold one style or many."""

from __future__ import annotations

import contextlib
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamfx.errors import StreamfxError, unknown
from streamfx.nets.painter import SIZES, Painter, load_painter, save_painter
from streamfx.preset import Quality, TrainingSettings
from streamfx.train.content import build_batch
from streamfx.train.losses import Eye, PaintingLoss, border_loss
from streamfx.train.sheets import write_preview

_SAVE_EVERY = 60.0  # seconds between checkpoints and preview sheets
_LONGEST_STEP = 20.0  # seconds; what is longer, the machine slept
_WARM_UP = 50  # steps in which the learning rate rises
_TOGETHER = 4  # styles in one batch, at most
_STYLE_RATE = 6.0  # of the learning rate, for a style's numbers, which have each to go a longer way
_SHARED_RATE = 0.3  # of the learning rate, for weights that have learned to paint before


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands."""

    step: int
    minutes: float  # spent so far, with those of a resumed training
    losses: dict[str, float]  # unweighted, of the last batch
    preview: Path | None  # the sheet just written, if one was


@dataclass(frozen=True, slots=True)
class Subject:
    """A style to learn: its paintings [3, H, W] 0..1 with their shares in it, and the weights of its losses."""

    paintings: Sequence[tuple[Tensor, float]]
    settings: TrainingSettings


class Training:
    """What a checkpoint holds: a painter, its styles and the optimizer; and one step of learning.

    Each step is for some of the styles, in turn. With a `base` its weights are where learning starts, and a new
    style starts in the middle of those that the base knows. Photos and paintings may lie on the CPU whatever the
    `device`, on which all else lies.
    """

    def __init__(
        self,
        quality: Quality,
        subjects: Mapping[str, Subject],
        settings: TrainingSettings,
        base: Path | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        torch.manual_seed(settings.seed)
        self.settings = settings
        known: dict[str, Tensor] = {}
        if base is None:
            self.painter = Painter(**SIZES[quality])
        else:
            self.painter, known = load_painter(base)
            self.painter.requires_grad_(True).train()
        self.painter.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        middle = torch.stack(list(known.values())).mean(0) if known else torch.zeros(self.painter.numbers)
        spread = 0.0 if known else 0.2  # styles that begin alike would take long to part
        numbers = {name: known.get(name, middle + spread * torch.randn_like(middle)) for name in subjects}
        self.styles = {name: nn.Parameter(own.clone().to(self.device)) for name, own in numbers.items()}
        shared = settings.learning_rate * (1.0 if base is None else _SHARED_RATE)
        self._rates = [settings.learning_rate * _STYLE_RATE, shared]
        groups = [{"params": list(self.styles.values())}, {"params": list(self.painter.parameters())}]
        self.optimizer = torch.optim.Adam(groups, lr=settings.learning_rate, betas=(0.9, 0.99))
        self.eye = Eye(settings, self.device)
        self.losses = {name: self._loss(subject) for name, subject in subjects.items()}
        self.paint: Callable[[Tensor, Tensor], Tensor] = self.painter
        self.teacher: tuple[Painter, dict[str, Tensor]] | None = None
        self.steps = 0
        self.minutes = 0.0

    def _loss(self, subject: Subject) -> PaintingLoss:
        paintings = [(image.to(self.device), share) for image, share in subject.paintings]
        return PaintingLoss(paintings, subject.settings, self.eye)

    def follow(self, weights: Path) -> None:
        """Paint what the painter in `weights` paints of a photo, in the paintings' style, rather than the photo."""
        teacher, styles = load_painter(weights)
        missing = self.styles.keys() - styles.keys()
        if missing:
            raise unknown(f"style in {weights}", min(missing), styles)
        teacher.train()  # paints without borders, as its pupil does
        self.teacher = teacher.to(self.device), {name: style.to(self.device) for name, style in styles.items()}

    def compile(self) -> None:
        """Spend some minutes on making steps quicker; for trainings of an hour."""
        self.paint = torch.compile(self.painter, dynamic=False)
        self.eye.features.compile(dynamic=False)

    def step(self, photos: list[Tensor]) -> dict[str, float]:
        """Learn from one batch, chosen by seed and step alone: a resumed training sees what it would have seen."""
        settings = self.settings
        chance = random.Random(f"{settings.seed} {self.steps}")
        torch.manual_seed(chance.getrandbits(32))
        given, wanted = build_batch(photos, settings.crop, settings.batch, chance)
        for group, rate in zip(self.optimizer.param_groups, self._rates):
            group["lr"] = rate * self._share_of_rate()
        given = given.to(self.device, memory_format=torch.channels_last)
        losses, total = self._look(given, wanted.to(self.device))
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_((*self.painter.parameters(), *self.styles.values()), 5.0)
        self.optimizer.step()
        self.steps += 1
        return losses

    def _turns(self) -> list[str]:
        """The styles that this step's batch is for, a like number of its pictures each."""
        names, batch = list(self.styles), self.settings.batch
        most = min(_TOGETHER, len(names))
        many = max(count for count in range(1, most + 1) if batch % count == 0)
        return [names[(self.steps * many + at) % len(names)] for at in range(many)]

    def _look(self, given: Tensor, wanted: Tensor) -> tuple[dict[str, float], Tensor]:
        """The losses, in the mean over the styles, and their weighted sum."""
        turns = self._turns()
        each = len(given) // len(turns)
        styles = torch.cat([self.styles[name].expand(each, -1) for name in turns])
        if self.teacher is not None:
            wanted = self._taught(given, turns, each)
        with torch.autocast(self.device.type, torch.bfloat16):
            painted = self.paint(given, styles).float()  # without borders, as training mode is
            self.painter.eval()
            bordered = self.painter(given[:1], styles[:1]).float()
            self.painter.train()
        seen = self.eye.compare(painted, wanted)
        border = border_loss(bordered, painted[:1].detach())
        found = [self.losses[name](seen.part(slice(at * each, (at + 1) * each))) for at, name in enumerate(turns)]
        totals = [self.losses[name].total(losses | {"border": border}) for name, losses in zip(turns, found)]
        losses = {name: sum(each[name].item() for each in found) / len(found) for name in found[0]}
        return losses | {"border": border.item()}, torch.stack(totals).mean()

    def _taught(self, given: Tensor, turns: Sequence[str], each: int) -> Tensor:
        """The teacher's paintings, on the same canvas that the pupil is about to take."""
        assert self.teacher is not None, "nobody to follow"
        teacher, known = self.teacher
        chance = torch.get_rng_state()
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            painted: Tensor = teacher(given, torch.cat([known[name].expand(each, -1) for name in turns])).float()
        torch.set_rng_state(chance)
        return painted

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

    def numbers(self) -> dict[str, Tensor]:
        """The styles as they are now, [numbers] each."""
        return {name: style.detach() for name, style in self.styles.items()}

    def save(self, file: Path) -> None:
        beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        state = {
            "painter": self.painter.state_dict(),
            "styles": self.numbers(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "minutes": self.minutes,
        }
        try:
            torch.save(state, beside)
            beside.replace(file)
        except (OSError, RuntimeError) as error:  # torch's own for a full disk
            raise StreamfxError(f"cannot write {file}; is there room, and may it be written to?") from error
        finally:
            beside.unlink(missing_ok=True)

    def load(self, file: Path) -> None:
        """Go on from `file`; its network must have the sizes and the styles asked for now."""
        if not file.is_file():
            raise StreamfxError(f"nothing to resume: {file} does not exist")
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            self.painter.load_state_dict(state["painter"])
            if state["styles"].keys() != self.styles.keys():
                raise KeyError("styles")
            for name, style in self.styles.items():
                style.data.copy_(state["styles"][name])
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
    save_painter(weights, training.painter, training.numbers())


def _run(training: Training, photos: list[Tensor], weights: Path, report: Callable[[Progress], None]) -> None:
    preview = weights.with_suffix(".preview.png")
    saved = time.monotonic()
    for losses in learn(training, photos):
        now = time.monotonic()
        due = now - saved >= _SAVE_EVERY or training.done >= 1
        if due:
            saved = now
            training.save(weights.with_suffix(".checkpoint"))
            write_preview(preview, training.painter, training.numbers(), photos)
        report(Progress(training.steps, training.minutes, losses, preview if due else None))


def learn(training: Training, photos: list[Tensor]) -> Iterator[dict[str, float]]:
    """Step after step until the training is done: its unweighted losses. What comes between counts."""
    before = time.monotonic()
    while training.done < 1:
        losses = training.step(photos)
        if not all(map(math.isfinite, losses.values())):
            raise StreamfxError(f"the training broke down at step {training.steps}; lower the learning rate")
        now = time.monotonic()
        training.minutes += min(now - before, _LONGEST_STEP) / 60
        before = now
        yield losses
