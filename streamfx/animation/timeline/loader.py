"""Load timeline files: parse and validate the TOML, and report errors with line and key."""

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
    RENAMED,
    Clear,
    Document,
    DreamSection,
    Fade,
    Guide,
    LayerChange,
    MergeSection,
    Picture,
    Ring,
    Section,
    Table,
)
from streamfx.animation.timeline.source_location import SourceLocation, find_lines
from streamfx.errors import ParseError, StreamfxError, unknown
from streamfx.media.path_sandbox import check_source

MAX_BYTES = 1_000_000
MAX_SECTIONS = 1000
_COLOR = re.compile("#[0-9a-fA-F]{6}")

_TABLES: dict[str, type[Table]] = {  # key -> the schema of its tables
    "guide": Guide,
    "ring": Ring,
    "clear": Clear,
    "fade": Fade,
    "layer": LayerChange,
    "pictures": Picture,
}


@dataclass(frozen=True, slots=True)
class _Source:
    """A timeline's file, for errors that name the line and the key."""

    path: Path
    text: str
    lines: Mapping[SourceLocation, int]

    def error(self, location: SourceLocation, reason: str) -> ParseError:
        in_section = len(location) > 2 and location[0] == "section"
        if in_section and location[:3] not in self.lines and ("defaults", location[2]) in self.lines:
            location = ("defaults", *location[2:])  # the section inherits the key
        known: SourceLocation = location
        while known and known not in self.lines:  # a missing key has no line: use that of its table
            known = known[:-1]
        line = f", line {self.lines[known]}" if known in self.lines else ""
        key = ""
        for part in location[: max(len(known), 1)]:
            key += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if key else part
        message = f"{self.path.name}{line}, {key}: {reason}" if key else f"{self.path.name}: {reason}"
        return ParseError(message, self.text, _offset(self.text, self.lines.get(known, 1)))


def _offset(text: str, line: int) -> int:
    """The index in `text` of the first character of a line, counted from 1."""
    return sum(map(len, text.splitlines(keepends=True)[: line - 1]))


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """A timeline file. `lines` maps each key to its line, `folders` are searched for its files."""

    path: Path
    text: str
    document: Document
    sections: tuple[Section, ...]
    lines: Mapping[SourceLocation, int] = field(repr=False)
    folders: tuple[Path, ...]
    network: bool = False  # whether pictures and audio may come from URLs

    def section_number(self, name: str) -> int | None:
        """The number of the section called `name`."""
        return next((number for number, section in enumerate(self.sections) if section.name == name), None)

    def error(self, location: SourceLocation, reason: str) -> ParseError:
        """A one-line error with the file, line and key."""
        return _Source(self.path, self.text, self.lines).error(location, reason)

    def find_file(self, name: str, location: SourceLocation) -> str:
        """The path of a file named in the timeline. Raises StreamfxError if it is missing or not allowed."""
        try:
            source = check_source(name, self.path.parent, network=self.network)
        except StreamfxError as error:
            raise self.error(location, str(error)) from error
        if "://" in name:
            return source
        outside = False
        for folder in self.folders:
            file = (folder / name).resolve()
            if not file.is_relative_to(folder.resolve()):
                outside = True
            elif file.is_file():
                return str(file)
        where = " or ".join(f"'{folder}'" for folder in self.folders)
        if outside:
            raise self.error(location, f"'{name}' is outside {where}; move it there, or give its folder with --assets")
        raise self.error(location, f"no file '{name}' in {where}; give its folder with --assets")


