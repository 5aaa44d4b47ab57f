"""Locates the shipped data folders, in an installed wheel or a checkout, the cache, and the user's presets."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from platformdirs import user_cache_dir, user_data_dir

log = logging.getLogger("streamfx")


def resource(folder: str) -> Path:
    """The path of a shipped `folder` ("presets", "cuda_kernels"): in the package in a wheel, else next to it."""
    package = Path(__file__).parent
    packaged = package / "data" / folder
    return packaged if packaged.is_dir() else package.parent / folder


def cache_folder() -> Path:
    """The folder for files that can be made or downloaded again; it may not exist yet.

    If the user has none, or it could not be created, it is a temporary folder, with a warning.
    """
    folder, problem = _find_cache()
    if problem:
        _warn_once(f"{problem}, so nothing is cached; set XDG_CACHE_HOME to a writable folder")
    return folder


def library_cache(name: str) -> str:
    """A writable folder for the cache of another library; a temporary one if ours is not writable."""
    folder, _ = _find_cache()
    return str((folder if _can_create(folder) else _temporary_folder()) / name)


def user_folder() -> Path | None:
    """The folder of the user's own files; None for a user without a home folder."""
    try:
        return Path(user_data_dir("streamfx", appauthor=False))
    except RuntimeError:  # no HOME, and no entry in the passwd database
        return None


def _find_cache() -> tuple[Path, str]:
    """The cache folder, and why it is a temporary one, or ""."""
    homeless = _find_home()
    folder = Path(user_cache_dir("streamfx", appauthor=False))
    if homeless or folder.is_dir() or _can_create(folder):  # a read-only cache can still be read
        return folder, homeless
    return _temporary_folder(), f"the folder '{folder}' cannot be created"


@cache
def _find_home() -> str:
    """Replace the missing home folder of a user, which stops other libraries too; returns the problem, or ""."""
    try:
        user_cache_dir("streamfx", appauthor=False)
    except RuntimeError:  # no HOME, and no entry in the passwd database
        os.environ["XDG_CACHE_HOME"] = str(_temporary_folder())
        return "this user has no home folder"
    return ""


def _can_create(folder: Path) -> bool:
    """Whether files can be created in a folder, which may not exist yet."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


@cache
def _temporary_folder() -> Path:
    """A folder that is removed when the process ends; one that cannot be created if there is no place for it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="streamfx-"))
    except OSError:
        return Path(os.devnull, "streamfx")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)
