"""Joins the finished part of a render that may still be running, so that it can be played."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.jobs.checkpoint import work_folder_of
from streamfx.jobs.manifest import MANIFEST, load
from streamfx.studio.library import Library
from streamfx.studio.queue import Entry

_LIMIT = 300  # seconds


def join_finished_part(entry: Entry, library: Library) -> Path:
    """The video of the frames up to the last checkpoint, in the studio's own folder; the render is not disturbed.

    Raises StreamfxError if there is no checkpoint yet.
    """
    target = library.resolve(entry.target)
    copy = library.state / "parts" / str(entry.id) / target.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    _link_work(work_folder_of(target), work_folder_of(copy))
    arguments = [str(copy) if _is(word, target, library) else word for word in entry.arguments]
    command = [sys.executable, "-m", "streamfx", *arguments, "--join-partial"]
    done = subprocess.run(
        command, cwd=library.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT
    )
    part = copy.with_name(f"{copy.stem}.partial{copy.suffix}")
    if done.returncode or not part.is_file():
        lines = done.stderr.strip().splitlines()
        raise StreamfxError(lines[-1].removeprefix("streamfx: ") if lines else "the part cannot be joined")
    return part


def _link_work(work: Path, copy: Path) -> None:
    """Link the manifest of a work folder and its closed segments, which never change."""
    manifest = load(work)
    if manifest is None or not manifest.segments:
        raise StreamfxError("there is no checkpoint yet; the first part can be played after it")
    copy.mkdir(parents=True)
    shutil.copyfile(work / MANIFEST, copy / MANIFEST)
    files = [part.file for part in manifest.segments] + [point.memory for point in manifest.points if point.memory]
    for name in files:
        if (work / name).exists():  # an old point may just have been removed
            os.link(work / name, copy / name)


def _is(word: str, target: Path, library: Library) -> bool:
    try:
        return library.resolve(word) == target
    except StreamfxError:
        return False
