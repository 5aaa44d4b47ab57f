"""Run a chain on live frames; changes are prepared in the background and cross-faded."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

import torch
from torch import Tensor

from streamfx.effects import EFFECTS
from streamfx.effects.scheduled import Adjustable
from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame, Memory
from streamfx.live.adaptation import Adaptation, Level
from streamfx.live.controls import Change, Controls
from streamfx.presets import load_preset, parse_blend
from streamfx.styletransfer.working_resolution import working_size

log = logging.getLogger("streamfx")

ADAPTATION_FADE = 0.4  # seconds; changes of the working resolution are barely visible
_BACKGROUND_NICENESS = 10  # of the thread that compiles networks
_BOTH_AFFORDABLE = 0.85  # of the time between frames, up to which both pictures of a cross-fade are painted

AudioValues: TypeAlias = "Callable[[], Mapping[str, float]]"


class BuiltChain:
    """The steps of a chain, and their memory."""

    def __init__(self, effects: Sequence[Effect], device: torch.device, audio: AudioValues) -> None:
        self.steps = [Adjustable(effect, device, audio) for effect in effects]
        self._memories: list[Memory] = [{} for _ in effects]

    def warm_up(self, image: Tensor, duration: Fraction) -> None:
        """Compile the networks for images of this size [3, H, W], by running them once."""
        for number in range(2):  # the second frame has a previous one
            self.run(Frame(image, number * duration, duration))
        self._memories = [{} for _ in self.steps]

    def run(self, frame: Frame) -> list[Frame]:
        """The output frames for one input frame."""
        frames = [frame]
        for step, memory in zip(self.steps, self._memories):
            frames = [output for each in frames for output in step(each, memory)]
        return frames


@dataclass(slots=True)
class _Ramp:
    """A number on its way to another value."""

    start: float
    end: float
    since: Fraction  # seconds
    length: float  # seconds

    def at(self, when: Fraction) -> float:
        share = 1.0 if self.length <= 0 else min(1.0, float(when - self.since) / self.length)
        return self.start + share * (self.end - self.start)


@dataclass(slots=True)
class _Fade:
    """The chain that is being replaced, or its last picture where painting both takes too long."""

    chain: BuiltChain | None
    picture: Tensor | None
    since: Fraction
    length: float

    def share(self, when: Fraction) -> float:
        """Share of the new picture, 0..1, eased at both ends."""
        share = 1.0 if self.length <= 0 else min(1.0, max(0.0, float(when - self.since) / self.length))
        return share * share * (3 - 2 * share)


class LivePainter:
    """Paints frames with the current settings of `controls`. Not thread-safe, except for `controls`.

    Numbers move to their new values in `controls.fade` seconds. For other changes, a new chain is built in the
    background while the old one goes on, and then cross-faded: both are painted if there is time, else the last picture
    of the old one fades out.
    """

    def __init__(
        self,
        controls: Controls,
        device: torch.device,
        period: Fraction,
        audio: AudioValues,
        adaptation: Adaptation | None,
    ) -> None:
        self.controls = controls
        self.period = period  # seconds between frames
        self._device, self._audio, self._adaptation = device, audio, adaptation
        self._chain: BuiltChain | None = None
        self._ramps: dict[tuple[int, str], _Ramp] = {}
        self._fade: _Fade | None = None
        self._last: Tensor | None = None
        self._cost = 0.0  # seconds of the last frame
        self._background = ThreadPoolExecutor(1, "build", initializer=_lower_priority)
        self._building: Future[BuiltChain] | None = None
        self._building_fade = 0.0
        self._wanted: tuple[list[Effect], float] | None = None  # to build next, and the length of its fade
        self._since_wanted: dict[tuple[int, str], float] = {}  # numbers that changed after that

    @property
    def level(self) -> Level | None:
        return self._adaptation.level if self._adaptation else None

    def working_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width at which frames of `size` are stylized; `size` itself without a style."""
        for step in self._chain.steps if self._chain else ():
            if isinstance(step.effect, EFFECTS["style"]):
                effect: Any = step.effect
                return working_size(*size, effect.stroke, effect.working)
        return size

    @property
    def busy(self) -> bool:
        """Whether a change is being built or faded in."""
        return self._building is not None or self._fade is not None or self._wanted is not None

    def prepare(self, size: tuple[int, int]) -> None:
        """Build the chain for frames of `size`, height and width, before the first frame."""
        self._chain = self._build(self.controls.effects(), torch.zeros(3, *size, device=self._device))

    def paint(self, frame: Frame, started: float) -> list[Frame]:
        """The output frames for one input frame, whose processing has `started` (on the monotonic clock).

        Raises StreamfxError from the effects.
        """
        assert self._chain is not None, "prepare was not called"
        self._take_changes(frame)
        self._swap_if_built(frame)
        self._move_numbers(frame.pts)
        outputs = self._chain.run(frame)
        self._cost = time.monotonic() - started
        if outputs and self._fade:
            outputs = [*outputs[:-1], self._faded(frame, outputs[-1])]
        if outputs:
            self._last = outputs[-1].image
        self._adapt()
        return outputs

    def close(self) -> None:
        self._background.shutdown(wait=False, cancel_futures=True)

    def _build(self, effects: Sequence[Effect], image: Tensor) -> BuiltChain:
        chain = BuiltChain(with_level(effects, self.level), self._device, self._audio)
        chain.warm_up(image, self.period)
        return chain

    def _take_changes(self, frame: Frame) -> None:
        change = self.controls.take()
        if change is None:
            return
        assert self._chain is not None
        rebuilt = _needs_build(change)
        if rebuilt:
            self._wanted = change.effects, change.fade
            self._since_wanted.clear()
        for (index, setting), value in change.numbers.items():
            if not _compiles(setting):
                start = float(getattr(self._chain.steps[index].effect, setting))
                self._ramps[index, setting] = _Ramp(start, value, frame.pts, change.fade)
                self._since_wanted[index, setting] = value

    def _swap_if_built(self, frame: Frame) -> None:
        """Start to fade in a finished chain, and to build the next one that is wanted."""
        if self._building is not None and self._building.done() and self._fade is None:
            building, self._building = self._building, None
            try:
                built = building.result()
            except StreamfxError as error:
                self.controls.error = str(error)
                log.warning("%s", error)
            else:
                self._swap(built, frame)
        if self._building is None and self._wanted is not None:
            (effects, fade), self._wanted = self._wanted, None
            self._building_fade = fade
            self._building = self._background.submit(self._build, effects, frame.image)

    def _swap(self, built: BuiltChain, frame: Frame) -> None:
        both = 2 * self._cost < _BOTH_AFFORDABLE * float(self.period)
        picture = None if both else self._last
        self._fade = _Fade(self._chain if both else None, picture, frame.pts, self._building_fade)
        old, self._chain = self._chain, built
        assert old is not None
        current = {key: ramp.at(frame.pts) for key, ramp in self._ramps.items()}  # the new chain continues them
        for (index, setting), value in {**self._since_wanted, **current}.items():
            built.steps[index].adjust({setting: value})
        if self._adaptation:
            self._adaptation.settle(time.monotonic())

    def _move_numbers(self, when: Fraction) -> None:
        assert self._chain is not None
        chains = [self._chain, *([self._fade.chain] if self._fade and self._fade.chain else [])]
        for (index, setting), ramp in list(self._ramps.items()):
            value = ramp.at(when)
            for chain in chains:
                chain.steps[index].adjust({setting: value})
            if value == ramp.end:
                del self._ramps[index, setting]

    def _faded(self, frame: Frame, output: Frame) -> Frame:
        assert self._fade is not None
        share = self._fade.share(frame.pts)
        if share >= 1:
            self._fade = None
            if self._adaptation:
                self._adaptation.settle(time.monotonic())
            return output
        old = self._fade.picture
        if self._fade.chain is not None:
            outputs = self._fade.chain.run(frame)
            old = outputs[-1].image if outputs else None
        if old is None or old.shape != output.image.shape:
            return output
        return output.with_image(old.lerp(output.image, share))

    def _adapt(self) -> None:
        if self._adaptation is None or self.busy:
            return
        level = self._adaptation.measured(self._cost, time.monotonic())
        if level is not None:
            log.info("working resolution: %s", level)
            self._wanted = self.controls.effects(), min(ADAPTATION_FADE, self.controls.fade)


def with_level(effects: Sequence[Effect], level: Level | None) -> list[Effect]:
    """The effects with the network and working resolution of a level, where they have these settings."""
    if level is None:
        return list(effects)
    style = EFFECTS["style"]
    changed: list[Effect] = []
    for effect in effects:
        if isinstance(effect, style):
            quality = level.quality if _has_quality(effect, level.quality) else getattr(effect, "quality", None)
            effect = replace(effect, working=level.working, quality=quality)  # type: ignore[type-var]
        changed.append(effect)
    return changed


def _has_quality(effect: Effect, quality: str) -> bool:
    texts = (str(getattr(effect, name, "")) for name in ("preset", "mask_preset", "blend"))
    names = [name for text in texts if text for name, _ in parse_blend(text)]
    return all(quality in load_preset(name).style.weights for name in names)


def _needs_build(change: Change) -> bool:
    return change.preset or any(_compiles(setting) for _, setting in change.numbers)


def _compiles(setting: str) -> bool:
    """Whether a number changes the size at which a network runs, so that it must be compiled again."""
    return setting == "stroke"


def _lower_priority() -> None:
    """Let the painting go before the building: on Linux each thread has its own niceness."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND_NICENESS)
