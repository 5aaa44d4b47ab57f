"""The fingerprint of a video: everything it depends on, to decide whether it can be resumed or is already finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streamfx.effects.defaults import input_files
from streamfx.errors import StreamfxError
from streamfx.frame import Effect
from streamfx.media.input.image_sequence import files_of, is_pattern
from streamfx.version import __version__

EDGE = 1 << 20  # bytes hashed at each end of a source
MAX_WHOLE = 1 << 26  # bytes; other files up to this size are hashed completely
LIBRARIES = ("av", "torch", "openvino")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Settings by name; size and digests of the source; digests of other input files; versions of libraries."""

    settings: dict[str, str]
    source: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A short hash of everything but the library versions."""
        parts = {name: part for name, part in asdict(self).items() if name != "versions"}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def fingerprint_of(settings: Mapping[str, object], sources: Sequence[Path], chain: Iterable[Effect]) -> Fingerprint:
    """The fingerprint of a video made from the files `sources` and the files that the effects of `chain` read."""
    texts = {name: str(value) for name, value in settings.items()} | {"streamfx": __version__}
    files = {str(path): _digest(path) for effect in chain for path in input_files(effect) if path.is_file()}
    return Fingerprint(texts, _source_digests(sources), files, {name: _version(name) for name in LIBRARIES})


def source_files(source: str) -> list[Path] | None:
    """The files of a source; None if it cannot be read twice or checked for changes, such as stdin or a URL."""
    if source != "-" and is_pattern(source):
        return files_of(source)
    return [Path(source)] if source != "-" and "://" not in source and Path(source).is_file() else None


def differences(old: Fingerprint, new: Fingerprint) -> list[str]:
    """Descriptions of all differences except library versions."""
    changes = []
    for name in sorted({*old.settings, *new.settings}):
        before, after = old.settings.get(name, ""), new.settings.get(name, "")
        if before != after:
            changes.append(f"{name} was {before or 'not given'}, is {after or 'not given'}")
    if old.source != new.source:
        changes.append("the source has changed")
    for name in sorted({*old.files, *new.files}):
        if name in old.files and name in new.files:
            changes += [f"'{name}' has changed"] if old.files[name] != new.files[name] else []
        elif name in old.files:
            changes.append(f"'{name}' is no longer read")
        else:
            changes.append(f"'{name}' was not read before")
    return changes


def library_changes(old: Fingerprint, new: Fingerprint) -> list[str]:
    """Descriptions of changed library versions."""
    versions = [(name, old.versions.get(name, "none"), version) for name, version in new.versions.items()]
    return [f"{name} was {before}, is {after}" for name, before, after in versions if before != after]


def _source_digests(sources: Sequence[Path]) -> dict[str, str]:
    if not sources:
        return {}
    try:
        sizes = [path.stat().st_size for path in sources]
        with sources[0].open("rb") as stream:
            head = stream.read(EDGE)
        with sources[-1].open("rb") as stream:
            stream.seek(max(0, sizes[-1] - EDGE))
            tail = stream.read(EDGE)
    except OSError as error:
        raise StreamfxError(f"cannot read '{error.filename}': {error.strerror}") from error
    ends = {"head": hashlib.sha256(head).hexdigest(), "tail": hashlib.sha256(tail).hexdigest()}
    return {"files": str(len(sources)), "bytes": str(sum(sizes)), **ends}


def _digest(path: Path) -> str:
    """SHA-256 of a file; digests of the ends only for a large one."""
    if path.stat().st_size > MAX_WHOLE:
        return json.dumps(_source_digests([path]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
