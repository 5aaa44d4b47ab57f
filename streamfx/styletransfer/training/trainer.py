"""Train a style network: statistics of paintings and photos -> weights."""

from __future__ import annotations

import contextlib
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamfx.errors import StreamfxError
from streamfx.ops.warp import warp
from streamfx.presets import TrainingSettings
from streamfx.styletransfer.artifact_losses import border_loss, flicker_loss
from streamfx.styletransfer.features import FeatureExtractor
from streamfx.styletransfer.losses import StyleLoss, content_target
from streamfx.styletransfer.network import StyleNetwork, save_network
from streamfx.styletransfer.targets import StyleTargets
from streamfx.styletransfer.training.synthetic_motion import Clip, build_clip

_CHECKPOINT_EVERY = 120.0  # seconds
_LONGEST_STEP = 60.0  # seconds counted at most; during longer ones the machine was suspended
_WARM_UP = 30  # steps in which the learning rate rises
_STYLE_RATE = 4.0  # times the learning rate, for style parameters
_QUANTIZED_FROM = 0.8  # share of the training after which int8 is simulated
_DETAILS = 0.65, 0.85  # shares of the steps with detail 0, and with detail 0 or 1; the others draw it from 0..1
_CLIP_SHARE = 0.5  # of the steps with two frames, which must be stylized alike
_MAX_SHIFT = 16  # pixels by which images are shifted before the losses see them
_BORDER_SHARE = 0.25  # of the steps that compare the borders


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a training run after a step."""

    step: int
    minutes: float  # so far, with those before a resume
    done: float  # share of the training, 0..1
    losses: dict[str, float]  # unweighted, of the last batch


class Trainer:
    """A style network, its optimizer and what it learns from; a checkpoint holds the first two.

    With a `teacher`, which knows the style, the network learns to stylize as the teacher does (distillation).
    """

    def __init__(
        self,
        network: StyleNetwork,
        targets: StyleTargets,
        settings: TrainingSettings,
        device: torch.device,
        teacher: StyleNetwork | None = None,
    ) -> None:
        self.settings, self.device = settings, device
        torch.manual_seed(settings.seed)
        self.network = network.to(device, memory_format=torch.channels_last).train().requires_grad_(True)  # type: ignore[call-overload]
        self.teacher = teacher if teacher is None else teacher.to(device).train().requires_grad_(False)
        self.extractors = [FeatureExtractor(settings, name, device) for name in settings.style_layers]
        self.loss = StyleLoss(targets.to(device), settings)
        weights = [p for name, p in network.named_parameters() if name != "style"]
        groups = [{"params": [network.style]}, {"params": weights}]
        self.optimizer = torch.optim.Adam(groups, lr=settings.learning_rate, betas=(0.9, 0.99))
        self.stylize: Callable[[Tensor, Tensor], Tensor] = self.network
        self.steps = 0
        self.minutes = 0.0

    def compile(self) -> None:
        """Spend a minute or two on compiling the networks; pays off in training runs of an hour."""
        self.stylize = torch.compile(self.network, dynamic=False)

    def step(self, photos: Sequence[Tensor]) -> dict[str, float]:
        """Learn from one batch, which seed and step determine; returns the unweighted losses."""
        settings = self.settings
        rng = random.Random(f"{settings.seed} {self.steps}")
        torch.manual_seed(rng.getrandbits(32))
        rate = settings.learning_rate * self._schedule()
        for group, factor in zip(self.optimizer.param_groups, (_STYLE_RATE, 1.0)):
            group["lr"] = rate * factor
        self.network.quantize(self.done >= _QUANTIZED_FROM)
        frames = 2 if settings.flicker_weight > 0 and rng.random() < _CLIP_SHARE else 1
        clip = build_clip(list(photos), settings.crop, settings.batch, frames, rng)
        detail = _draw_detail(rng)
        losses = self._losses(clip, detail, rng)
        self.optimizer.zero_grad()
        self.loss.total(losses, detail).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.steps += 1
        values = torch.stack(list(losses.values())).tolist()  # at once: each read waits for a GPU
        return dict(zip(losses, values))

    def _losses(self, clip: Clip, detail: float, rng: random.Random) -> dict[str, Tensor]:
        style = self.network.parameters_at(detail)
        given = [image.to(self.device, memory_format=torch.channels_last) for image in clip.inputs]
        pattern = torch.get_rng_state()  # the same shift of the noise pattern for all frames
        images = []
        for frame in given:
            torch.set_rng_state(pattern)
            images.append(self._run(self.stylize, frame, style))
        last = images[-1]
        photos = clip.targets[-1].to(self.device)
        extractor = rng.choice(self.extractors)
        reference = photos if self.teacher is None else self._teach(given[-1], detail, pattern)
        judged, reference = _shifted(rng, last, reference)
        losses = self.loss(judged, reference, content_target(reference, extractor), extractor)
        if len(images) > 1:
            losses["flicker"] = self._flicker(clip, images)
        if self.settings.border_weight > 0 and rng.random() < _BORDER_SHARE:
            self.network.eval()
            bordered = self._run(self.network, given[-1][:1], style)
            self.network.train()
            losses["border"] = border_loss(bordered, last[:1].detach()) / _BORDER_SHARE
        return losses

    def _run(self, network: Callable[[Tensor, Tensor], Tensor], frame: Tensor, style: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            return network(frame, style).float()

    def _teach(self, frame: Tensor, detail: float, pattern: Tensor) -> Tensor:
        assert self.teacher is not None, "no teacher"
        torch.set_rng_state(pattern)
        with torch.no_grad():
            return self._run(self.teacher, frame, self.teacher.parameters_at(detail))

    def _flicker(self, clip: Clip, images: Sequence[Tensor]) -> Tensor:
        """The change from the first image to the last that motion and brightness do not explain."""
        end = len(images) - 1
        flow, visible = (x.to(self.device) for x in clip.motion(end, 0))
        light = clip.luma_change(end, 0).to(self.device)
        return flicker_loss(images[end], warp(images[0], flow, "bicubic"), light, visible)

    @property
    def done(self) -> float:
        """Share of the training so far; 1 and more at its end."""
        if self.settings.steps is not None:
            return self.steps / self.settings.steps
        return self.minutes / self.settings.minutes

    def _schedule(self) -> float:
        """Factor of the learning rate: a short rise, then half a cosine down to 1 %."""
        fall = (1 + math.cos(math.pi * min(1.0, self.done))) / 2
        return min(1.0, (self.steps + 1) / _WARM_UP) * (0.01 + 0.99 * fall)

    def save(self, file: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "minutes": self.minutes,
        }
        try:
            torch.save(state, beside)
            beside.replace(file)
        except (OSError, RuntimeError) as error:  # torch raises the latter when the disk is full
            raise StreamfxError(f"cannot write {file}; is the disk full or the folder write-protected?") from error
        finally:
            beside.unlink(missing_ok=True)

    def load(self, file: Path) -> None:
        """Resume from the checkpoint `file`, of a network of the same sizes."""
        if not file.is_file():
            raise StreamfxError(f"nothing to resume: {file} does not exist")
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.steps, self.minutes = int(state["steps"]), float(state["minutes"])
        except Exception as error:  # torch raises exceptions of many kinds for damaged files
            raise StreamfxError(f"{file} does not fit this training run; start again without --resume") from error


def _shifted(rng: random.Random, *images: Tensor) -> list[Tensor]:
    """All `images` rolled alike by a random offset.

    The losses reduce images on a fixed grid; otherwise the network learns grid artifacts aligned with it.
    """
    offset = rng.randrange(_MAX_SHIFT), rng.randrange(_MAX_SHIFT)
    return [image.roll(offset, (-2, -1)) for image in images]


def _draw_detail(rng: random.Random) -> float:
    bold, ends = _DETAILS
    kind = rng.random()
    return 0.0 if kind < bold else 1.0 if kind < ends else rng.random()


def run_steps(trainer: Trainer, photos: Sequence[Tensor]) -> Iterator[Progress]:
    """Step until the training is done. Time spent by the caller between steps counts."""
    photos = [photo.to(trainer.device) for photo in photos]
    before = time.monotonic()
    while trainer.done < 1:
        losses = trainer.step(photos)
        if not all(map(math.isfinite, losses.values())):
            raise StreamfxError(f"the training diverged at step {trainer.steps}; lower the learning rate")
        now = time.monotonic()
        trainer.minutes += min(now - before, _LONGEST_STEP) / 60
        before = now
        yield Progress(trainer.steps, trainer.minutes, min(1.0, trainer.done), losses)


def train(
    trainer: Trainer,
    photos: Sequence[Tensor],
    weights: Path,
    *,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Train and write `weights` (NAME.safetensors), at the end or at the KeyboardInterrupt that ends it early.

    Every two minutes, and at the end, a checkpoint (NAME.checkpoint) is written beside them, from which `resume`
    continues. `report` is called after each step.
    """
    checkpoint = weights.with_suffix(".checkpoint")
    if resume:
        trainer.load(checkpoint)
    saved = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):  # what is learned so far is kept and can be resumed
        for progress in run_steps(trainer, photos):
            if time.monotonic() - saved >= _CHECKPOINT_EVERY:
                trainer.save(checkpoint)
                saved = time.monotonic()
            report(progress)
    trainer.save(checkpoint)
    save_network(weights, trainer.network)
