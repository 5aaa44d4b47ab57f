"""A project: what the page is set to, saved as a TOML file next to the media."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import Any

import tomli_w

from streamfx.errors import StreamfxError
from streamfx.settings import settings
from streamfx.studio.library import PROJECT_SUFFIX, Library, clean_name
from streamfx.studio.render_command import Given

UNTITLED = "untitled"
DEFAULT_CHAIN = "style=vangogh"
EXTENSIONS = ("mp4", "mkv", "webm", "mov", "gif", "png")
_FLAGS = {"start": "--from", "end": "--to", "encoder_option": "-e", "start_image": "--start", "audio_file": "--audio"}


@dataclass
class Project:
    """The settings of the page; the field names are keys of the file."""

    name: str = UNTITLED
    source: str = ""  # a file of the library
    time: float = 0.0  # seconds: the moment of the previews
    start: float | None = None  # seconds: the in point
    end: float | None = None  # seconds: the out point
    chain: str = DEFAULT_CHAIN
    extension: str = "mp4"
    options: dict[str, Any] = field(default_factory=dict)  # parameters of the command line, by name
    dream: dict[str, Any] = field(default_factory=dict)  # parameters of `streamfx dream --start`, by name
    timeline: str = ""  # a file of the library
    timeline_options: dict[str, Any] = field(default_factory=dict)  # parameters of `streamfx render`, by name

    def arguments(self, target: str) -> list[str]:
        """The arguments of the `streamfx` command that renders the chain on the source.

        Raises StreamfxError without a source.
        """
        if not self.source:
            raise StreamfxError("choose a video or an image first, in the view Media")
        span = {"start": self.start or None, "end": self.end}
        options = {name: f"{_floor(value):g}" for name, value in span.items() if value is not None} | self.options
        style = _single_style(self.chain)
        if style is not None:
            return ["style", self.source, target, *_options(style), *_options(options)]
        return ["run", self.source, target, "--chain", self.chain, *_options(options)]

    def dream_arguments(self, target: str, changes: Mapping[str, Any] | None = None) -> list[str]:
        """The arguments of the command that makes a video from an image, with other options from `changes`.

        Raises StreamfxError without an image.
        """
        if not self.dream.get("start_image"):
            raise StreamfxError("choose an image to start from first")
        return ["dream", *_options(self.dream | dict(changes or {})), target]

    def timeline_arguments(self, target: str, section: str = "", *, preview: bool = False) -> list[str]:
        """The arguments of the command that renders the timeline, or a section of it, or a small preview.

        Raises StreamfxError without a timeline.
        """
        if not self.timeline:
            raise StreamfxError("choose a timeline first")
        changes = ({"section": section} if section else {}) | ({"preview": True} if preview else {})
        return ["render", self.timeline, target, *_options(self.timeline_options | changes)]

    def take(self, other: Project) -> None:
        """Take over what `other`, the project of a command line, is about; the rest stays as it is."""
        self.extension = other.extension
        if other.dream:
            self.dream = other.dream
        elif other.timeline:
            self.timeline, self.timeline_options = other.timeline, other.timeline_options
        else:
            self.source, self.time, self.start, self.end = other.source, other.time, other.start, other.end
            self.chain, self.options = other.chain, other.options


def _floor(seconds: float) -> float:
    """Rounded down to milliseconds, so that the frame at this time is not skipped."""
    return math.floor(seconds * 1000 + 1e-6) / 1000


def _options(values: Mapping[str, Any]) -> list[str]:
    """Options of the command line for parameters by name."""
    words: list[str] = []
    for name, value in values.items():
        flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
        if name == "audio":
            words += [] if value else ["--no-audio"]
        elif isinstance(value, bool):
            words += [flag] if value else []
        elif isinstance(value, list | tuple):
            for item in value:
                words += [flag, str(item)]
        elif value is not None:
            words += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    return words


def _single_style(chain: str) -> dict[str, Any] | None:
    """The changed settings of a chain that is one style without schedules; None for any other chain."""
    from streamfx.chain import build_chain
    from streamfx.effects.style import Style

    effects = build_chain(chain)
    if len(effects) != 1 or type(effects[0]) is not Style:
        return None
    values = {setting: getattr(effects[0], setting.name) for setting in settings(Style)}
    changed = {setting.name: value for setting, value in values.items() if value != setting.default}
    if "mask_start" in changed:  # not an option of the command
        return None
    return {"preset": effects[0].preset} | changed


def project_of(given: Given) -> Project:
    """An untitled project with what a command line describes. Raises StreamfxError for one the page cannot show."""
    values = dict(given.values)
    target = str(values.pop("output", "") or "")
    if given.command == "dream" and "start_image" in values:
        target = target or str(values.pop("source", ""))
        return Project(dream=values, extension=_extension(target))
    if given.command == "render":
        return Project(timeline=str(values.pop("timeline")), timeline_options=values, extension=_extension(target))
    if given.command not in ("style", "dream", "run"):
        raise StreamfxError(f"the page cannot show 'streamfx {given.command}'; give style, dream, run or render")
    source = str(values.pop("source", ""))
    chain = values.pop("chain", None) or _effect_text(given.command, values)
    start, end = (_seconds(values.pop(name, None)) for name in ("start", "end"))
    if (duration := _seconds(values.pop("duration", None))) is not None:
        end = (start or 0.0) + duration
    return Project(UNTITLED, source, start or 0.0, start, end, chain, _extension(target), values)


def _effect_text(name: str, values: dict[str, Any]) -> str:
    """The chain of one effect; its settings are taken out of `values`."""
    from streamfx.chain import chain_text
    from streamfx.effects import EFFECTS

    names = [setting.name for setting in settings(EFFECTS[name]) if setting.name in values]
    return chain_text([EFFECTS[name](**{key: values.pop(key) for key in names})])


def _extension(target: str) -> str:
    return Path(target).suffix.lstrip(".").lower() or "mp4"


def _seconds(text: Any) -> float | None:
    """Seconds of "90.5" or "0:01:30.5"; None for none."""
    if text is None:
        return None
    seconds = 0.0
    for part in str(text).strip().split(":"):
        try:
            seconds = seconds * 60 + float(part)
        except ValueError as error:
            raise StreamfxError(f"'{text}' is not a time; give seconds (90.5) or h:mm:ss (0:01:30.5)") from error
    return seconds


def project_files(library: Library) -> list[Path]:
    """The project files in the library's folder, the last saved one first."""
    files = [path for path in library.folder.glob(f"*{PROJECT_SUFFIX}") if path.is_file() and not path.is_symlink()]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def free_name(stem: str, library: Library) -> str:
    """A name for a project that no file has."""
    stem = clean_name(stem)
    names = {path.name for path in library.folder.glob(f"*{PROJECT_SUFFIX}")}
    numbered = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(name for name in numbered if f"{name}{PROJECT_SUFFIX}" not in names)


