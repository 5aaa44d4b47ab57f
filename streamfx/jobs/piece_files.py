"""The files of a job that is rendered in pieces: its plan, and what the tasks write.

They are in the work folder OUT.streamfx, which all machines share. A piece is finished once its record, NNNNNN.json,
exists; its segment, NNNNNN.TOKEN.packets, is written before. Each try writes a segment of its own.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from streamfx.errors import StreamfxError
from streamfx.jobs.fingerprint import Fingerprint
from streamfx.jobs.manifest import PLAN
from streamfx.jobs.planner import Piece
from streamfx.media.output.encoder import Layout
from streamfx.media.output.paths import replace_durably
from streamfx.media.output.segments import Segment, digest_of_file

_STOP = "stop"  # a file that asks all tasks to stop


@dataclass(frozen=True, slots=True)
class Plan:
    """How a job is split; the field names are keys of the JSON file."""

    identity: Fingerprint
    length: int  # frames that a piece should have
    exact: bool  # whether pieces begin at cuts only
    layout: Layout
    rate: Fraction  # frames per second, by the first frame; for schedules
    damaged_at: Fraction | None  # seconds from the start of the source at which it is damaged
    pieces: tuple[Piece, ...]

    @property
    def frames(self) -> int:
        """Frames in all pieces."""
        return self.pieces[-1].stop

    @property
    def is_whole(self) -> bool:
        """Whether there is only one piece."""
        return len(self.pieces) == 1


@dataclass(frozen=True, slots=True)
class Report:
    """The progress of a running task."""

    frames: int  # finished frames of its piece
    worker: str  # the name of the process or machine


class PieceFiles:
    """Reads and writes the files in a work folder, from any process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def store_plan(self, plan: Plan) -> None:
        """Write the plan."""
        self._write(PLAN, _plan_adapter().dump_json(plan))

    def load_plan(self) -> Plan | None:
        """The plan of an earlier run; None if there is none. Raises StreamfxError if it is damaged."""
        path = self.folder / PLAN
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _plan_adapter().validate_json(content)
        except ValidationError:
            raise StreamfxError(f"'{path}' is damaged or from another version; start over with -y") from None

    def finish(self, number: int, segment: Segment) -> None:
        """Record that a piece is finished, after its segment is on disk."""
        self._write(f"{number:06d}.json", json.dumps(asdict(segment)).encode())
        (self.folder / f"{number:06d}.progress").unlink(missing_ok=True)

    def finished(self, number: int) -> Segment | None:
        """The segment of a finished piece; None if it is missing, truncated or damaged."""
        segment = self.record(number)
        with suppress(OSError):
            if segment is not None and digest_of_file(self.folder / segment.file) == segment.sha256:
                return segment
        return None

    def record(self, number: int) -> Segment | None:
        """The record of a finished piece, without a check of its segment."""
        try:
            return Segment(**json.loads((self.folder / f"{number:06d}.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def report(self, number: int, report: Report) -> None:
        """Publish the progress of a running task. A full disk is not an error here."""
        with suppress(OSError):
            path = self.folder / f"{number:06d}.progress"
            part = path.with_suffix(f".{secrets.token_hex(4)}.part")
            part.write_text(json.dumps(asdict(report)))
            part.replace(path)

    def reported(self, number: int) -> Report | None:
        """The progress of a task; None if it has not reported any."""
        try:
            return Report(**json.loads((self.folder / f"{number:06d}.progress").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def forget(self, number: int) -> None:
        """Remove the progress of a task that has ended."""
        (self.folder / f"{number:06d}.progress").unlink(missing_ok=True)

    def stop(self) -> None:
        """Ask all tasks to stop at their next frame."""
        with suppress(OSError):  # they are ended by force later
            (self.folder / _STOP).touch()

    def start(self) -> None:
        """Let tasks run, after an earlier run was stopped."""
        (self.folder / _STOP).unlink(missing_ok=True)

    @property
    def stopping(self) -> bool:
        """Whether the tasks should stop: they are asked to, or the work folder is gone."""
        return (self.folder / _STOP).exists() or not self.folder.exists()

    def clean(self, kept: Iterable[Segment]) -> None:
        """Remove what tasks of earlier runs left, besides the segments in `kept`: they take space."""
        files = {segment.file for segment in kept}
        for path in self.folder.iterdir():
            if path.suffix in (".part", ".progress") or (path.suffix == ".packets" and path.name not in files):
                path.unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        part = self.folder / f"{name}.{secrets.token_hex(4)}.part"
        try:
            part.write_bytes(content)
            replace_durably(part, self.folder / name)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StreamfxError(f"cannot write '{self.folder / name}': {error.strerror}") from error


@cache
def _plan_adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def saved_frames(folder: Path) -> int:
    """Frames in the finished pieces of a job in its work folder; 0 if it was not split."""
    files = PieceFiles(folder)
    plan = files.load_plan()
    records = [files.record(piece.number) for piece in plan.pieces] if plan else []
    return sum(segment.written for segment in records if segment)
