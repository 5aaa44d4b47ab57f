"""Timelines: a film as a TOML file of sections, read and checked, with the line and key of each mistake."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamfx.animation.timeline.schema import (
    KINDS,
    Clear,
    Dreamed,
    Fade,
    Guide,
    Merge,
    Part,
    Picture,
    Ring,
    Script,
    Section,
    Turn,
)
from streamfx.animation.timeline.source_location import Place, find_places
from streamfx.errors import StreamfxError, unknown
from streamfx.media.path_sandbox import check_source

LARGEST = 1_000_000  # bytes
MOST = 1000  # sections
_COLOR = re.compile("#[0-9a-fA-F]{6}")

_TABLES: dict[str, type[Part]] = {  # keys whose tables are checked by themselves
    "guide": Guide,
    "ring": Ring,
    "clear": Clear,
    "fade": Fade,
    "layer": Turn,
    "pictures": Picture,
}


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """A timeline's file. `places` tells where each of its keys stands, `folders` where its files may lie."""

    path: Path
    text: str
    script: Script
    sections: tuple[Section, ...]
    places: Mapping[Place, int] = field(repr=False)
    folders: tuple[Path, ...]
    network: bool = False  # whether pictures and sound may come from URLs

    def number(self, name: str) -> int | None:
        """The number of the section called `name`."""
        return next((number for number, section in enumerate(self.sections) if section.name == name), None)

    def error(self, place: Place, reason: str) -> StreamfxError:
        """One line: the file, the line and the key of a mistake."""
        return _error(self.path, self.places, place, reason)

    def file(self, name: str, place: Place) -> str:
        """The path of a file that the timeline names. Raises StreamfxError where it is missing or may not be read."""
        try:
            source = check_source(name, self.path.parent, network=self.network)
        except StreamfxError as error:
            raise self.error(place, str(error)) from error
        if "://" in name:
            return source
        outside = False
        for folder in self.folders:
            found = (folder / name).resolve()
            if not found.is_relative_to(folder.resolve()):
                outside = True
            elif found.is_file():
                return str(found)
        where = " or ".join(f"'{folder}'" for folder in self.folders)
        if outside:
            raise self.error(place, f"'{name}' lies outside of {where}; put it there, or name its folder by --assets")
        raise self.error(place, f"there is no file '{name}' in {where}; name its folder by --assets")


