"""Chains as text: FFmpeg's filtergraph syntax, with our effects among its filters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streamfx.effects import EFFECTS
from streamfx.errors import StreamfxError, unknown
from streamfx.frame import Effect
from streamfx.media.filters.effect import Filters
from streamfx.media.filters.graph import SOUND_FILTERS, Filter, available_filters
from streamfx.settings import Setting, settings

SPACE = " \n\t\r"
ENDS = frozenset(("in", "out", "0:v", "0"))  # labels of a graph's own input and output


def build_chain(text: str) -> list[Effect]:
    """The effects that `text` names, e.g. "fps=24,style=vangogh:strength=.8,hue=s=1.2"; none for an empty text.

    Labels, quoting and escaping are those of FFmpeg's filtergraphs. Neighbouring filters of FFmpeg become one
    `Filters`; an effect of ours stands where no label is open. A setting that is a number may be a schedule, which has
    parentheses, and `\\:` for its colons: "style=vangogh:strength=0\\:(0), 50\\:(1)". Raises StreamfxError that names
    the mistake.
    """
    chain: list[Effect] = []
    run: list[Filter] = []
    for written in _Parser(text).filters():
        if written.name not in EFFECTS:
            if not run and chain and written.apart:
                raise _unlinked(chain[-1], "in front of")
            run.append(written)
            continue
        effect = _build_effect(written)
        if written.apart:
            raise _unlinked(effect, "behind")
        open_labels = _open_labels(run)
        if open_labels:
            raise StreamfxError(f"{written.name} stands where the label [{open_labels[0]}] is open; close it before")
        if run:
            chain.append(Filters(tuple(run)))
            run = []
        chain.append(effect)
    return [*chain, Filters(tuple(run))] if run else chain


def chain_text(chain: Iterable[Effect]) -> str:
    """The text that `build_chain` makes this chain from; settings at their defaults are left out."""
    names = {kind: name for name, kind in EFFECTS.items()}
    parts = []
    for effect in chain:
        if isinstance(effect, Filters):
            parts.append(str(effect))
            continue
        kind = next(kind for kind in type(effect).__mro__ if kind in names)  # one with schedules is a kind of its own
        schedules = dict(getattr(effect, "schedules", ()))
        values = ((setting, schedules.get(setting.name, getattr(effect, setting.name))) for setting in settings(kind))
        changed = [f"{s.name}={_escaped(_text(value))}" for s, value in values if s.required or value != s.default]
        parts.append(str(Filter(names[kind], ":".join(changed))))
    return ",".join(parts)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _escaped(value: str) -> str:
    """`value` so that the second level of FFmpeg's unescaping gives it back."""
    value = re.sub(r"([\\':])", r"\\\1", value)
    return re.sub(r"^\s|\s$", lambda space: f"'{space[0]}'", value)


def _open_labels(run: Sequence[Filter]) -> list[str]:
    made = [label for node in run for label in node.outputs]
    used = [label for node in run for label in node.inputs]
    return sorted(set(made).symmetric_difference(used) - ENDS)


def _unlinked(effect: Effect, side: str) -> StreamfxError:
    name = type(effect).__name__.lower()
    return StreamfxError(f"{name} cannot stand {side} a ';', which ends a row of linked filters; write ',' there")


def _build_effect(written: Filter) -> Effect:
    """Our effect with its options as FFmpeg would read them: values in the order of the fields, then key=value."""
    name = written.name
    if written.inputs or written.outputs:
        raise StreamfxError(f"{name} takes no labels; they link FFmpeg's filters with each other")
    known = settings(EFFECTS[name])
    given: dict[str, Any] = {}
    named = False
    for key, value in _options(written):
        if key is None:
            if named:
                raise StreamfxError(f"{name}: '{value}' has no name, but stands behind a setting with one")
            if len(given) == len(known):
                allowed = ", ".join(setting.name for setting in known)
                raise StreamfxError(f"{name} takes {allowed or 'no settings'}; '{value}' is one value too many")
            setting = known[len(given)]
        else:
            named = True
            match = [setting for setting in known if setting.name == key]
            if not match:
                raise unknown(f"setting of {name}", key, (setting.name for setting in known))
            setting = match[0]
        if setting.name in given:
            raise StreamfxError(f"{name}: {setting.name} is given twice")
        given[setting.name] = _read(name, setting, value)
    missing = [setting.name for setting in known if setting.required and setting.name not in given]
    if missing:
        raise StreamfxError(f"{name} needs {', '.join(missing)}")
    return _effect(name, given)


