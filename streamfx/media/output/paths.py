"""What may be written, and how a file takes the place of another at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import av
import av.error

from streamfx.errors import StreamfxError
from streamfx.media.input.image_sequence import NUMBER, is_numbered
from streamfx.media.input.reader import Reader

LONGEST_NAME = 240  # bytes, so that what lies beside the film while it grows can have a name as well


def check_target(name: str, source: Reader | None, overwrite: bool) -> Path | None:
    """The path of a file that is to be written whole; None for pipes, devices, patterns and URLs."""
    if name == "-":
        if sys.stdout.isatty():
            raise StreamfxError("stdout is a terminal: send it to a file or a program, or name an output file")
        return None
    if "://" in name:
        return None
    path = Path(name)
    if (length := len(os.fsencode(path.name))) > LONGEST_NAME:
        raise StreamfxError(
            f"'{path.name[:20]}...' is too long a name; give {LONGEST_NAME} bytes or fewer, not {length}"
        )
    if path.is_dir():
        raise StreamfxError(f"'{name}' is a folder; give a file in it, like '{path / 'out.mp4'}'")
    if not path.parent.is_dir():
        raise StreamfxError(f"there is no folder '{path.parent}' to write '{path.name}' into; make it first")
    if path.exists() and not path.is_file():
        return None
    if source is not None and (name == source.name or _same_file(path, Path(source.name))):
        raise StreamfxError(f"'{name}' is the input itself; give another name for the output")
    numbered = is_numbered(name)
    first = Path(NUMBER.sub(lambda digits: f"{1:0{digits[1] or 1}d}", name)) if numbered else path
    if first.exists() and not overwrite:
        raise StreamfxError(f"'{first}' exists; give -y to overwrite it, or another name")
    if not os.access(path.parent, os.W_OK):
        raise StreamfxError(f"the folder '{path.parent}' may not be written; choose another or change its permissions")
    return None if numbered else path


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def put(file: Path, target: Path) -> None:
    """Give a file the name of `target`, in the place of what has it, so that one of the two survives a power cut."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(file, target)
    sync(target.parent)


def sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def comment_of(target: str) -> str:
    """What a film says of how it was made; empty where there is none, or nothing is said."""
    if target == "-" or not Path(target).is_file():
        return ""
    try:
        with av.open(target) as film:
            tags = {name.lower(): text for name, text in film.metadata.items()}
    except (av.error.FFmpegError, ValueError):
        return ""
    return tags.get("comment", "")
