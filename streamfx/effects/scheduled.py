"""Effects whose settings follow schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, make_dataclass, replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from streamfx.animation.context import Context
from streamfx.animation.schedule import Schedule
from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame, Memory, Step
from streamfx.settings import settings

if TYPE_CHECKING:
    import torch

_VARIABLES = frozenset(("t", "s", "fps"))  # durations and audio features are known to timelines only
_NUMBER, _RATE = "schedule.number", "schedule.rate"  # memory keys: index of the next frame; frames per second
_DEFAULT_RATE = Fraction(25)  # frames per second, for frames without a duration


def with_schedules(kind: type[Effect], constants: Mapping[str, Any], schedules: Mapping[str, Schedule]) -> Effect:
    """An effect with `constants` as settings, and others that take the value of their schedule at each frame.

    Frames are counted from the effect's first input. Raises StreamfxError for unknown variables and for values at
    frame 0 that are out of range; later values are checked while the effect runs.
    """
    for name, schedule in schedules.items():
        unknown = sorted(schedule.names - _VARIABLES)
        if unknown:
            raise StreamfxError(f"{name} uses '{unknown[0]}', but schedules in a chain may use only t, s and fps")
    start = _values(schedules.items(), 0, _DEFAULT_RATE, _integers(kind))
    return _scheduled(kind)(**constants, **start, schedules=tuple(schedules.items()))  # type: ignore[call-arg]


@cache
def _scheduled(kind: type[Any]) -> type[Effect]:
    """A subclass with the field `schedules`: pairs of a setting's name and its Schedule."""

    def build(self: Any, device: torch.device) -> Step:
        return _build(kind, self, device)

    def memory_at(self: Any, number: int, rate: Fraction) -> Memory:
        return {_NUMBER: number, _RATE: rate}

    added = [("schedules", "tuple[tuple[str, Schedule], ...]", ())]
    namespace = {"build": build, "memory_at": memory_at, "warm_up": property(_warm_up), "__module__": __name__}
    return make_dataclass(kind.__name__, added, bases=(kind,), namespace=namespace, frozen=True, slots=True)


def _warm_up(scheduled: Any) -> float | None:
    """The plain effect's warm-up if it is the same for all values of the scheduled settings; else the whole shot."""
    kind = type(scheduled).__mro__[1]
    plain = kind(**{field.name: getattr(scheduled, field.name) for field in fields(kind)})
    known = {setting.name: setting for setting in settings(kind)}
    values = [getattr(plain, "warm_up", None)]
    for name, _ in scheduled.schedules:
        for bound in (known[name].low, known[name].high):
            values.append(getattr(replace(plain, **{name: known[name].type(bound)}), "warm_up", None))
    return values[0] if len(set(values)) == 1 else math.inf


def _build(kind: type[Any], scheduled: Any, device: torch.device) -> Step:
    """The step of a plain effect whose scheduled settings are updated before each frame.

    An effect that needs a different step if its settings may change has a method `build_scheduled`.
    """
    effect = kind(**{field.name: getattr(scheduled, field.name) for field in fields(kind)})
    step: Step = getattr(effect, "build_scheduled", effect.build)(device)
    integers = _integers(kind)

    def update(number: int, rate: Fraction) -> None:
        values = _values(scheduled.schedules, number, rate, integers)
        try:
            replace(effect, **values)  # checks the ranges
        except StreamfxError as error:
            raise StreamfxError(f"{error}, at frame {number}") from error
        for name, value in values.items():
            object.__setattr__(effect, name, value)

    def scheduled_step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
        number, rate = memory.pop(_NUMBER, 0), memory.pop(_RATE, None)  # the effect may clear its memory
        assert isinstance(number, int)
        if frame is not None:
            if not isinstance(rate, Fraction):
                rate = 1 / frame.duration if frame.duration else _DEFAULT_RATE
            update(number, rate)
            number += 1
        yield from step(frame, memory)
        if isinstance(rate, Fraction):
            memory[_NUMBER], memory[_RATE] = number, rate

    return scheduled_step


def _values(
    schedules: Iterable[tuple[str, Schedule]], number: int, rate: Fraction, integers: frozenset[str]
) -> dict[str, float]:
    """The values of the scheduled settings at frame `number`; those named in `integers` are rounded."""
    context = Context(0, float(rate))
    values = {name: schedule.at(number, context) for name, schedule in schedules}
    return {name: round(value) if name in integers else value for name, value in values.items()}


def _integers(kind: type[Any]) -> frozenset[str]:
    """The names of the integer settings."""
    return frozenset(setting.name for setting in settings(kind) if setting.type is int)