def _effect(name: str, given: dict[str, Any]) -> Effect:
    written = {key: value for key, value in given.items() if isinstance(value, _Written)}
    if not written:
        return EFFECTS[name](**given)

    from streamfx.animation.schedule import parse_schedule
    from streamfx.effects.scheduled import with_schedules

    plain = {key: value for key, value in given.items() if key not in written}
    schedules = {key: parse_schedule(text, f"{name}, {key}") for key, text in written.items()}
    return with_schedules(EFFECTS[name], plain, schedules)


class _Written(str):
    """A schedule, not yet read."""


def _options(written: Filter) -> Iterable[tuple[str | None, str]]:
    """The key (None: not written) and value of each option, as av_opt_get_key_value splits them."""
    rest = _Cursor(written.options)
    while rest.more():
        start = rest.at
        found = re.compile(r"[ \n\t\r]*([A-Za-z0-9_./-]+)[ \n\t\r]*=").match(rest.text, start)
        if found:
            rest.at = found.end()
        yield (found[1] if found else None), rest.token(":")
        if rest.more():
            rest.at += 1  # the ":"


def _read(effect: str, setting: Setting, value: str) -> Any:
    return _Written(value) if setting.schedulable and "(" in value else setting.read(effect, value)


@dataclass(slots=True)
class _Cursor:
    """A place in a text."""

    text: str
    at: int = 0

    def more(self) -> bool:
        return self.at < len(self.text)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip_space(self) -> None:
        while self.more() and self.peek() in SPACE:
            self.at += 1

    def error(self, reason: str, at: int | None = None) -> StreamfxError:
        at = self.at if at is None else at
        near = f", at '{self.text[at : at + 20]}'" if at < len(self.text) else ", at the end"
        return StreamfxError(f"chain, character {at + 1}{near}: {reason}")

    def token(self, ends: str) -> str:
        """The text up to one of `ends` with one level of quoting and escaping removed, as av_get_token does it."""
        self.skip_space()
        taken: list[str] = []
        kept = 0  # characters that trailing space may not be cut from
        while self.more() and self.peek() not in ends:
            char = self.peek()
            self.at += 1
            if char == "\\" and self.more():
                taken.append(self.peek())
                self.at += 1
                kept = len(taken)
            elif char == "'":
                close = self.text.find("'", self.at)
                if close < 0:
                    raise self.error("this quote is not closed", self.at - 1)
                taken.extend(self.text[self.at : close])
                self.at = close + 1
                kept = len(taken)
            else:
                taken.append(char)
        while len(taken) > kept and taken[-1] in SPACE:
            taken.pop()
        return "".join(taken)


class _Parser(_Cursor):
    """The grammar of filtergraphs."""

    __slots__ = ()

    def filters(self) -> Iterable[Filter]:
        apart = False
        self.skip_space()
        while self.more():
            yield self._filter(apart)
            self.skip_space()
            if not self.more():
                return
            if self.peek() not in ",;":
                raise self.error("expected ',' or ';' or the end")
            apart = self.peek() == ";"
            self.at += 1
            self.skip_space()
            if not self.more():
                raise self.error("expected a filter")

    def _filter(self, apart: bool) -> Filter:
        inputs = self._labels()
        start = self.at
        name, at, id_ = self.token("=,;[").partition("@")
        if name == "sws_flags":
            raise self.error("sws_flags hold for no whole chain here; write scale=...:flags=...", start)
        if not name:
            raise self.error("expected a filter", start)
        if name in SOUND_FILTERS:
            raise self.error(f"{name} works on sound, a chain on pictures", start)
        if name not in EFFECTS and name not in available_filters():
            raise unknown("filter", name, available_filters() | EFFECTS.keys())
        if at and not re.fullmatch(r"\w+", id_):
            raise self.error(f"the name behind {name}@ must be letters, digits and _", start)
        options = ""
        if self.peek() == "=":
            self.at += 1
            options = self.token("[],;")
        return Filter(name, options, inputs, self._labels(), id_, apart)

    def _labels(self) -> tuple[str, ...]:
        labels = []
        while self.peek() == "[":
            start = self.at
            self.at += 1
            label = self.token("]")
            if not label or not self.more():
                raise self.error("an empty label" if self.more() else "this label is not closed by ']'", start)
            self.at += 1
            self.skip_space()
            labels.append(label)
        return tuple(labels)
