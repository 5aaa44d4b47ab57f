"""What a film depends on, so that a run is gone on with, or a film taken for finished, only where it is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streamfx import __version__
from streamfx.errors import StreamfxError
from streamfx.frame import Effect
from streamfx.media.input.image_sequence import files_of, is_pattern

EDGE = 1 << 20  # bytes at both ends of a source that are looked at
WHOLE = 1 << 26  # bytes up to which other files are read in whole
LIBRARIES = ("av", "torch", "openvino")


@dataclass(frozen=True, slots=True)
class Identity:
    """Settings by name; the source's size, head and tail; digests of other files read; versions of libraries."""

    settings: dict[str, str]
    source: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A short name of the film that comes of it; libraries are not in it."""
        told = {name: part for name, part in asdict(self).items() if name != "versions"}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def identify(settings: Mapping[str, object], sources: Sequence[Path], chain: Iterable[Effect]) -> Identity:
    """The identity of a film of `sources`, the files of one source or none, and of what the effects of a chain read."""
    said = {name: str(value) for name, value in settings.items()} | {"streamfx": __version__}
    files = {str(path): _digest(path) for effect in chain for path in _read_by(effect) if path.is_file()}
    return Identity(said, _fingerprint(sources), files, {name: _version(name) for name in LIBRARIES})


def files_read(source: str) -> list[Path] | None:
    """The files that a source is; None where it cannot be read twice, or nobody can tell whether it has changed."""
    if source != "-" and is_pattern(source):
        return files_of(source)
    return [Path(source)] if source != "-" and "://" not in source and Path(source).is_file() else None


def differences(was: Identity, now: Identity) -> list[str]:
    """What of the film would be another, in words; what libraries there are is left out."""
    said = []
    for name in sorted({*was.settings, *now.settings}):
        before, after = was.settings.get(name, ""), now.settings.get(name, "")
        if before != after:
            said.append(f"{name} was {before or 'not given'}, is {after or 'not given'}")
    if was.source != now.source:
        said.append("the source has changed")
    for name in sorted({*was.files, *now.files}):
        if name in was.files and name in now.files:
            said += [f"'{name}' has changed"] if was.files[name] != now.files[name] else []
        elif name in was.files:
            said.append(f"'{name}' is no longer read")
        else:
            said.append(f"'{name}' was not read before")
    return said


def other_libraries(was: Identity, now: Identity) -> list[str]:
    """Libraries of another version than before."""
    both = [(name, was.versions.get(name, "none"), version) for name, version in now.versions.items()]
    return [f"{name} was {before}, is {after}" for name, before, after in both if before != after]


def _read_by(effect: Effect) -> Iterable[Path]:
    """The files that an effect takes its manner from, where it tells them by a method `reads`."""
    reads = getattr(effect, "reads", None)
    return reads() if reads else ()


def _fingerprint(sources: Sequence[Path]) -> dict[str, str]:
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
    """Of a whole file, or of the ends of a large one."""
    if path.stat().st_size > WHOLE:
        return json.dumps(_fingerprint([path]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
