"""Checkpoints of a run, from which a later run resumes.

The work folder OUT.streamfx holds the closed video segments, each effect's memory at their ends, and a manifest that
lists both. Every file is complete on disk before the manifest names it; the manifest is replaced atomically.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.errors import StreamfxError
from streamfx.frame import Memory
from streamfx.jobs.fingerprint import Fingerprint
from streamfx.jobs.manifest import MANIFEST, PLAN, PREVIOUS, REQUEST, STATUS, Manifest, Point, store
from streamfx.media.input.reader import Reader
from streamfx.media.output.paths import follow_link, replace_durably
from streamfx.media.output.segments import Segments, digest_of_file
from streamfx.media.output.writer import Writer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_LOCK_TRIES, _LOCK_PAUSE = 4, 0.05  # seconds; `is_locked` holds the lock for a moment
VALUE_TYPES = {int: "int", Fraction: "fraction", str: "text"}  # in effect memories, besides tensors


class Checkpoint:
    """The saved state of a run in its work folder; `saved` is the manifest of an earlier run, if any.

    A damaged segment and all segments after it are rendered again.
    """

    def __init__(self, folder: Path, every: int, fingerprint: Fingerprint, saved: Manifest | None = None) -> None:
        self.folder = folder
        self._manifest = _intact_part(folder, saved) if saved else Manifest(fingerprint, every)
        self.every = self._manifest.every
        _remove_unlisted(folder, self._manifest)
        self.segments = Segments(folder, self._manifest.segments, self._manifest.layout)
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    @property
    def done(self) -> int:
        """Number of input frames that are already processed."""
        return self._manifest.points[-1].number if self._manifest.points else 0

    @property
    def complete(self) -> bool:
        """Whether all segments exist and only need to be joined."""
        return self._manifest.complete

    @property
    def frames(self) -> int:
        """Number of output frames in closed segments."""
        return sum(segment.written for segment in self._manifest.segments)

    @property
    def resumable(self) -> bool:
        """Whether a later run can resume from the files on disk."""
        return bool(self.frames) and (self.folder / MANIFEST).exists()

    def attach(self, writer: Writer, reader: Reader | None) -> None:
        """Make `writer` record segments, and make `reader` start where the last run stopped."""
        self._writer, self._reader = writer, reader
        writer.use_segments(self.segments)
        if reader is not None:
            reader.resume_interval = self.every
            resume_point = self._manifest.points[-1].resume_point if self._manifest.points else None
            if resume_point is not None:
                reader.resume_at(resume_point)

    def memories(self, count: int, device: torch.device) -> list[Memory]:
        """The memories of `count` effects at the end of the last closed segment; empty at the start."""
        if not self._manifest.points:
            return [{} for _ in range(count)]
        point = self._manifest.points[-1]
        memories: list[Memory] = [
            {name: _parse_value(*value) for name, value in values.items()} for values in point.values
        ]
        if point.memory:
            from safetensors.torch import load_file

            for name, tensor in load_file(self.folder / point.memory).items():
                index, _, key = name.partition("/")
                memories[int(index)][key] = tensor.clone().to(device)  # the clone is aligned like torch's tensors
        return memories

    def close(self, number: int, memories: Sequence[Memory], *, last: bool = False) -> None:
        """Close the segment that ends after `number` input frames, and save the memories of the effects."""
        assert self._writer is not None
        segment = self._writer.close_segment(last=last)
        if segment is None and not last:
            return  # no output frames yet: the segment stays open
        try:
            segments = list(self.segments.closed)
            point = self._save_point(number, len(segments), [] if last else memories)
            points = [*self._manifest.points, point]
            removed = _thin_points(points)
            manifest = Manifest(
                self._manifest.identity, self.every, self.segments.layout, segments, points, complete=last
            )
            store(self.folder, manifest)
            self._manifest = manifest
            for point in removed:
                if point.memory:
                    (self.folder / point.memory).unlink(missing_ok=True)
        except OSError as error:
            raise StreamfxError(f"cannot write '{error.filename or self.folder}': {error.strerror or error}") from error
        _release_free_memory()

    def remove(self) -> None:
        """Empty the work folder, once the video is complete."""
        discard(self.folder)

    def _save_point(self, number: int, segments: int, memories: Sequence[Memory]) -> Point:
        resume_point = self._reader.resume_points.pop(number, None) if self._reader else None
        items = [(f"{index}/{name}", value) for index, memory in enumerate(memories) for name, value in memory.items()]
        tensors = {name: value for name, value in items if not isinstance(value, int | Fraction | str)}
        values = [
            {name: [VALUE_TYPES[type(v)], str(v)] for name, v in memory.items() if type(v) in VALUE_TYPES}
            for memory in memories
        ]
        if not tensors:
            return Point(number, segments, resume_point, values)
        file = self.folder / f"{number:09d}.safetensors"
        _save_tensors(tensors, file)
        return Point(number, segments, resume_point, values, file.name, digest_of_file(file))


def _release_free_memory() -> None:
    """Return free heap memory to the system; fragmentation would otherwise grow over hours."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@contextmanager
