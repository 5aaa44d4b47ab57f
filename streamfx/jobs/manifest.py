"""What a run tells of its work: settings, segments, and places to go on from, in one file that is replaced at once."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from streamfx.errors import StreamfxError
from streamfx.jobs.fingerprint import Identity
from streamfx.media.input.resume_points import Mark
from streamfx.media.output.encoder import Shape
from streamfx.media.output.encoder_selection import Encoding
from streamfx.media.output.paths import put
from streamfx.media.output.segments import Layout, Segment, digest_of
from streamfx.media.probe import Coding

MANIFEST, BEFORE = "manifest.json", "manifest.old.json"
FORM = 1  # of the manifest; another one cannot be read


@dataclass(frozen=True, slots=True)
class Point:
    """A place between two input frames at which a run can go on."""

    number: int  # input frames before it
    segments: int  # closed before it
    mark: Mark | None  # of the source, where it is a Reader
    values: list[dict[str, list[str]]]  # of each effect's memory, what is no tensor: name -> kind, text
    memory: str = ""  # file of the tensors; "" where there are none
    sha256: str = ""  # of that file


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a run knows of the work that is done."""

    identity: Identity
    every: int  # input frames from one boundary of segments to the next
    layout: Layout | None = None
    segments: list[Segment] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)  # at the ends of segments, the latest last
    complete: bool = False  # all segments are there; only the film is to be joined


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
