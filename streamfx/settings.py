"""Settings of effects, each declared once: type, range, help and default at a dataclass field.

strength: Annotated[float, Ge(0), Le(1), Doc("Share of the stylized frame in the output")] = 1.0

Validation, chain syntax, command line, schedules and the reference docs all read the declaration here.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from fractions import Fraction
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le
from typing_extensions import Doc

from streamfx.errors import StreamfxError, unknown

Quality: TypeAlias = Literal["fine", "fast"]  # of a style network
QUALITIES: tuple[Quality, ...] = get_args(Quality)

_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Fraction: "a fraction"}


class _Schedulable:
    """Marks an integer setting that may have a schedule; floats always may."""


SCHEDULABLE: Final = _Schedulable()


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of an effect."""

    name: str
    type: type  # bool, int, float, str or Fraction; other types are not checked
    default: Any  # None where `required`
    required: bool
    low: float | None  # the smallest allowed value
    high: float | None
    choices: tuple[str, ...]  # the allowed words; empty for any
    schedulable: bool  # whether it may have a schedule
    help: str

    @property
    def range(self) -> str:
        """The allowed values as text, such as "0..1"; empty if all are allowed."""
        if self.choices:
            return ", ".join(self.choices)
        return "" if self.low is None or self.high is None else f"{self.low:g}..{self.high:g}"

    def check(self, effect: str, value: object) -> None:
        """Raise StreamfxError if `value` is not allowed; `effect` is the name of the effect in the message."""
        if self.choices:
            if value not in self.choices:
                raise unknown(f"{self.name} of {effect}", str(value), self.choices)
            return
        allowed = {bool: bool, int: int, float: int | float, str: str, Fraction: int | Fraction}.get(self.type)
        if allowed is None:
            return
        fits = isinstance(value, allowed) and (self.type is bool or not isinstance(value, bool))
        if fits and (self.low is None or value >= self.low) and (self.high is None or value <= self.high):  # type: ignore[operator]
            return
        shown = str(value) if isinstance(value, Fraction) else repr(value)
        bounds = "" if self.low is None or self.high is None else f" from {self.low:.10g} to {self.high:.10g}"
        raise StreamfxError(f"{effect}: {self.name} is {shown}, but must be {_KINDS[self.type]}{bounds}")

    def read(self, effect: str, text: str) -> Any:
        """The value parsed from `text`. Raises StreamfxError for text of another type; ranges are not checked."""
        try:
            return _BOOLEANS[text.lower()] if self.type is bool else self.type(text)
        except (ValueError, KeyError, ZeroDivisionError) as error:
            raise StreamfxError(f"{effect}: {self.name} is '{text}', but must be {_KINDS[self.type]}") from error


_settings: dict[type[Any], tuple[Setting, ...]] = {}  # cached by class: schedules check them at every frame


def settings(effect: type[Any]) -> tuple[Setting, ...]:
    """The settings of an effect class, in the order of its fields, which is that of unnamed values in a chain."""
    if effect not in _settings:
        hints = get_type_hints(effect, include_extras=True)
        _settings[effect] = tuple(_setting(field.name, hints[field.name], field.default) for field in fields(effect))
    return _settings[effect]


def check(effect: object) -> None:
    """Raise StreamfxError for the first invalid setting of `effect`, an instance."""
    name = type(effect).__name__.lower()
    for setting in settings(type(effect)):
        setting.check(name, getattr(effect, setting.name))


def _setting(name: str, hint: Any, default: Any) -> Setting:
    kind, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    kind = str if choices else kind
    low = next((float(item.ge) for item in metadata if isinstance(item, Ge)), None)  # type: ignore[arg-type]
    high = next((float(item.le) for item in metadata if isinstance(item, Le)), None)  # type: ignore[arg-type]
    text = next((item.documentation for item in metadata if isinstance(item, Doc)), "")
    schedulable = kind is float or SCHEDULABLE in metadata
    required = default is MISSING
    return Setting(name, kind, None if required else default, required, low, high, choices, schedulable, text)
