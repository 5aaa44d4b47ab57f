"""Parses and formats chains as text: FFmpeg's filtergraph syntax extended with our effects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streamfx.effects import EFFECTS
from streamfx.errors import ParseError, StreamfxError, unknown
from streamfx.frame import Effect
from streamfx.media.filters.effect import Filters
from streamfx.media.filters.graph import AUDIO_FILTERS, Filter, available_filters
from streamfx.settings import Setting, settings

SPACE = " \n\t\r"
GRAPH_ENDS = frozenset(("in", "out", "0:v", "0"))  # labels of the whole graph's input and output


def build_chain(text: str, audio: Sequence[str] = ()) -> list[Effect]:
    """Parse a chain such as "fps=24,style=vangogh:strength=.8,hue=s=1.2"; an empty text gives an empty list.

    Labels, quoting and escaping follow FFmpeg's filtergraph syntax. Adjacent FFmpeg filters become one `Filters`; our
    effects may not appear where a label is open. A numeric setting may be a schedule, which contains parentheses and
    writes its colons as `\\:`: "style=vangogh:strength=0\\:(0), 50\\:(1)". `audio` names the variables of
    live audio that schedules may use. Raises StreamfxError on invalid text.
    """
    chain: list[Effect] = []
    filters: list[Filter] = []
    for offset, node in _Parser(text).filters():
        try:
            if node.name in EFFECTS:
                effect = _build_effect(node, audio)
                _check_links(filters, node)
                chain += [Filters(tuple(filters)), effect] if filters else [effect]
                filters = []
            elif node.starts_chain and chain and not filters:
                raise _not_linkable(type(chain[-1]).__name__.lower(), "before")
            else:
                filters.append(node)
        except StreamfxError as error:
            raise ParseError(str(error), text, offset) from error
    return [*chain, Filters(tuple(filters))] if filters else chain


def chain_nodes(text: str) -> list[tuple[int, Filter]]:
    """The filters and effects of a chain as written, each with the offset at which it starts; nothing is built.

    Raises ParseError.
    """
    return list(_Parser(text).filters())


def chain_text(chain: Iterable[Effect]) -> str:
    """The text from which `build_chain` builds this chain; settings with default values are omitted."""
    names = EFFECTS.names()
    parts = []
    for effect in chain:
        if isinstance(effect, Filters):
            parts.append(str(effect))
            continue
        kind = next((kind for kind in type(effect).__mro__ if kind in names), None)  # schedules make a subclass
        if kind is None:  # it has no chain syntax
            parts.append(effect.describe() if hasattr(effect, "describe") else type(effect).__qualname__)
            continue
        schedules = dict(getattr(effect, "schedules", ()))
        values = ((s, schedules.get(s.name, getattr(effect, s.name))) for s in settings(kind))
        changed = [f"{s.name}={_escape(_format(value))}" for s, value in values if s.required or value != s.default]
        parts.append(str(Filter(names[kind], ":".join(changed))))
    return ",".join(parts)


def _format(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _escape(value: str) -> str:
    """Escape `value` for the second level of FFmpeg's unescaping."""
    value = re.sub(r"([\\':])", r"\\\1", value)
    return re.sub(r"^\s|\s$", lambda space: f"'{space[0]}'", value)


def _open_labels(run: Sequence[Filter]) -> list[str]:
    outputs = [label for node in run for label in node.outputs]
    inputs = [label for node in run for label in node.inputs]
    return sorted(set(outputs).symmetric_difference(inputs) - GRAPH_ENDS)


def _check_links(filters: Sequence[Filter], node: Filter) -> None:
    """Raise StreamfxError if a label is open, or a ';' is written, between `filters` and our effect after them."""
    if node.starts_chain:
        raise _not_linkable(node.name, "after")
    if labels := _open_labels(filters):
        raise StreamfxError(f"the label [{labels[0]}] is still open at {node.name}; connect it before {node.name}")


def _not_linkable(name: str, side: str) -> StreamfxError:
    return StreamfxError(f"{name} cannot come {side} a ';', which separates chains of filters; write ',' instead")


def _build_effect(node: Filter, audio: Sequence[str]) -> Effect:
    """Build our effect; options are parsed as in FFmpeg: values in the order of the fields, then key=value."""
    name = node.name
    if node.inputs or node.outputs:
        raise StreamfxError(f"{name} takes no labels; only FFmpeg filters can be linked by labels")
    known = settings(EFFECTS[name])
    given: dict[str, Any] = {}
    named = False
    for key, value in _options(node):
        if key is None:
            if named:
                raise StreamfxError(f"{name}: '{value}' has no name; after a key=value setting, all need a name")
            if len(given) == len(known):
                allowed = ", ".join(setting.name for setting in known)
                raise StreamfxError(f"{name} takes {allowed or 'no settings'}; remove the extra value '{value}'")
            setting = known[len(given)]
        else:
            named = True
            match = [setting for setting in known if setting.name == key]
            if not match:
                raise unknown(f"setting of {name}", key, (setting.name for setting in known))
            setting = match[0]
        if setting.name in given:
            raise StreamfxError(f"{name}: {setting.name} is given twice")
        given[setting.name] = _parse_value(name, setting, value)
    missing = [setting.name for setting in known if setting.required and setting.name not in given]
    if missing:
        raise StreamfxError(f"{name} needs {', '.join(missing)}")
    return _construct_effect(name, given, audio)


