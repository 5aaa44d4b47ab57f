"""Effects whose settings follow schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, make_dataclass, replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfx.animation.context import Context
from streamfx.animation.schedule import Schedule
from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame, Memory, Step
from streamfx.settings import settings

if TYPE_CHECKING:
    import torch

_VARIABLES = frozenset(("t", "s", "fps"))  # durations are known to timelines only
_NUMBER, _RATE = "schedule.number", "schedule.rate"  # memory keys: index of the next frame; frames per second
_DEFAULT_RATE = Fraction(25)  # frames per second, for frames without a duration


def with_schedules(
    kind: type[Effect],
    constants: Mapping[str, Any],
    schedules: Mapping[str, Schedule],
    audio: Sequence[str] = (),
) -> Effect:
    """An effect with `constants` as settings, and others that take the value of their schedule at each frame.

    Frames are counted from the effect's first input. `audio` names the variables that `Adjustable` will get from the
    live audio; they start at 0. Raises StreamfxError for unknown variables and for values at frame 0 that are out of
    range; later values are checked while the effect runs.
    """
    for name, schedule in schedules.items():
        unknown = sorted(schedule.names - _VARIABLES - set(audio))
        if unknown:
            known = ", ".join((*audio, "t", "s"))
            raise StreamfxError(f"{name} uses '{unknown[0]}', but schedules in a chain may use only {known} and fps")
    start = _values(schedules.items(), 0, _DEFAULT_RATE, _integers(kind), dict.fromkeys(audio, 0.0))
    return _scheduled(kind)(**constants, **start, schedules=tuple(schedules.items()))  # type: ignore[call-arg]


@cache
def _scheduled(kind: type[Any]) -> type[Effect]:
    """A subclass with the field `schedules`: pairs of a setting's name and its Schedule."""

    def build(self: Any, device: torch.device) -> Step:
        return Adjustable(self, device)

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


def plain_kind(effect: Effect) -> type[Any]:
    """The registered class of an effect, which for one with schedules is the parent of its class."""
    kind = type(effect)
    return kind.__mro__[1] if hasattr(effect, "schedules") else kind


class Adjustable:
    """The step of an effect whose numbers may change between frames, by `adjust` or by its schedules.

    An effect that needs a different step if its settings may change has a method `build_scheduled`. `audio` returns the
    current values of the variables of the audio; it is called once per frame.
    """

    def __init__(
        self, effect: Effect, device: torch.device, audio: Callable[[], Mapping[str, float]] | None = None
    ) -> None:
        kind = plain_kind(effect)
        values = {field.name: getattr(effect, field.name) for field in fields(kind)}
        self.effect: Any = kind(**values)  # a copy of our own, which the step reads at each frame
        self.schedules: dict[str, Schedule] = dict(getattr(effect, "schedules", ()))
        self._integers = _integers(kind)
        self._audio = audio
        self._step: Step = getattr(self.effect, "build_scheduled", self.effect.build)(device)

    def adjust(self, values: Mapping[str, float]) -> None:
        """Change numeric settings from the next frame on; they no longer follow their schedules.

        Raises StreamfxError for values that are out of range; then nothing changes.
        """
        values = {name: round(value) if name in self._integers else value for name, value in values.items()}
        replace(self.effect, **values)  # checks the ranges
        for name, value in values.items():
            self.schedules.pop(name, None)
            object.__setattr__(self.effect, name, value)

    def __call__(self, frame: Frame | None, memory: Memory) -> Iterable[Frame]:
        number, rate = memory.pop(_NUMBER, 0), memory.pop(_RATE, None)  # the effect may clear its memory
        assert isinstance(number, int)
        if frame is not None:
            if not isinstance(rate, Fraction):
                rate = 1 / frame.duration if frame.duration else _DEFAULT_RATE
            self._follow_schedules(number, rate)
            number += 1
        yield from self._step(frame, memory)
        if isinstance(rate, Fraction):
            memory[_NUMBER], memory[_RATE] = number, rate

    def _follow_schedules(self, number: int, rate: Fraction) -> None:
        audio = self._audio() if self._audio else {}
        values = _values(self.schedules.items(), number, rate, self._integers, audio)
        try:
            replace(self.effect, **values)  # checks the ranges
        except StreamfxError as error:
            raise StreamfxError(f"{error}, at frame {number}") from error
        for name, value in values.items():
            object.__setattr__(self.effect, name, value)


def _values(
    schedules: Iterable[tuple[str, Schedule]],
    number: int,
    rate: Fraction,
    integers: frozenset[str],
    audio: Mapping[str, float],
) -> dict[str, float]:
    """The values of the scheduled settings at frame `number`; those named in `integers` are rounded."""
    context = Context(0, float(rate), audio={name: np.array([value]) for name, value in audio.items()})
    values = {name: schedule.at(number, context) for name, schedule in schedules}
    return {name: round(value) if name in integers else value for name, value in values.items()}


def _integers(kind: type[Any]) -> frozenset[str]:
    """The names of the integer settings."""
    return frozenset(setting.name for setting in settings(kind) if setting.type is int)
