"""What a performer may change while a live run goes on: numbers of effects, and the preset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from streamfx.effects import EFFECTS
from streamfx.effects.scheduled import plain_kind
from streamfx.errors import StreamfxError, unknown
from streamfx.frame import Effect
from streamfx.presets import parse_blend, preset_files
from streamfx.settings import settings

MAX_FADE = 60.0  # seconds
PRESET, FADE = "preset", "fade"
_FIXED = frozenset(("working",))  # chosen by the adaptation


@dataclass(frozen=True, slots=True)
class Control:
    """A number that can be changed."""

    name: str  # "strength", or "trails.decay" where several effects have the setting
    index: int  # of the effect in the chain
    setting: str
    low: float
    high: float
    help: str

    def share(self, value: float) -> float:
        """Where a value lies in the range, 0..1."""
        return (value - self.low) / (self.high - self.low)

    def at(self, share: float) -> float:
        """The value at a share of the range, 0..1."""
        return self.low + min(max(share, 0.0), 1.0) * (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Change:
    """What changed since the last look."""

    numbers: dict[tuple[int, str], float]  # effect index and setting -> value
    effects: list[Effect]  # all effects with their current settings
    preset: bool  # whether the preset changed
    fade: float  # seconds


class Controls:
    """The current settings of a chain, checked and changed from any thread.

    Presets are accepted by name only: nothing that arrives here may name a file.
    """

    def __init__(self, effects: Sequence[Effect], fade: float) -> None:
        self._lock = Lock()
        self._effects = list(effects)
        self._fade = fade
        self._numbers: dict[tuple[int, str], float] = {}  # changed since the last look
        self._preset_changed = False
        self.error = ""  # of the last change that failed later, while it was built
        self.controls = {control.name: control for control in _controls(effects)}

    @property
    def fade(self) -> float:
        """Seconds of a cross-fade."""
        return self._fade

    @property
    def presets(self) -> list[str]:
        """Names that `preset` accepts; empty if no effect has a preset."""
        return [] if self._styled is None else list(preset_files())

    @property
    def _styled(self) -> int | None:
        """Index of the effect whose preset is changed."""
        kinds = (EFFECTS["style"],)
        return next((i for i, effect in enumerate(self._effects) if isinstance(effect, kinds)), None)

    def values(self) -> dict[str, object]:
        """The current value of each control, and `preset` and `fade`."""
        with self._lock:
            values: dict[str, object] = {c.name: self._value(c) for c in self.controls.values()}
            if self._styled is not None:
                values[PRESET] = getattr(self._effects[self._styled], PRESET)
            return {**values, FADE: self._fade}

    def describe(self) -> list[dict[str, object]]:
        """The controls for an interface: name, range, value and help."""
        values = self.values()
        return [
            {"name": c.name, "low": c.low, "high": c.high, "value": values[c.name], "help": c.help}
            for c in self.controls.values()
        ]

    def change(self, wanted: Mapping[str, object]) -> None:
        """Change controls by name; `preset` is a name or a blend of names.

        Raises StreamfxError; then nothing changes.
        """
        with self._lock:
            effects, numbers, fade, preset = list(self._effects), {}, self._fade, False
            for name, value in wanted.items():
                if name == FADE:
                    fade = _number(name, value, 0.0, MAX_FADE)
                elif name == PRESET and self._styled is not None:
                    effects[self._styled] = _with_preset(effects[self._styled], value)
                    preset = True
                else:
                    control = self.control(name)
                    number = _number(name, value, control.low, control.high)
                    numbers[control.index, control.setting] = number
                    effects[control.index] = _with_number(effects[control.index], control.setting, number)
            self._effects, self._fade = effects, fade
            self._numbers |= numbers
            self._preset_changed |= preset

    def control(self, name: str) -> Control:
        """The control called `name`. Raises StreamfxError."""
        if name not in self.controls:
            raise unknown("control", name, [*self.controls, FADE, *([PRESET] if self._styled is not None else [])])
        return self.controls[name]

    def take(self) -> Change | None:
        """The changes since the last call; None without any."""
        with self._lock:
            if not self._numbers and not self._preset_changed:
                return None
            change = Change(self._numbers, list(self._effects), self._preset_changed, self._fade)
            self._numbers, self._preset_changed = {}, False
            return change

    def effects(self) -> list[Effect]:
        """The effects with their current settings."""
        with self._lock:
            return list(self._effects)

    def _value(self, control: Control) -> float:
        value: float = getattr(self._effects[control.index], control.setting)
        return value


def _controls(effects: Sequence[Effect]) -> Iterable[Control]:
    found = []
    names = {kind: name for name, kind in EFFECTS.items()}
    for index, effect in enumerate(effects):
        kind = plain_kind(effect)
        if kind not in names:
            continue  # FFmpeg filters
        for setting in settings(kind):
            if setting.type is float and setting.name not in _FIXED and setting.low is not None and setting.high:
                found.append((names[kind], index, setting))
    shared = [setting.name for _, _, setting in found]
    for effect_name, index, setting in found:
        name = setting.name if shared.count(setting.name) == 1 else f"{effect_name}.{setting.name}"
        if sum(other == effect_name and s.name == setting.name for other, _, s in found) > 1:
            name = f"{effect_name}{index + 1}.{setting.name}"
        assert setting.low is not None
        assert setting.high is not None
        yield Control(name, index, setting.name, setting.low, setting.high, setting.help)


def _number(name: str, value: object, low: float, high: float) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not low <= number <= high:
        raise StreamfxError(f"{name} is {value!r}, but must be a number from {low:g} to {high:g}")
    return number


def _with_number(effect: Effect, setting: str, value: float) -> Effect:
    schedules = getattr(effect, "schedules", None)
    changed: dict[str, Any] = {setting: value}
    if schedules:
        changed["schedules"] = tuple(pair for pair in schedules if pair[0] != setting)
    copy: Effect = replace(effect, **changed)  # type: ignore[type-var]
    return copy


def _with_preset(effect: Effect, value: object) -> Effect:
    if not isinstance(value, str) or ".toml" in value:
        raise StreamfxError(f"preset is {value!r}, but must be the name of a preset, or a blend of names")
    known = preset_files()
    for name, _ in parse_blend(value):
        if name not in known:
            raise unknown("preset", name, known)
    copy: Effect = replace(effect, preset=value)  # type: ignore[type-var]
    return copy