def _construct_effect(name: str, given: dict[str, Any], audio: Sequence[str]) -> Effect:
    texts = {key: value for key, value in given.items() if isinstance(value, _ScheduleText)}
    if not texts:
        return EFFECTS[name](**given)

    from streamfx.animation.schedule import parse_schedule
    from streamfx.effects.scheduled import with_schedules

    constants = {key: value for key, value in given.items() if key not in texts}
    schedules = {key: parse_schedule(text, f"{name}, {key}") for key, text in texts.items()}
    return with_schedules(EFFECTS[name], constants, schedules, audio)


class _ScheduleText(str):
    """The text of a schedule, not yet parsed."""


def _options(node: Filter) -> Iterable[tuple[str | None, str]]:
    """The key (None if omitted) and value of each option, split as in av_opt_get_key_value."""
    rest = _Cursor(node.options)
    while rest.more():
        start = rest.at
        key = re.compile(r"[ \n\t\r]*([A-Za-z0-9_./-]+)[ \n\t\r]*=").match(rest.text, start)
        if key:
            rest.at = key.end()
        yield (key[1] if key else None), rest.token(":")
        if rest.more():
            rest.at += 1  # the ":"


def _parse_value(effect: str, setting: Setting, value: str) -> Any:
    return _ScheduleText(value) if setting.schedulable and "(" in value else setting.read(effect, value)


@dataclass(slots=True)
class _Cursor:
    """A reading position in a text."""

    text: str
    at: int = 0

    def more(self) -> bool:
        return self.at < len(self.text)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip_space(self) -> None:
        while self.more() and self.peek() in SPACE:
            self.at += 1

    def error(self, reason: str, at: int | None = None) -> ParseError:
        at = self.at if at is None else at
        near = f", at '{self.text[at : at + 20]}'" if at < len(self.text) else ", at the end"
        return ParseError(f"chain, character {at + 1}{near}: {reason}", self.text, at)

    def token(self, ends: str) -> str:
        """The text up to one of `ends` with one level of quoting and escaping removed, as in av_get_token."""
        self.skip_space()
        chars: list[str] = []
        kept = 0  # leading characters that are exempt from trimming: escaped or quoted
        while self.more() and self.peek() not in ends:
            char = self.peek()
            self.at += 1
            if char == "\\" and self.more():
                chars.append(self.peek())
                self.at += 1
                kept = len(chars)
            elif char == "'":
                close = self.text.find("'", self.at)
                if close < 0:
                    raise self.error("this quote is not closed", self.at - 1)
                chars.extend(self.text[self.at : close])
                self.at = close + 1
                kept = len(chars)
            else:
                chars.append(char)
        while len(chars) > kept and chars[-1] in SPACE:
            chars.pop()
        return "".join(chars)


class _Parser(_Cursor):
    """Parses FFmpeg's filtergraph grammar."""

    __slots__ = ()

    def filters(self) -> Iterable[tuple[int, Filter]]:
        """Each filter, and the offset at which it starts."""
        starts_chain = False
        self.skip_space()
        while self.more():
            offset = self.at
            yield offset, self._filter(starts_chain)
            self.skip_space()
            if not self.more():
                return
            if self.peek() not in ",;":
                raise self.error("expected ',', ';' or the end")
            starts_chain = self.peek() == ";"
            self.at += 1
            self.skip_space()
            if not self.more():
                raise self.error("expected a filter")

    def _filter(self, starts_chain: bool) -> Filter:
        inputs = self._labels()
        start = self.at
        name, at, id_ = self.token("=,;[").partition("@")
        if name == "sws_flags":
            raise self.error("sws_flags is not supported for a whole chain; write scale=...:flags=...", start)
        if not name:
            raise self.error("expected a filter", start)
        if name in AUDIO_FILTERS:
            raise self.error(f"{name} is an audio filter; chains take video filters only", start)
        if name not in EFFECTS and name not in available_filters():
            problem = unknown("filter", name, available_filters() | EFFECTS.keys())
            raise ParseError(str(problem), self.text, start)
        if at and not re.fullmatch(r"\w+", id_):
            raise self.error(f"the name after {name}@ may contain only letters, digits and _", start)
        options = ""
        if self.peek() == "=":
            self.at += 1
            options = self.token("[],;")
        return Filter(name, options, inputs, self._labels(), id_, starts_chain)

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
