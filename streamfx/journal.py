"""What a run leaves beside its film while it works, so that another one can go on where it was stopped.

In the folder OUT.streamfx: closed segments of pictures, each effect's memory at their ends, and a manifest that tells
of both. Each file is complete on the disk before the manifest names it, and the manifest is replaced at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamfx.errors import StreamfxError
from streamfx.frame import Memory
from streamfx.identity import Identity
from streamfx.media.coder import Shape
from streamfx.media.encoding import Encoding
from streamfx.media.marks import Mark
from streamfx.media.probe import Coding
from streamfx.media.reader import Reader
from streamfx.media.segments import Layout, Segment, Segments, digest_of, digest_of_file
from streamfx.media.target import put
from streamfx.media.writer import Writer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MANIFEST, BEFORE = "manifest.json", "manifest.old.json"
FORM = 1  # of the manifest; another one cannot be read
KINDS = {int: "int", Fraction: "fraction", str: "text"}  # of what is remembered, but for tensors


@dataclass(frozen=True, slots=True)
class Point:
    """A place between two input frames at which a run can go on."""

    number: int  # input frames before it
    segments: int  # closed before it
    mark: Mark | None  # of the source, where it is a Reader
    values: list[dict[str, list[str]]]  # of each effect's memory, what is no tensor: name -> kind, text
    memory: str = ""  # file of the tensors; "" where there are none
    sha256: str = ""  # of that file


@dataclass(slots=True)
class Manifest:
    """All that a run knows of the work that is done."""

    identity: Identity
    every: int  # input frames from one boundary of segments to the next
    layout: Layout | None = None
    segments: list[Segment] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)  # at the ends of segments, the latest last
    complete: bool = False  # all segments are there; only the film is to be joined


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
            manifest = self._manifest
            manifest.layout, manifest.segments = self.segments.layout, list(self.segments.closed)
            mark = self._reader.marks.pop(number, None) if self._reader else None
            manifest.points.append(self._kept_point(number, mark, [] if last else memories))
            gone = _thin(manifest.points)
            manifest.complete = last
            store(self.folder, manifest)
            for point in gone:
                if point.memory:
                    (self.folder / point.memory).unlink(missing_ok=True)
        except OSError as error:
            raise StreamfxError(f"cannot write '{error.filename or self.folder}': {error.strerror or error}") from error

    def remove(self) -> None:
        """Remove all that is in the folder: the film is whole."""
        discard(self.folder)

    def _kept_point(self, number: int, mark: Mark | None, memories: Sequence[Memory]) -> Point:
        held = [(f"{index}/{name}", value) for index, each in enumerate(memories) for name, value in each.items()]
        tensors = {name: value for name, value in held if not isinstance(value, int | Fraction | str)}
        values = [
            {name: [KINDS[type(value)], str(value)] for name, value in each.items() if type(value) in KINDS}
            for each in memories
        ]
        segments = len(self._manifest.segments)
        if not tensors:
            return Point(number, segments, mark, values)
        file = self.folder / f"{number:09d}.safetensors"
        _save(tensors, file)
        return Point(number, segments, mark, values, file.name, digest_of_file(file))


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


def load(folder: Path) -> Manifest | None:
    """What an earlier run left in a folder; None where there is nothing to go on with.

    Where the manifest is damaged, the one before it is taken. Raises StreamfxError where that is damaged as well.
    """
    found = [folder / name for name in (MANIFEST, BEFORE) if (folder / name).is_file()]
    for path in found:
        with suppress(ValueError, KeyError, TypeError, OSError):
            return _manifest_of(json.loads(path.read_bytes()))
    if found:
        raise StreamfxError(f"'{found[0]}' is damaged or of another version; begin anew with -y")
    return None


def store(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the last one, which is kept as well."""
    body = asdict(manifest)
    text = json.dumps(body, default=str)
    fresh = folder / "manifest.part"
    fresh.write_text(json.dumps({"form": FORM, "sha256": digest_of(text.encode()), "body": text}))
    with suppress(FileNotFoundError):
        (folder / BEFORE).unlink(missing_ok=True)
        os.link(folder / MANIFEST, folder / BEFORE)
    put(fresh, folder / MANIFEST)


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


def _manifest_of(told: dict[str, Any]) -> Manifest:
    """Raises ValueError, KeyError or TypeError where it is damaged."""
    if told["form"] != FORM or told["sha256"] != digest_of(told["body"].encode()):
        raise ValueError("damaged")
    body = json.loads(told["body"])
    segments = [Segment(**each) for each in body["segments"]]
    points = [Point(**{**each, "mark": _mark_of(each["mark"])}) for each in body["points"]]
    layout = None if body["layout"] is None else _layout_of(body["layout"])
    return Manifest(Identity(**body["identity"]), body["every"], layout, segments, points, body["complete"])


def _mark_of(told: dict[str, Any] | None) -> Mark | None:
    if told is None:
        return None
    broken = None if told["broken"] is None else Fraction(told["broken"])
    return Mark(**{**told, "moment": Fraction(told["moment"]), "broken": broken})


def _layout_of(told: dict[str, Any]) -> Layout:
    coding = Coding(**told["encoding"]["coding"])
    size, rates = (
        [told["shape"][name] for name in names]
        for names in (("height", "width"), ("rate", "time_base", "sample_aspect_ratio"))
    )
    shape = Shape(*size, *map(Fraction, rates))
    return Layout(Encoding(**{**told["encoding"], "coding": coding}), shape, Fraction(told["base"]))


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
