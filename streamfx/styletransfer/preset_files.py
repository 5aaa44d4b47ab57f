"""Write presets and their folders, whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tomli_w

from streamfx.errors import StreamfxError
from streamfx.presets import StylePreset

_NAME = re.compile(r"\w[\w.-]*")


def check_name(name: str) -> str:
    """The name of a new preset. Raises StreamfxError if it could not be part of a blend or a file name."""
    if not _NAME.fullmatch(name):
        raise StreamfxError(f"'{name}' is not a preset name; give a --name of letters, digits, - and _")
    return name


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; raises StreamfxError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamfxError(f"cannot create the folder {folder}: {error.strerror or error}") from error


def save_preset(file: Path, style: StylePreset) -> None:
    """Write a preset with all its settings, whole or not at all; defaults too, since they may change."""
    values = {key: value for key, value in style.model_dump(exclude_none=True, mode="json").items() if value != ""}
    values["painting"] = [{k: v for k, v in entry.items() if v != ""} for entry in values["painting"]]
    if style.network is not None:  # nothing was trained here
        values = {key: value for key, value in values.items() if key not in ("painting", "training")}
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(tomli_w.dumps(values), encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        raise StreamfxError(f"cannot write the preset {file}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(folder: Path, exists: Callable[[], bool]) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block succeeds, and is removed when it fails.

    `exists` says whether another process has written a complete `folder` in the meantime.
    """
    make_folder(folder.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise StreamfxError(f"cannot write to the cache {folder.parent}: {error.strerror or error}") from error
    try:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or just written by another process
        try:
            temporary.rename(folder)
        except OSError as error:
            if not exists():
                raise StreamfxError(f"cannot write to the cache {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
