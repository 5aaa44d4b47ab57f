"""Applies a chain to one frame, for previews: as a draft at a reduced size, or as the render does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from cachetools import LRUCache

from streamfx.animation.context import Context
from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame, Step
from streamfx.media.filters.effect import Filters
from streamfx.settings import settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DRAFT_PIXELS = 640 * 360  # of a draft picture
MAX_STEPS = 4  # built effects that are kept, each with its networks


class StillRenderer:
    """Applies chains to single frames. Effects are kept, and rebuilt only if a setting that needs it changes.

    Not thread-safe: one thread uses it.
    """

    def __init__(self, device: torch.device | None = None, *, keep: int = MAX_STEPS) -> None:
        """`keep` is the number of built effects that stay in memory."""
        self._device = device
        self._steps: LRUCache[Any, tuple[Any, Step]] = LRUCache(keep)

    def render(self, frame: Frame, chain: Sequence[Effect], *, draft: bool = False, number: int = 0) -> Tensor:
        """The image [3, H, W] that the chain makes of `frame` alone, without earlier frames.

        A draft is made for frames of DRAFT_PIXELS. Schedules have their values of frame `number`. Raises
        StreamfxError, also if the chain returns no frame.
        """
        import torch

        frame = replace(frame, cut=True, duration=frame.duration or Fraction(1, 25))
        with torch.no_grad():
            for effect in chain:
                single = _still(_at(effect, number, 1 / frame.duration))
                frame = self._apply(_draft_of(single) if draft else single, frame)
        return frame.image

    def _apply(self, effect: Effect, frame: Frame) -> Frame:
        step = self._step(effect)
        memory: dict[str, Any] = {}
        for output in _outputs(step, frame, memory):
            return output
        raise StreamfxError(f"{type(effect).__name__.lower()} returns no frame for a single one")

    def _step(self, effect: Effect) -> Step:
        """The step of an effect; settings that may have a schedule are changed in a step that exists."""
        import torch

        device = self._device or torch.device("cpu")
        kind = type(effect)
        if isinstance(effect, Filters):
            return effect.build(device)
        known = settings(kind)
        key = kind, tuple(getattr(effect, setting.name) for setting in known if not setting.schedulable)
        if key not in self._steps:
            built = kind(**{field.name: getattr(effect, field.name) for field in fields(kind)})  # type: ignore[arg-type]
            self._steps[key] = built, getattr(built, "build_scheduled", built.build)(device)
        built, step = self._steps[key]
        for setting in known:
            if setting.schedulable:
                object.__setattr__(built, setting.name, getattr(effect, setting.name))
        return step


def _outputs(step: Step, frame: Frame, memory: dict[str, Any]) -> Iterable[Frame]:
    yield from step(frame, memory)
    yield from step(None, memory)


def _at(effect: Effect, number: int, rate: Fraction) -> Effect:
    """The effect with the values that its schedules have at frame `number`."""
    schedules = getattr(effect, "schedules", ())
    if not schedules:
        return effect
    kind = type(effect).__mro__[1]  # schedules make a subclass
    values = {field.name: getattr(effect, field.name) for field in fields(kind)}
    integers = {setting.name for setting in settings(kind) if setting.type is int}
    for name, schedule in schedules:
        value = schedule.at(number, Context(0, float(rate)))
        values[name] = round(value) if name in integers else value
    return cast("Effect", kind(**values))


def _still(effect: Effect) -> Effect:
    """The effect for a single frame: nothing is estimated from earlier ones."""
    names = {setting.name for setting in settings(type(effect))} if hasattr(effect, "coherence") else set()
    return replace(effect, coherence="off") if "coherence" in names else effect  # type: ignore[type-var]


def _draft_of(effect: Effect) -> Effect:
    """A cheaper effect with a similar look, for frames of about DRAFT_PIXELS.

    Styles stay as they are: at a smaller working resolution their strokes would be wider than in the render.
    """
    if (
        type(effect).__name__ == "Dream"
    ):  # frames of half the size: without the finest octaves, the patterns keep their size
        octaves = max(1, effect.octaves - round(math.log(2) / math.log(effect.octave_scale)))  # type: ignore[attr-defined]
        return replace(effect, octaves=octaves, steps=max(1, effect.steps // 2))  # type: ignore[attr-defined,type-var]
    return effect
