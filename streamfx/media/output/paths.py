"""Output paths: checks before writing, and atomic replacement of files."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path

import av
import av.error

from streamfx.errors import StreamfxError
from streamfx.media.file_names import file_name
from streamfx.media.input.image_sequence import NUMBER, is_numbered
from streamfx.media.input.reader import Reader
from streamfx.media.probe import TAG_ERRORS
from streamfx.media.standard_streams import check_output, descriptor_of

MAX_NAME_BYTES = 240  # leaves room for the longer names of temporary files


def check_target(name: str, source: Reader | None, overwrite: bool) -> Path | None:
    """The path of a regular output file, without links; None for pipes, devices, patterns and URLs.

    Raises StreamfxError if it cannot be written.
    """
    descriptor = descriptor_of(name)
    if descriptor is not None:
        check_output(descriptor)
        return None
    if "://" in name:
        return None
    path = follow_link(Path(name))
    if path.is_symlink():
        raise StreamfxError(f"'{name}' is a link that leads to itself; give another name")
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


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def follow_link(path: Path) -> Path:
    """The file that a path names, which may not exist: the path itself, unless it is a link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def temporary_of(target: Path) -> Path:
    """The name under which this process writes `target` until it is complete."""
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def partial_of(target: Path) -> Path:
    """The name of what an interrupted run keeps of `target`."""
    return target.with_name(f"{target.stem}.partial{target.suffix}")


def remove_partial(target: Path) -> None:
    """Remove what an interrupted run kept of `target`, which is complete now; only files that say they are ours."""
    partial = partial_of(target)
    if re.search(r"^streamfx \S+: ", comment_of(str(partial)), re.MULTILINE):
        partial.unlink(missing_ok=True)


def reserve(file: Path, target: Path) -> None:
    """Remove what killed runs left of `target`; create an empty `file` for its owner alone if it replaces `target`."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        process = left.name.split(".")[-2]
        if process.isdecimal() and not _is_running(int(process)):
            left.unlink(missing_ok=True)
    if target.exists():
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))


def keep_permissions(file: Path, target: Path) -> None:
    """Give `file` the owner, as far as the system allows, and the mode of `target`, if that exists."""
    with suppress(FileNotFoundError):
        existing = target.stat()
        with suppress(PermissionError):
            os.chown(file, existing.st_uid, existing.st_gid)
        file.chmod(stat.S_IMODE(existing.st_mode) & 0o777)


def replace_durably(file: Path, target: Path) -> None:
    """Rename `file` to `target`, replacing it, so that a power failure leaves either the old or the new content.

    The mode and owner of an existing target are kept. A target that cannot be replaced, because it is a mount point, is
    overwritten.
    """
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    keep_permissions(file, target)
    try:
        os.replace(file, target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        shutil.copyfile(file, target)
        file.unlink()
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
        with av.open(file_name(target), metadata_errors=TAG_ERRORS) as container:
            tags = {name.lower(): text for name, text in container.metadata.items()}
    except av.error.FFmpegError:
        return ""
    return tags.get("comment", "")