def load_timeline(path: Path, assets: Path | None = None, *, network: bool = False) -> Timeline:
    """Load the timeline file `path`; its pictures are next to it, or in `assets`. Raises StreamfxError."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")  # editors of Windows add a byte order mark
        values = tomllib.loads(text) if len(data) <= MAX_BYTES else None
    except OSError as error:
        raise StreamfxError(f"cannot read the timeline '{path}': {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise StreamfxError(f"the timeline '{path}' is not valid TOML: {str(error) or 'nested too deeply'}") from error
    if values is None:
        raise StreamfxError(f"the timeline '{path}' has {len(data)} bytes; give at most {MAX_BYTES}")
    if assets is not None and not assets.is_dir():
        raise StreamfxError(f"no such folder: '{assets}'; give the folder of the timeline's pictures with --assets")
    if values.get("kind") == "style":
        raise StreamfxError(f"'{path}' is a style preset; use it with: streamfx style in.mp4 out.mp4 --preset '{path}'")
    lines = {tuple(RENAMED.get(key, key) for key in location): line for location, line in find_lines(text).items()}
    source = _Source(path, text, lines)
    try:
        document = Document.model_validate(values)
    except ValidationError as error:
        raise _validation_error(source, (), error, Document, values) from error
    if len(document.section) > MAX_SECTIONS:
        raise StreamfxError(f"the timeline '{path}' has {len(document.section)} sections; give at most {MAX_SECTIONS}")
    sections = tuple(_section(source, number, document) for number in range(len(document.section)))
    folders = (path.parent,) if assets is None else (assets, path.parent)
    timeline = Timeline(path, text, document, sections, lines, folders, network)
    _check(timeline)
    return timeline


def _section(source: _Source, number: int, document: Document) -> Section:
    tables = document.section[number], document.defaults
    values, defaults = ({RENAMED.get(key, key): value for key, value in table.items()} for table in tables)
    kind = values.get("kind", "dream")
    if not isinstance(kind, str) or kind not in KINDS:
        reason = str(unknown("kind of section", str(kind), KINDS))
        raise source.error(("section", number, "kind"), reason)
    model = KINDS[kind]
    all_keys = {key for table in KINDS.values() for key in _keys(table)}
    for key in defaults:
        if key not in all_keys:
            raise source.error(("defaults", key), str(unknown("key", key, all_keys)))
    own_keys = set(_keys(model))
    defaults = {key: value for key, value in defaults.items() if key in own_keys and key not in values}
    try:
        validated: Any = model.model_validate({**defaults, **values})
    except ValidationError as error:
        keys = error.errors()[0]["loc"]
        inherited = bool(keys) and keys[0] in defaults
        parent: SourceLocation = ("defaults",) if inherited else ("section", number)
        raise _validation_error(source, parent, error, model, {**defaults, **values}) from error
    section: Section = validated
    return section


def _keys(model: type[Table]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _validation_error(
    source: _Source, parent: SourceLocation, error: ValidationError, model: type[Table], values: Mapping[str, Any]
) -> ParseError:
    """A one-line error for pydantic's most deeply nested error."""
    deepest = max(error.errors(), key=lambda detail: len(_without_tags(detail["loc"], values)))
    keys = _without_tags(deepest["loc"], values)
    location: SourceLocation = (*parent, *keys)
    key = str(keys[-1]) if keys else ""
    if deepest["type"] == "extra_forbidden":
        tables = [_TABLES[outer] for outer in keys[:-1] if isinstance(outer, str) and outer in _TABLES]
        return source.error(location, str(unknown("key", key, _keys(tables[0] if tables else model))))
    if deepest["type"] == "missing" and isinstance(deepest["loc"][-1], int):
        return source.error(location, f"'{key}' has too few values")
    if deepest["type"] == "missing":
        return source.error(location, f"the key '{key}' is missing")
    message = deepest["msg"][0].lower() + deepest["msg"][1:]
    value = deepest["input"]
    suffix = f"; got {value!r}" if isinstance(value, str | int | float | bool) else ""
    return source.error(location, message + suffix)


def _without_tags(location: SourceLocation, values: Any) -> SourceLocation:
    """A location in `values` without the names of types that pydantic inserts for the members of unions."""
    keys: list[str | int] = []
    for depth, key in enumerate(location):
        if isinstance(values, list):
            exists = isinstance(key, int) and key < len(values)
        else:
            exists = isinstance(values, dict) and key in values
        if exists or (isinstance(values, dict) and depth == len(location) - 1):  # the last key may be missing
            keys.append(key)
            values = values[key] if exists else None
    return tuple(keys)


def _check(timeline: Timeline) -> None:
    """Raise StreamfxError for duplicate or unknown names, bad colors, and `to` together with `length`."""
    pictures = timeline.document.pictures
    numbers: dict[str, int] = {}
    for number, section in enumerate(timeline.sections):
        if section.name in numbers or section.name in pictures:
            owner = "a picture" if section.name in pictures else f"section {numbers[section.name] + 1}"
            reason = f"the name '{section.name}' is already used by {owner}; give another one"
            raise timeline.error(("section", number, "name"), reason)
        numbers[section.name] = number
    for number, section in enumerate(timeline.sections):
        for index, fade in enumerate(section.fade):
            if fade.to.startswith("#") and not _COLOR.fullmatch(fade.to):
                location = ("section", number, "fade", index, "to")
                raise timeline.error(location, f"'{fade.to}' is not a color; write it as #rrggbb")
        for key, name, allowed in _references(timeline, section):
            if name not in allowed:
                raise timeline.error(("section", number, *key), str(unknown("name", name, allowed)))
        if section.end_at is not None and section.length is not None:
            raise timeline.error(("section", number, "length"), "give 'to' or 'length', not both")


def _references(timeline: Timeline, section: Section) -> Iterable[tuple[SourceLocation, str, Sequence[str]]]:
    """(key, name, allowed names) for each picture or section that a section refers to."""
    pictures = list(timeline.document.pictures)
    dreams = [other.name for other in timeline.sections if isinstance(other, DreamSection) and other is not section]
    for index, fade in enumerate(section.fade):
        if not fade.to.startswith("#"):
            yield ("fade", index, "to"), fade.to, ["black", "white", *pictures]
    if isinstance(section, MergeSection):
        for index, name in enumerate(section.of):
            yield ("of", index), name, dreams
    elif isinstance(section, DreamSection):
        yield ("start",), section.start, [*pictures, *dreams]
        for index, guide in enumerate(section.guide):
            for number, name in enumerate(guide.pictures):
                yield ("guide", index, "pictures", number), name, pictures
    else:
        yield ("picture",), section.picture, pictures
