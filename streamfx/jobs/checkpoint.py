"""What a run leaves beside its film while it works, so that another one can go on where it was stopped.

In the folder OUT.streamfx: closed segments of pictures, each effect's memory at their ends, and a manifest that tells
of both. Each file is complete on the disk before the manifest names it, and the manifest is replaced at once.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.errors import StreamfxError
from streamfx.frame import Memory
from streamfx.jobs.fingerprint import Identity
from streamfx.jobs.manifest import BEFORE, MANIFEST, Manifest, Point, store
from streamfx.media.input.reader import Reader
from streamfx.media.output.paths import put
from streamfx.media.output.segments import Segments, digest_of_file
from streamfx.media.output.writer import Writer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

KINDS = {int: "int", Fraction: "fraction", str: "text"}  # of what is remembered, but for tensors


class Journal:
    """The work folder of a run: what was done before, and what is done now. `kept` is what an earlier run left.

    Segments that are damaged are done again, with all behind them.
    """

    def __init__(self, folder: Path, every: int, identity: Identity, kept: Manifest | None = None) -> None:
        self.folder = folder
        self._manifest = _sound(folder, kept) if kept else Manifest(identity, every)
        self.every = self._manifest.every
        _clear(folder, self._manifest)
        self.segments = Segments(folder, self._manifest.segments, self._manifest.layout)
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    @property
    def done(self) -> int:
        """Input frames that need not be gone through again."""
        return self._manifest.points[-1].number if self._manifest.points else 0

    @property
    def complete(self) -> bool:
        """Whether only the film is to be joined."""
        return self._manifest.complete

    @property
    def pictures(self) -> int:
        """Pictures in closed segments."""
        return sum(each.written for each in self._manifest.segments)

    @property
    def lasts(self) -> bool:
        """Whether there is something on the disk to go on with."""
        return bool(self.pictures) and (self.folder / MANIFEST).exists()

    def attach(self, writer: Writer, reader: Reader | None) -> None:
        """Have a writer record segments, and a reader begin where the last run was stopped."""
        self._writer, self._reader = writer, reader
        writer.record(self.segments)
        if reader is not None:
            reader.every = self.every
            mark = self._manifest.points[-1].mark if self._manifest.points else None
            if mark is not None:
                reader.begin_at(mark)

    def memories(self, count: int, device: torch.device) -> list[Memory]:
        """The memories of `count` effects as they were when the last segment was closed; empty ones at the start."""
        if not self._manifest.points:
            return [{} for _ in range(count)]
        point = self._manifest.points[-1]
        memories: list[Memory] = [{name: _value(*told) for name, told in each.items()} for each in point.values]
        if point.memory:
            from safetensors.torch import load_file

            for name, tensor in load_file(self.folder / point.memory).items():
                index, _, key = name.partition("/")
                memories[int(index)][key] = tensor.clone().to(device)  # a clone is aligned as torch's own are
        return memories

    def close(self, number: int, memories: Sequence[Memory], *, last: bool = False) -> None:
        """Close the segment behind `number` input frames, and keep what the effects remember then."""
        assert self._writer is not None
        made = self._writer.close_segment(last=last)
        if made is None and not last:
            return  # no picture came out: the segment goes on
        try:
            segments = list(self.segments.closed)
            point = self._kept_point(number, len(segments), [] if last else memories)
            points = [*self._manifest.points, point]
            gone = _thin(points)
            manifest = Manifest(
                self._manifest.identity, self.every, self.segments.layout, segments, points, complete=last
            )
            store(self.folder, manifest)
            self._manifest = manifest
            for each in gone:
                if each.memory:
                    (self.folder / each.memory).unlink(missing_ok=True)
        except OSError as error:
            raise StreamfxError(f"cannot write '{error.filename or self.folder}': {error.strerror or error}") from error
        _trim()

    def remove(self) -> None:
        """Remove all that is in the folder: the film is whole."""
        discard(self.folder)

    def _kept_point(self, number: int, segments: int, memories: Sequence[Memory]) -> Point:
        mark = self._reader.marks.pop(number, None) if self._reader else None
        held = [(f"{index}/{name}", value) for index, each in enumerate(memories) for name, value in each.items()]
        tensors = {name: value for name, value in held if not isinstance(value, int | Fraction | str)}
        values = [
            {name: [KINDS[type(value)], str(value)] for name, value in each.items() if type(value) in KINDS}
            for each in memories
        ]
        if not tensors:
            return Point(number, segments, mark, values)
        file = self.folder / f"{number:09d}.safetensors"
        _save(tensors, file)
        return Point(number, segments, mark, values, file.name, digest_of_file(file))


def _trim() -> None:
    """Give back what lies free in the C library's memory between other things; over hours it would add up."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@contextmanager