def save_project(project: Project, library: Library) -> Path:
    """Write a project as NAME.studio.toml, atomically. Raises StreamfxError."""
    file = library.folder / f"{clean_name(project.name)}{PROJECT_SUFFIX}"
    content = {name: value for name, value in asdict(project).items() if value is not None}
    for table in ("dream", "options", "timeline_options"):
        content[table] = {name: value for name, value in content[table].items() if value is not None}
    part = file.with_suffix(".part")
    try:
        part.write_text(tomli_w.dumps(content), encoding="utf-8")
        os.replace(part, file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StreamfxError(f"cannot save the project '{file}': {error.strerror}") from error
    return file


def load_project(file: Path) -> Project:
    """The project in a file. Raises StreamfxError for an unreadable file, unknown keys and wrong types."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StreamfxError(f"cannot read the project '{file}': {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StreamfxError(f"the project '{file}' is not valid TOML: {error}") from error
    known = {item.name: item for item in fields(Project)}
    number = (int, float)
    types: dict[str, Any] = dict.fromkeys(("time", "start", "end"), number)
    types |= dict.fromkeys(("options", "dream", "timeline_options"), dict)
    for name, value in content.items():
        if name not in known:
            raise StreamfxError(f"the project '{file}': unknown key '{name}'; known: {', '.join(known)}")
        if not isinstance(value, types.get(name, str)) or isinstance(value, bool):
            raise StreamfxError(f"the project '{file}': the value of '{name}' has the wrong type")
    return Project(**content)
