"""Effects whose settings change from frame to frame, by schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, make_dataclass, replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from streamfx.animation.schedule import Context, Schedule
from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame, Memory, Step
from streamfx.settings import settings

if TYPE_CHECKING:
    import torch

KNOWN = frozenset(("t", "s", "fps"))  # variables; how long a film is, and a song, are known to timelines only
NUMBER, RATE = "schedule.number", "schedule.rate"  # in the memory: of the frame that comes next; frames a second
FIRST = Fraction(25)  # frames a second, of frames that do not tell


def with_schedules(kind: type[Effect], plain: Mapping[str, Any], schedules: Mapping[str, Schedule]) -> Effect:
    """An effect of this kind with `plain` settings, and with others that take the value of their schedule each frame.

    Frames are counted from the first one that the effect gets. Raises StreamfxError for schedules that speak of what a
    chain does not know, and for values at the beginning that are out of range; later ones are told when they come.
    """
    for name, schedule in schedules.items():
        unknown = sorted(schedule.names - KNOWN)
        if unknown:
            raise StreamfxError(f"{name} speaks of '{unknown[0]}', but schedules in a chain know only t, s and fps")
    start = _values(schedules.items(), 0, FIRST, _counts(kind))
    return _scheduled(kind)(**plain, **start, schedules=tuple(schedules.items()))  # type: ignore[call-arg]


@cache
def _scheduled(kind: type[Any]) -> type[Effect]:
    """The same kind of effect with `schedules`: name -> Schedule, as pairs."""

    def build(self: Any, device: torch.device) -> Step:
        return _build(kind, self, device)

    own = [("schedules", "tuple[tuple[str, Schedule], ...]", ())]
    return make_dataclass(
        kind.__name__, own, bases=(kind,), namespace={"build": build, "__module__": __name__}, frozen=True, slots=True
    )


def _build(kind: type[Any], scheduled: Any, device: torch.device) -> Step:
    """The step of a plain effect of whose settings each frame changes some before it.

    An effect that must remember more for that than it does otherwise has a `build_moving` beside its `build`.
    """
    now = kind(**{each.name: getattr(scheduled, each.name) for each in fields(kind)})
    step: Step = getattr(now, "build_moving", now.build)(device)
    counts = _counts(kind)

    def change(number: int, rate: Fraction) -> None:
        values = _values(scheduled.schedules, number, rate, counts)
        try:
            replace(now, **values)  # looks whether they are in range
        except StreamfxError as error:
            raise StreamfxError(f"{error}, at frame {number}") from error
        for name, value in values.items():
            object.__setattr__(now, name, value)

    def scheduled_step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
        number, rate = memory.pop(NUMBER, 0), memory.pop(RATE, None)  # which the effect may clear
        assert isinstance(number, int)
        if frame is not None:
            if not isinstance(rate, Fraction):
                rate = 1 / frame.duration if frame.duration else FIRST
            change(number, rate)
            number += 1
        yield from step(frame, memory)
        if isinstance(rate, Fraction):
            memory[NUMBER], memory[RATE] = number, rate

    return scheduled_step


def _values(
    schedules: Iterable[tuple[str, Schedule]], number: int, rate: Fraction, counts: frozenset[str]
) -> dict[str, float]:
    """Each setting at a frame; of `counts`, the nearest whole number."""
    context = Context(0, float(rate))
    found = {name: schedule.at(number, context) for name, schedule in schedules}
    return {name: round(value) if name in counts else value for name, value in found.items()}


def _counts(kind: type[Any]) -> frozenset[str]:
    """The settings that are whole numbers."""
    return frozenset(each.name for each in settings(kind) if each.type is int)
