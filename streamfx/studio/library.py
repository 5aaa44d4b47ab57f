"""The files that the studio may use: those under its folder and its output folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from natsort import os_sorted

from streamfx.errors import StreamfxError

Kind: TypeAlias = Literal["video", "image", "audio", "timeline"]

STATE_FOLDER = ".streamfx-studio"  # under the studio's folder: queue, logs, thumbnails
PROJECT_SUFFIX = ".studio.toml"
MAX_FILES, MAX_DEPTH = 1000, 4  # of the list of media files

_KINDS: dict[Kind, str] = {
    "video": "mp4 m4v mov mkv webm avi mpg mpeg ts mts m2ts wmv flv ogv 3gp y4m nut gif",
    "image": "png jpg jpeg webp bmp tif tiff apng heic heif avif",
    "audio": "mp3 wav flac ogg opus m4a aac aif aiff",
    "timeline": "toml",
}
_KIND_OF: dict[str, Kind] = {f".{ext}": kind for kind, extensions in _KINDS.items() for ext in extensions.split()}
_NOT_IN_NAMES = re.compile(r"[^\w .()+@-]+")


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file to choose from; `name` is its path from the studio's folder, with forward slashes."""

    name: str
    kind: Kind
    size: int  # bytes
    modified: float  # seconds since the epoch


class Library:
    """The studio's folder and output folder; no other file may be read or written."""

    def __init__(self, folder: Path, output: Path) -> None:
        self.folder, self.output = folder.resolve(), output.resolve()

    @property
    def state(self) -> Path:
        """The folder of the studio's own files."""
        return self.folder / STATE_FOLDER

    @property
    def uploads(self) -> Path:
        """The folder of unfinished uploads, on the disk of the studio's folder."""
        return self.state / "uploads"

    def resolve(self, name: str) -> Path:
        """The real path of `name`, relative to the folder or absolute.

        Raises StreamfxError for a path outside of the two folders after symbolic links, and for hidden files.
        """
        if not name or "\0" in name:
            raise StreamfxError(f"'{name}' is not a file name")
        try:
            path = (self.folder / name).resolve()
        except (OSError, RuntimeError) as error:
            raise StreamfxError(f"'{name}' cannot be used: {error}") from error
        root = next((root for root in (self.folder, self.output) if path.is_relative_to(root)), None)
        if root is None:
            raise StreamfxError(f"'{name}' is outside of the studio's folder {self.folder}; copy it there first")
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            raise StreamfxError(f"'{name}' is a hidden file, which the studio does not use")
        return path

    def existing(self, name: str) -> Path:
        """The real path of a regular file. Raises StreamfxError."""
        path = self.resolve(name)
        if not path.is_file():
            raise StreamfxError(f"'{name}' is not a file in {self.folder}")
        return path

    def name_of(self, path: Path) -> str:
        """The name of a file: relative to the folder if it is below it, else absolute."""
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)

    def media(self) -> list[MediaFile]:
        """The media files of the folder, sorted by name; work folders and hidden files are left out."""
        files = []
        for path in self._walk(self.folder, 0):
            kind = kind_of(path.name)
            if kind is None or path.name.endswith(PROJECT_SUFFIX):
                continue
            try:
                stat = self.existing(self.name_of(path)).stat()
            except (OSError, StreamfxError):  # a broken link, or one to a place outside
                continue
            files.append(MediaFile(self.name_of(path), kind, stat.st_size, stat.st_mtime))
            if len(files) == MAX_FILES:
                break
        return list(os_sorted(files, key=lambda file: file.name))

    def _walk(self, folder: Path, depth: int) -> Iterator[Path]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(".streamfx"):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < MAX_DEPTH:
                    yield from self._walk(Path(entry.path), depth + 1)
            else:
                yield Path(entry.path)

    def free_target(self, stem: str, extension: str, taken: frozenset[str] = frozenset()) -> str:
        """A name in the output folder that no file and no name in `taken` has; creates the folder."""
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StreamfxError(f"cannot create the folder '{self.output}': {error.strerror}") from error
        stem = clean_name(stem)
        for number in range(1, 10**4):
            path = self.output / f"{stem}{'' if number == 1 else f'-{number}'}.{extension}"
            name = self.name_of(path)
            if name not in taken and not path.exists() and not path.with_name(f"{path.name}.streamfx").exists():
                return name
        raise StreamfxError(f"all names like '{stem}.{extension}' are taken in {self.output}")

    def upload_target(self, name: str) -> Path:
        """The path for an uploaded file called `name`; never that of an existing file. Raises StreamfxError."""
        cleaned = clean_name(Path(name.replace("\\", "/")).name)
        if kind_of(cleaned) is None:
            raise StreamfxError(f"'{name}' is not a video, an image, an audio file or a timeline")
        path = self.folder / cleaned
        for number in range(2, 10**4):
            if not path.exists():
                return path
            path = self.folder / f"{Path(cleaned).stem}-{number}{Path(cleaned).suffix}"
        raise StreamfxError(f"all names like '{cleaned}' are taken in {self.folder}")


def kind_of(name: str) -> Kind | None:
    """The kind of a file by its extension; None for other files."""
    return _KIND_OF.get(Path(name).suffix.lower())


def clean_name(name: str) -> str:
    """A file name without special characters and leading dots, at most 120 characters long."""
    stem, dot, extension = _NOT_IN_NAMES.sub("-", name).strip(" .-").rpartition(".")
    stem = stem if dot else extension
    return f"{stem[:100] or 'video'}{dot}{extension[:19] if dot else ''}"
