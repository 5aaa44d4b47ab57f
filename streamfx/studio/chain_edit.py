"""Changes to a chain as text: one setting, an effect more or less, and where an error is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from streamfx.chain import build_chain, chain_text
from streamfx.effects import EFFECTS
from streamfx.errors import ParseError, StreamfxError
from streamfx.frame import Effect
from streamfx.media.filters.effect import Filters
from streamfx.media.filters.graph import filter_descriptions
from streamfx.media.path_sandbox import SAFE_FILTERS
from streamfx.settings import Setting, settings
from streamfx.studio.library import Library
from streamfx.studio.render_command import check_chain


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in a chain, and the index of the character at fault; None if it is not known."""

    message: str
    offset: int | None


@dataclass(frozen=True, slots=True)
class Part:
    """An effect of a chain, or consecutive FFmpeg filters."""

    name: str  # of the effect; "" for filters
    label: str  # short text for the page
    effect: Effect

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings of an effect; empty for filters."""
        return settings(EFFECTS[self.name]) if self.name else ()

    def value(self, setting: Setting) -> Any:
        """The value of a setting; the text of its schedule if it has one."""
        schedules = dict(getattr(self.effect, "schedules", ()))
        return str(schedules[setting.name]) if setting.name in schedules else getattr(self.effect, setting.name)


def parts_of(text: str) -> list[Part]:
    """The parts of a chain. Raises StreamfxError."""
    parts = []
    names = {kind: name for name, kind in EFFECTS.items()}
    for effect in build_chain(text):
        name = next((names[kind] for kind in type(effect).__mro__ if kind in names), "")
        preset = getattr(effect, "preset", "")
        label = f"{name} · {preset}" if preset else name or str(effect)
        parts.append(Part(name, label if len(label) <= 40 else f"{label[:38]}…", effect))
    return parts


def find_problem(text: str, library: Library) -> Problem | None:
    """What is wrong with a chain, or None."""
    try:
        check_chain(text, library)
    except ParseError as error:
        return Problem(str(error), error.offset)
    except StreamfxError as error:
        return Problem(str(error), None)
    return None


def with_setting(text: str, index: int, name: str, value: Any) -> str:
    """The chain with another value of a setting of part `index`; it replaces a schedule. Raises StreamfxError."""
    return with_settings(text, index, {name: value})


def with_settings(text: str, index: int, values: dict[str, Any]) -> str:
    """The chain with other values of settings of part `index`. Raises StreamfxError."""
    effects = build_chain(text)
    effect = effects[index]
    schedules = tuple(item for item in getattr(effect, "schedules", ()) if item[0] not in values)
    changes = values | ({"schedules": schedules} if hasattr(effect, "schedules") else {})
    effects[index] = replace(effect, **changes)  # type: ignore[type-var]
    return chain_text(effects)


def with_part(text: str, addition: str) -> str:
    """The chain with an effect or filter at its end. Raises StreamfxError."""
    chain = f"{text.strip().rstrip(',')},{addition}" if text.strip() else addition
    build_chain(chain)
    return chain


def without_part(text: str, index: int) -> str:
    """The chain without part `index`; empty if it was the only one."""
    effects = build_chain(text)
    del effects[index]
    return chain_text(_joined(effects))


def with_preset(text: str, preset: str) -> str:
    """The chain with its first style in another preset; a style is put in front if there is none."""
    for index, part in enumerate(parts_of(text)):
        if part.name == "style":
            return with_settings(text, index, {"preset": preset})
    return f"style={preset}" + (f",{text}" if text.strip() else "")


def find_style(text: str) -> tuple[int, Part] | None:
    """The first style of a chain and its index. Raises StreamfxError for an invalid chain."""
    return next(((index, part) for index, part in enumerate(parts_of(text)) if part.name == "style"), None)


@cache
def safe_filters() -> dict[str, str]:
    """The FFmpeg filters that the studio takes, each with FFmpeg's one-line description."""
    return {name: text for name, text in filter_descriptions().items() if name in SAFE_FILTERS}


def search_filters(words: str, limit: int = 40) -> list[tuple[str, str]]:
    """Filters whose name or description contains all words, those with a match in the name first."""
    parts = words.lower().split()
    found = [item for item in safe_filters().items() if all(part in f"{item[0]} {item[1]}".lower() for part in parts)]
    return sorted(found, key=lambda item: not all(part in item[0] for part in parts))[:limit]


def _joined(effects: Sequence[Effect]) -> list[Effect]:
    """The effects with adjacent FFmpeg filters in one group."""
    joined: list[Effect] = []
    for effect in effects:
        last = joined[-1] if joined else None
        if isinstance(effect, Filters) and isinstance(last, Filters):
            joined[-1] = Filters((*last.nodes, *effect.nodes))
        else:
            joined.append(effect)
    return joined