def claimed(target: Path) -> Iterator[Path]:
    """The work folder of a film for this run alone; it goes in the end if nothing is in it.

    Raises StreamfxError where another run has it.
    """
    folder = folder_of(target)
    try:
        descriptor = _lock(folder)
    except BlockingIOError:
        raise StreamfxError(
            f"another run is writing '{target}'; wait for it or stop it, or give another name"
        ) from None
    except OSError as error:
        raise StreamfxError(f"cannot make the folder '{folder}': {error.strerror}") from error
    try:
        yield folder
    finally:
        with suppress(OSError):  # it is not empty, or gone
            folder.rmdir()
        os.close(descriptor)


def folder_of(target: Path) -> Path:
    """Where the work on a film lies: out.mp4.streamfx."""
    return target.with_name(f"{target.name}.streamfx")


def discard(folder: Path) -> None:
    """Remove all that lies in a work folder."""
    for name in (MANIFEST, BEFORE):  # first, so that no manifest tells of files that are gone
        (folder / name).unlink(missing_ok=True)
    for path in folder.iterdir() if folder.is_dir() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _lock(folder: Path) -> int:
    while True:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # another run may have ended just now, and removed it
                if os.path.samestat(os.fstat(descriptor), folder.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _value(kind: str, text: str) -> int | Fraction | str:
    return int(text) if kind == "int" else Fraction(text) if kind == "fraction" else text


def _sound(folder: Path, kept: Manifest) -> Manifest:
    """The part of the work that is on the disk as it was written: up to the last point behind sound segments."""
    good = 0
    for segment in kept.segments:
        if not _is_sound(folder / segment.file, segment.sha256):
            break
        good += 1
    complete = kept.complete and good == len(kept.segments)
    points = list(kept.points)
    while points and not complete:
        point = points[-1]
        if point.segments <= good and (not point.memory or _is_sound(folder / point.memory, point.sha256)):
            break
        points.pop()
    segments = kept.segments[: points[-1].segments if points else 0]
    return Manifest(kept.identity, kept.every, kept.layout if segments else None, segments, points, complete)


def _is_sound(file: Path, sha256: str) -> bool:
    try:
        return digest_of_file(file) == sha256
    except OSError:
        return False


def _clear(folder: Path, manifest: Manifest) -> None:
    """Remove what the manifest does not name: parts of segments and of memories."""
    named = {MANIFEST, BEFORE, *(each.file for each in manifest.segments), *(each.memory for each in manifest.points)}
    for path in folder.iterdir():
        if path.name not in named and path.is_file():  # folders are of effects that keep pictures there
            path.unlink(missing_ok=True)


def _thin(points: list[Point]) -> list[Point]:
    """Take away points, but for the last two and ever fewer of those before; what was taken.

    A damaged segment then costs no more than about twice what has been done since.
    """
    newest = len(points) and points[-1].segments
    gone = []
    for point in points[:-2]:
        age = newest - point.segments
        if point.segments % (1 << (age.bit_length() - 1)):
            gone.append(point)
            points.remove(point)
    return gone


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = file.with_suffix(".part")
    # copies, because what shares storage cannot be saved
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    try:
        save_file(copies, part)
    except SafetensorError as error:
        raise StreamfxError(f"cannot write '{file}': {error}") from error
    put(part, file)