def load_timeline(path: Path, assets: Path | None = None, *, network: bool = False) -> Timeline:
    """The timeline in the file `path`; its pictures lie beside it, or in `assets`. Raises StreamfxError."""
    try:
        data = path.read_bytes()
        text = data.decode()
        values = tomllib.loads(text) if len(data) <= LARGEST else None
    except OSError as error:
        raise StreamfxError(f"cannot read the timeline '{path}': {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise StreamfxError(f"the timeline '{path}' is not TOML: {str(error) or 'too many levels'}") from error
    if values is None:
        raise StreamfxError(f"the timeline '{path}' has {len(data)} bytes; give at most {LARGEST}")
    if assets is not None and not assets.is_dir():
        raise StreamfxError(f"there is no folder '{assets}'; --assets names one with the timeline's pictures")
    if values.get("kind") == "style":
        raise StreamfxError(f"'{path}' is a style: streamfx style in.mp4 out.mp4 --preset '{path}'")
    places = find_places(text)
    try:
        script = Script.model_validate(values)
    except ValidationError as error:
        raise _problem(path, places, (), error, Script, values) from error
    if len(script.section) > MOST:
        raise StreamfxError(f"the timeline '{path}' has {len(script.section)} sections; give at most {MOST}")
    sections = tuple(_section(path, places, number, script) for number in range(len(script.section)))
    folders = (path.parent,) if assets is None else (assets, path.parent)
    timeline = Timeline(path, text, script, sections, places, folders, network)
    _check(timeline)
    return timeline


def _section(path: Path, places: Mapping[Place, int], number: int, script: Script) -> Section:
    values = script.section[number]
    kind = values.get("kind", "dream")
    if not isinstance(kind, str) or kind not in KINDS:
        reason = str(unknown("kind of section", str(kind), KINDS))
        raise _error(path, places, ("section", number, "kind"), reason)
    model = KINDS[kind]
    names = {name for each in KINDS.values() for name in _names(each)}
    for name in script.defaults:
        if name not in names:
            raise _error(path, places, ("defaults", name), str(unknown("key", name, names)))
    own = set(_names(model))
    usual = {name: value for name, value in script.defaults.items() if name in own and name not in values}
    try:
        made: Any = model.model_validate({**usual, **values})
    except ValidationError as error:
        at = error.errors()[0]["loc"]
        inherited = bool(at) and at[0] in usual
        above: Place = ("defaults",) if inherited else ("section", number)
        raise _problem(path, places, above, error, model, {**usual, **values}) from error
    section: Section = made
    return section


def _names(model: type[Part]) -> list[str]:
    return [each.alias or name for name, each in model.model_fields.items()]


def _problem(
    path: Path,
    places: Mapping[Place, int],
    above: Place,
    error: ValidationError,
    model: type[Part],
    values: Mapping[str, Any],
) -> StreamfxError:
    """The mistake that pydantic found deepest within the file, in one line."""
    problem = max(error.errors(), key=lambda each: len(_within(each["loc"], values)))
    own = _within(problem["loc"], values)
    place: Place = (*above, *own)
    key = str(own[-1]) if own else ""
    if problem["type"] == "extra_forbidden":
        inner = [_TABLES[each] for each in own[:-1] if isinstance(each, str) and each in _TABLES]
        return _error(path, places, place, str(unknown("key", key, _names(inner[0] if inner else model))))
    if problem["type"] == "missing":
        return _error(path, places, place, f"the key '{key}' is missing")
    message = problem["msg"][0].lower() + problem["msg"][1:]
    given = problem["input"]
    shown = f"; it is {given!r}" if isinstance(given, str | int | float | bool) else ""
    return _error(path, places, place, message + shown)


def _within(place: Place, values: Any) -> Place:
    """The keys of a place without the names of kinds that pydantic puts between them."""
    found: list[str | int] = []
    for at, each in enumerate(place):
        there = each in values if isinstance(values, dict) else isinstance(values, list) and isinstance(each, int)
        if there or (isinstance(values, dict) and at == len(place) - 1):  # the last one may be missing
            found.append(each)
            values = values[each] if there else None
    return tuple(found)


def _error(path: Path, places: Mapping[Place, int], place: Place, reason: str) -> StreamfxError:
    if len(place) > 2 and place[0] == "section" and place[:3] not in places and ("defaults", place[2]) in places:
        place = ("defaults", *place[2:])  # the section has it from there
    known: Place = place
    while known and known not in places:  # of a key that is missing, the table; of a union's branch, the key
        known = known[:-1]
    line = f", line {places[known]}" if known in places else ""
    key = ""
    for each in place[: max(len(known), 1)]:
        key += f"[{each + 1}]" if isinstance(each, int) else f".{each}" if key else each
    return StreamfxError(f"{path.name}{line}, {key}: {reason}" if key else f"{path.name}: {reason}")


def _check(timeline: Timeline) -> None:
    """Raise StreamfxError for names that are given twice, or mean nothing."""
    pictures = timeline.script.pictures
    seen: dict[str, int] = {}
    for number, section in enumerate(timeline.sections):
        if section.name in seen or section.name in pictures:
            other = "a picture" if section.name in pictures else f"section {seen[section.name] + 1}"
            raise timeline.error(("section", number, "name"), f"'{section.name}' is the name of {other} too")
        seen[section.name] = number
    for number, section in enumerate(timeline.sections):
        for at, fade in enumerate(section.fade):
            if fade.to.startswith("#") and not _COLOR.fullmatch(fade.to):
                raise timeline.error(
                    ("section", number, "fade", at, "to"), f"'{fade.to}' is no colour; write it like #rrggbb"
                )
        for place, name, allowed in _references(timeline, section):
            if name not in allowed:
                raise timeline.error(("section", number, *place), str(unknown("name", name, allowed)))
        if section.end_at is not None and section.length is not None:
            raise timeline.error(("section", number, "length"), "give 'to' or 'length', not both")


def _references(timeline: Timeline, section: Section) -> Iterable[tuple[Place, str, Sequence[str]]]:
    """(key, name, what may stand there) of the pictures and sections that a section names."""
    pictures = list(timeline.script.pictures)
    names = [each.name for each in timeline.sections if isinstance(each, Dreamed) and each is not section]
    for at, fade in enumerate(section.fade):
        if not fade.to.startswith("#"):
            yield ("fade", at, "to"), fade.to, ["black", "white", *pictures]
    if isinstance(section, Merge):
        for at, name in enumerate(section.of):
            yield ("of", at), name, names
    elif isinstance(section, Dreamed):
        yield ("start",), section.start, [*pictures, *names]
        for at, guide in enumerate(section.guide):
            for which, name in enumerate(guide.pictures):
                yield ("guide", at, "pictures", which), name, pictures
    else:
        yield ("picture",), section.picture, pictures
