"""The manifest of a run: fingerprint, segments and resume points, in one file that is replaced atomically."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from streamfx.errors import StreamfxError
from streamfx.jobs.fingerprint import Fingerprint
from streamfx.media.encoding import Encoding
from streamfx.media.input.resume_points import ResumePoint
from streamfx.media.output.encoder import Layout, Shape
from streamfx.media.output.paths import replace_durably
from streamfx.media.output.segments import Segment, digest_of
from streamfx.media.probe import Coding

MANIFEST, PREVIOUS = "manifest.json", "manifest.old.json"
PLAN = "plan.json"  # of a job that is rendered in pieces
STATUS, REQUEST = "status.json", "request"  # of running jobs
VERSION = 2  # of the manifest format; other versions cannot be read


@dataclass(frozen=True, slots=True)
class Point:
    """A point between two input frames from which a run can resume."""

    number: int  # input frames before this point
    segments: int  # segments closed before this point
    resume_point: ResumePoint | None  # of the source, if it is a Reader
    values: list[dict[str, list[str]]]  # non-tensor values of each effect's memory: name -> type, text
    memory: str = ""  # file with the tensors; "" if there are none
    sha256: str = ""  # of that file


@dataclass(frozen=True, slots=True)
class Manifest:
    """The finished part of a run; the field names are keys of the JSON file."""

    identity: Fingerprint
    every: int  # input frames per segment
    layout: Layout | None = None
    segments: list[Segment] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)  # at the ends of segments, oldest first
    complete: bool = False  # all segments exist and only need to be joined


def load(folder: Path) -> Manifest | None:
    """Load the manifest of an earlier run; None if there is none.

    If the manifest is damaged, load the previous one. Raises StreamfxError if both are damaged.
    """
    paths = [folder / name for name in (MANIFEST, PREVIOUS) if (folder / name).is_file()]
    for path in paths:
        with suppress(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, OSError):
            return _parse_manifest(json.loads(path.read_bytes()))
    if paths:
        raise StreamfxError(f"'{paths[0]}' is damaged or from another version; start over with -y")
    return None


def store(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest; the last one is kept as PREVIOUS."""
    body = asdict(manifest)
    text = json.dumps(body, default=str)
    part = folder / "manifest.part"
    part.write_text(json.dumps({"form": VERSION, "sha256": digest_of(text.encode()), "body": text}))
    with suppress(FileNotFoundError):
        (folder / PREVIOUS).unlink(missing_ok=True)
        os.link(folder / MANIFEST, folder / PREVIOUS)
    replace_durably(part, folder / MANIFEST)


def _parse_manifest(data: dict[str, Any]) -> Manifest:
    """Raises one of the errors that `load` suppresses if the data is damaged."""
    if data["form"] != VERSION or data["sha256"] != digest_of(data["body"].encode()):
        raise ValueError("damaged")
    body = json.loads(data["body"])
    segments = [Segment(**segment) for segment in body["segments"]]
    points = [Point(**{**point, "resume_point": _resume_point(point["resume_point"])}) for point in body["points"]]
    layout = None if body["layout"] is None else _parse_layout(body["layout"])
    return Manifest(Fingerprint(**body["identity"]), body["every"], layout, segments, points, body["complete"])


def _resume_point(data: dict[str, Any] | None) -> ResumePoint | None:
    if data is None:
        return None
    damaged_at = None if data["damaged_at"] is None else Fraction(data["damaged_at"])
    return ResumePoint(**{**data, "time": Fraction(data["time"]), "damaged_at": damaged_at})


def _parse_layout(data: dict[str, Any]) -> Layout:
    coding = Coding(**data["encoding"]["coding"])
    size, rates = (
        [data["shape"][name] for name in names]
        for names in (("height", "width"), ("rate", "time_base", "sample_aspect_ratio"))
    )
    shape = Shape(*size, *map(Fraction, rates))
    return Layout(Encoding(**{**data["encoding"], "coding": coding}), shape, Fraction(data["base"]))
