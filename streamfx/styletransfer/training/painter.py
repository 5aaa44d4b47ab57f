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
from streamfx.ops.warp import renew, split_trust, warp
from streamfx.presets import Quality, TrainingSettings
from streamfx.styletransfer.painter import SIZES, Painter, load_painter, save_painter
from streamfx.styletransfer.painting_losses import Eye, PaintingLoss, Targets, border_loss, flicker_loss, learn_targets
from streamfx.styletransfer.training.contact_sheets import write_preview
from streamfx.styletransfer.training.synthetic_motion import Clip, as_measured, build_clip

_SAVE_EVERY = 60.0  # seconds between checkpoints and preview sheets
_LONGEST_STEP = 20.0  # seconds; what is longer, the machine slept
_WARM_UP = 50  # steps in which the learning rate rises
_LENGTHS = (1, 1, 2, 2, 3, 4)  # frames of the clips that a step may practise on
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

    Each step is for one of the styles, in turn. With a `base` its weights are where learning starts, and a new
    style starts in the middle of those that the base knows. Paintings may lie on the CPU whatever the `device`, on
    which all else lies, and photos too, but a GPU then waits for what is made of them.
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
        self.eyes = [Eye(settings, network, self.device) for network in settings.style_layers]
        self.losses = {name: self._loss(subject) for name, subject in subjects.items()}
        self.paint: Callable[..., Tensor] = self.painter
        self.teacher: tuple[Painter, dict[str, Tensor]] | None = None
        self.steps = 0
        self.minutes = 0.0

    def _loss(self, subject: Subject) -> PaintingLoss:
        paintings = [(image.to(self.device), share) for image, share in subject.paintings]
        return PaintingLoss(learn_targets(paintings, subject.settings, self.eyes), subject.settings)

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
        for eye in self.eyes:
            eye.features.compile(dynamic=False)

    def step(self, photos: list[Tensor]) -> dict[str, float]:
        """Learn from one batch, chosen by seed and step alone: a resumed training sees what it would have seen."""
        settings = self.settings
        chance = random.Random(f"{settings.seed} {self.steps}")
        torch.manual_seed(chance.getrandbits(32))
        clip = build_clip(photos, settings.crop, settings.batch, chance.choice(_LENGTHS), chance)
        for group, rate in zip(self.optimizer.param_groups, self._rates):
            group["lr"] = rate * self._share_of_rate()
        losses, total = self._look(chance.choice(self.eyes), clip, chance)
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_((*self.painter.parameters(), *self.styles.values()), 5.0)
        self.optimizer.step()
        self.steps += 1
        return losses

    def _look(self, eye: Eye, clip: Clip, chance: random.Random) -> tuple[dict[str, float], Tensor]:
        """The losses of the clip's last frame, in this step's style, as `eye` sees them; and their weighted sum."""
        name = list(self.styles)[self.steps % len(self.styles)]
        style = self.styles[name].unsqueeze(0)
        given = [image.to(self.device, memory_format=torch.channels_last) for image in clip.given]
        end = len(given) - 1
        with torch.no_grad():  # what was painted before is as it is
            before: list[Tensor] = []
            for at in range(end):
                motion = self._motion(clip, at, chance)
                before.append(self._paint(self.paint, given[at], style, before[-1:], motion))
        motion = self._motion(clip, end, chance)
        canvas = torch.get_rng_state()
        painted = self._paint(self.paint, given[end], style, before[-1:], motion)  # without borders, in training mode
        self.painter.eval()
        one = None if motion is None else (motion[0][:1], motion[1][:1])
        bordered = self._paint(self.painter, given[end][:1], style, [last[:1] for last in before[-1:]], one)
        self.painter.train()
        wanted = clip.wanted[end].to(self.device)
        if self.teacher is not None:
            wanted = self._taught(given[end], name, before[-1:], motion, canvas)
        seen = eye.compare(painted, wanted)
        losses = self.losses[name](seen)
        losses["border"] = border_loss(bordered, painted[:1].detach())
        losses["flicker"] = self._flicker(clip, painted, before)
        found = torch.stack(list(losses.values())).tolist()  # at once: a GPU is waited for
        return dict(zip(losses, found)), self.losses[name].total(losses)

    def _motion(self, clip: Clip, at: int, chance: random.Random) -> tuple[Tensor, Tensor] | None:
        """Flow and trust from frame `at` to the one before it, if there is one."""
        if at == 0:
            return None
        flow, trust = as_measured(*clip.motion(at, at - 1), chance)
        return flow.to(self.device), trust.to(self.device)

    def _paint(
        self,
        paint: Callable[..., Tensor],
        frame: Tensor,
        style: Tensor,
        last: Sequence[Tensor],
        motion: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            if motion is None:
                return paint(frame, style).float()
            flow, trust = motion
            warped = warp(last[0], flow, "bicubic").clamp(0, 1)
            follow, share = split_trust(flow, trust)
            painted = paint(frame, style, torch.cat([warped, follow], dim=1)).float()
        return renew(painted, warped, share)

    def _flicker(self, clip: Clip, painted: Tensor, before: Sequence[Tensor]) -> Tensor:
        """What changed in the painting without a reason, since the frame before and since the clip's first one."""
        if not before:
            return painted.new_zeros(())
        return torch.stack([self._change(clip, painted, before[at], at) for at in {0, len(before) - 1}]).mean()

    def _change(self, clip: Clip, painted: Tensor, earlier: Tensor, at: int) -> Tensor:
        flow, visible = (x.to(self.device) for x in clip.motion(len(clip.given) - 1, at))
        light = clip.brightened(len(clip.given) - 1, at).to(self.device)
        return flicker_loss(painted, warp(earlier, flow, "bicubic"), light, visible)

    def _taught(
        self,
        frame: Tensor,
        style: str,
        last: Sequence[Tensor],
        motion: tuple[Tensor, Tensor] | None,
        canvas: Tensor,
    ) -> Tensor:
        """What the teacher paints in the pupil's place, and on the canvas drawn at this random state: the same."""
        assert self.teacher is not None, "nobody to follow"
        teacher, known = self.teacher
        chance = torch.get_rng_state()
        torch.set_rng_state(canvas)
        with torch.no_grad():
            painted = self._paint(teacher, frame, known[style].unsqueeze(0), last, motion)
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

    def targets(self) -> dict[str, Targets]:
        """What the styles are compared with."""
        return {name: loss.targets for name, loss in self.losses.items()}

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
    photos = [photo.to(training.device) for photo in photos]
    before = time.monotonic()
    while training.done < 1:
        losses = training.step(photos)
        if not all(map(math.isfinite, losses.values())):
            raise StreamfxError(f"the training broke down at step {training.steps}; lower the learning rate")
        now = time.monotonic()
        training.minutes += min(now - before, _LONGEST_STEP) / 60
        before = now
        yield losses