def locked_folder(target: Path) -> Iterator[Path]:
    """Create and lock the work folder of `target`; remove it at the end if it is empty.

    Raises StreamfxError if another run holds the lock.
    """
    folder = work_folder_of(target)
    try:
        descriptor = _lock(folder, private=target.exists() and not target.stat().st_mode & 0o077)
    except BlockingIOError:
        raise StreamfxError(f"another run is writing '{target}'; wait for it, stop it, or give another name") from None
    except OSError as error:
        raise StreamfxError(f"cannot create the folder '{folder}': {error.strerror}") from error
    try:
        yield folder
    finally:
        with suppress(OSError):  # not empty, or already removed
            folder.rmdir()
        os.close(descriptor)


def work_folder_of(target: Path) -> Path:
    """The work folder of a video: out.mp4.streamfx, next to the file that a link names."""
    target = follow_link(target)
    return target.with_name(f"{target.name}.streamfx")


def discard(folder: Path) -> None:
    """Remove everything in a work folder."""
    for name in (MANIFEST, PREVIOUS, PLAN):  # first, so that no manifest lists removed files
        (folder / name).unlink(missing_ok=True)
    for path in folder.iterdir() if folder.is_dir() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def stopped_run(folder: Path, frames: int) -> StreamfxError:
    """The error for a work folder with `frames` frames of a stopped run, which would be lost."""
    return StreamfxError(
        f"'{folder}' contains {frames} frames of a stopped run; give --resume to continue, -y to start over, "
        "or --join-partial to join them into a video"
    )


def is_locked(folder: Path) -> bool:
    """Whether a run holds the lock of a work folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(folder: Path, *, private: bool) -> int:
    tries = 0
    while True:
        folder.mkdir(0o700 if private else 0o777, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # another run that just ended may have removed it
                if os.path.samestat(os.fstat(descriptor), folder.stat()):
                    return descriptor
        except BlockingIOError:
            tries += 1
            if tries == _LOCK_TRIES:
                os.close(descriptor)
                raise
            time.sleep(_LOCK_PAUSE)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _parse_value(kind: str, text: str) -> int | Fraction | str:
    return int(text) if kind == "int" else Fraction(text) if kind == "fraction" else text


def _intact_part(folder: Path, saved: Manifest) -> Manifest:
    """The manifest up to the last point before which all files on disk are intact."""
    intact = 0
    for segment in saved.segments:
        if not _is_intact(folder / segment.file, segment.sha256):
            break
        intact += 1
    complete = saved.complete and intact == len(saved.segments)
    points = list(saved.points)
    while points and not complete:
        point = points[-1]
        if point.segments <= intact and (not point.memory or _is_intact(folder / point.memory, point.sha256)):
            break
        points.pop()
    segments = saved.segments[: points[-1].segments if points else 0]
    return Manifest(saved.identity, saved.every, saved.layout if segments else None, segments, points, complete)


def _is_intact(file: Path, sha256: str) -> bool:
    try:
        return digest_of_file(file) == sha256
    except OSError:
        return False


def _remove_unlisted(folder: Path, manifest: Manifest) -> None:
    """Remove files that the manifest does not list, such as partly written segments."""
    listed = {
        MANIFEST,
        PREVIOUS,
        STATUS,
        REQUEST,
        *(part.file for part in manifest.segments),
        *(p.memory for p in manifest.points),
    }
    for path in folder.iterdir():
        if path.name not in listed and path.is_file():  # folders belong to effects that cache frames there
            path.unlink(missing_ok=True)


def _thin_points(points: list[Point]) -> list[Point]:
    """Remove points, keeping the last two and exponentially fewer older ones; return the removed points.

    If a segment is damaged, at most about twice the work since that segment is lost.
    """
    newest = len(points) and points[-1].segments
    removed = []
    for point in points[:-2]:
        age = newest - point.segments
        if point.segments % (1 << (age.bit_length() - 1)):
            removed.append(point)
            points.remove(point)
    return removed


def _save_tensors(tensors: dict[str, Tensor], file: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = file.with_suffix(".part")
    # copies, because safetensors refuses tensors that share storage
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    try:
        save_file(copies, part)
    except SafetensorError as error:
        raise StreamfxError(f"cannot write '{file}': {error}") from error
    replace_durably(part, file)
