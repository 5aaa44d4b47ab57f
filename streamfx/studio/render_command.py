"""The command lines that the studio may run: checked, and shown as text for a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from streamfx.errors import ParseError, StreamfxError
from streamfx.settings import settings
from streamfx.studio.library import Library

COMMANDS = ("style", "dream", "run", "render")
_CONTROL = frozenset(
    ("-y", "--yes", "--resume", "-q", "--quiet", "-v", "--verbose", "--progress", "--no-progress", "--json")
)
_REFUSED = {  # parameter -> why the studio does not take it
    "yes": "the studio never overwrites a file",
    "resume": "the studio resumes by itself",
    "join_partial": "the studio joins the finished part by itself",
    "dry_run": "the studio shows the schedules in its view Dream",
    "plot": "the studio shows the schedules in its view Dream",
    "allow_network": "the studio reads no files from the network",
    "input_format": "the studio reads files only",
}
_FILES = ("source", "start_image", "audio_file", "weights", "mask", "guide", "style_image", "timeline")
_PRESETS = ("preset", "mask_preset", "blend", "look")  # names, or files that end in .toml
_ENCODER_OPTION = re.compile(
    r"(preset|tune|profile|level|g|bf|refs|qp|b|maxrate|bufsize|quality|cpu-used|row-mt|deadline)=[\w.]+", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Given:
    """A parsed command line: the command, and the value of each parameter that was given."""

    command: str
    values: Mapping[str, Any]


# reads the arguments after "streamfx"; raises StreamfxError
Read: TypeAlias = Callable[[Sequence[str]], Given]


def split_line(text: str) -> list[str]:
    """The arguments of a line such as "streamfx style in.mp4 out.mp4", without those that control the run.

    A leading "cd FOLDER &&" is left out. Raises StreamfxError.
    """
    try:
        words = shlex.split(text.replace("\\\n", " "), comments=False)
    except ValueError as error:
        raise StreamfxError(f"the line cannot be read: {str(error).lower()}") from error
    if words[:1] == ["cd"] and words[2:3] == ["&&"]:
        words = words[3:]
    if not words or Path(words[0]).name != "streamfx":
        raise StreamfxError("give a line that starts with streamfx, such as: streamfx style in.mp4 out.mp4")
    return [word for word in words[1:] if word not in _CONTROL]


def shell_line(arguments: Sequence[str], folder: Path | None = None) -> str:
    """The line for a shell; with `folder`, one that works from any folder."""
    line = shlex.join(["streamfx", *arguments])
    return line if folder is None else f"cd {shlex.quote(str(folder))} && {line}"


def check_command(arguments: Sequence[str], read: Read, library: Library) -> tuple[Given, str]:
    """The parsed command and the file that it writes.

    Raises StreamfxError unless the command only reads and writes files of the library.
    """
    given = read(arguments)
    if given.command not in COMMANDS:
        raise StreamfxError(f"the studio runs {', '.join(COMMANDS)}, not '{given.command}'")
    for name, reason in _REFUSED.items():
        if given.values.get(name):
            raise StreamfxError(f"leave out --{name.replace('_', '-')}: {reason}")
    for option in given.values.get("encoder_option") or ():
        if not _ENCODER_OPTION.fullmatch(option):
            raise StreamfxError(f"the studio does not pass -e {option} to the encoder; use the command line")
    values = dict(given.values)
    target = values.pop("output", None)
    if given.command == "dream" and "start_image" in values:
        target = target or values.pop("source", None)
    if not target:
        raise StreamfxError(f"{given.command} needs the name of a file to write")
    check_files(values, library)
    path = library.resolve(str(target))
    if "%" in path.name or not path.parent.is_dir():
        raise StreamfxError(f"'{target}' is not a file in a folder that exists")
    return given, library.name_of(path)


def check_files(values: Mapping[str, Any], library: Library) -> None:
    """Raise StreamfxError if a setting in `values` names a file outside of the library, or a chain does."""
    for name in _FILES:
        if values.get(name):
            library.existing(str(values[name]))
    if values.get("assets"):
        library.resolve(str(values["assets"]))
    for name in _PRESETS:
        for part in str(values.get(name) or "").split(","):
            file = re.sub(r":[\d.]+$", "", part.strip())
            if file.endswith(".toml") or "/" in file:
                library.existing(file)
    for image in str(values.get("palette") or "").split(","):
        if image.strip() not in ("", "start"):
            library.existing(image.strip())
    if values.get("chain"):
        check_chain(str(values["chain"]), library)


def check_chain(text: str, library: Library) -> None:
    """Raise ParseError if a filter or an effect of a chain may use files outside of the library."""
    from streamfx.chain import build_chain, chain_nodes
    from streamfx.effects import EFFECTS
    from streamfx.media.filters.effect import Filters
    from streamfx.media.path_sandbox import check_filters

    for offset, node in chain_nodes(text):  # before anything is built, because building a filter may open its files
        if node.name not in EFFECTS:
            try:
                check_filters([node])
            except StreamfxError as error:
                raise ParseError(str(error), text, offset) from error
    for effect in build_chain(text):
        if not isinstance(effect, Filters):
            values = {setting.name: getattr(effect, setting.name) for setting in settings(type(effect))}
            check_files({name: value for name, value in values.items() if isinstance(value, str)}, library)
