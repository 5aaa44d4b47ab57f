"""Output paths: checks before writing, and atomic replacement of files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import av
import av.error

from streamfx.errors import StreamfxError
from streamfx.media.file_names import file_name
from streamfx.media.input.image_sequence import NUMBER, is_numbered
from streamfx.media.input.reader import Reader

MAX_NAME_BYTES = 240  # leaves room for the longer names of temporary files


def check_target(name: str, source: Reader | None, overwrite: bool) -> Path | None:
    """The path of a regular output file; None for pipes, devices, patterns and URLs. Raises StreamfxError."""
    if name == "-":
        if sys.stdout.isatty():
            raise StreamfxError("stdout is a terminal; redirect it to a file or a program, or give an output file")
        return None
    if "://" in name:
        return None
    path = Path(name)
    if (length := len(os.fsencode(path.name))) > MAX_NAME_BYTES:
        raise StreamfxError(
            f"the file name '{path.name[:20]}...' is too long ({length} bytes); give at most {MAX_NAME_BYTES}"
        )
    if path.is_dir():
        raise StreamfxError(f"'{name}' is a folder; give a file in it, such as '{path / 'out.mp4'}'")
    if not path.parent.is_dir():
        raise StreamfxError(f"cannot write '{path.name}': folder '{path.parent}' not found; create it first")
    if path.exists() and not path.is_file():
        return None
    if source is not None and (name == source.name or _same_file(path, Path(source.name))):
        raise StreamfxError(f"'{name}' is the input itself; give another output name")
    numbered = is_numbered(name)
    first = Path(NUMBER.sub(lambda digits: f"{1:0{digits[1] or 1}d}", name)) if numbered else path
    if first.exists() and not overwrite:
        raise StreamfxError(f"'{first}' exists; give -y to overwrite it, or another name")
    if not os.access(path.parent, os.W_OK):
        raise StreamfxError(f"the folder '{path.parent}' is not writable; choose another or change its permissions")
    return None if numbered else path


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def replace_durably(file: Path, target: Path) -> None:
    """Rename `file` to `target`, replacing it, so that a power failure leaves either the old or the new content."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(file, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def comment_of(target: str) -> str:
    """The comment tag of a video file; "" if the file or the tag is missing."""
    if target == "-" or not Path(target).is_file():
        return ""
    try:
        with av.open(file_name(target)) as container:
            tags = {name.lower(): text for name, text in container.metadata.items()}
    except (av.error.FFmpegError, ValueError):
        return ""
    return tags.get("comment", "")
