"""What runs on the nodes of a Ray cluster; imported there, without Ray."""

from __future__ import annotations

import logging
import os
import platform
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streamfx.jobs.job import Job, run_job
from streamfx.jobs.render_piece import JobRequest, Outcome, PieceRequest, failed, limit_torch, try_piece
from streamfx.media.limits import limit_pixels
from streamfx.media.probe import versions as ffmpeg_versions
from streamfx.media.threads import limit_threads
from streamfx.version import __version__

log = logging.getLogger("streamfx")


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node of a cluster has."""

    name: str
    versions: dict[str, str]
    cores: int
    missing: list[str] = field(default_factory=list)  # files that it does not see
    shared: bool = True  # whether it sees the work folder and can write to it


def render(request: PieceRequest | JobRequest, threads: int, expected: Mapping[str, str]) -> Outcome:
    """Render a piece or run a job on this node, if it has the `expected` versions and sees the files.

    That is checked before the work, but this node may have joined later.
    """
    number = request.number
    if difference := version_difference(versions(), expected):
        return Outcome(number, node_name(), f"it has {difference}", retry=True)
    if missing := missing_files(request.current_folder, request.files):
        return Outcome(number, node_name(), f"it does not see {quoted(missing)}", retry=True)
    if isinstance(request, JobRequest):
        return try_job(request, node_name(), threads)
    log.setLevel(logging.ERROR)  # the driver has read the same source and warned
    return try_piece(request, node_name(), threads)


def try_job(request: JobRequest, worker: str, threads: int | None = None) -> Outcome:
    """Run a job that is not split, with `threads` threads if given; never raises."""
    warnings: list[str] = []
    handler = _Collector(warnings)
    log.addHandler(handler)
    try:
        with suppress(OSError):  # where it does not exist, only absolute paths are found
            os.chdir(request.current_folder)
        limit_pixels(request.max_pixels)
        if threads:
            limit_threads(threads)
            limit_torch(threads)
        assert isinstance(request.job, Job)
        result = run_job(request.job, resume=request.resume)
        return Outcome(request.number, worker, result=result, warnings=tuple(warnings))
    except Exception as error:
        return replace(failed(request.number, worker, error), warnings=tuple(warnings))
    finally:
        log.removeHandler(handler)


class _Collector(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


def missing_files(current_folder: str, files: Sequence[str]) -> list[str]:
    """Those of the files that this node does not see or cannot read."""
    return [name for name in files if not os.access(Path(current_folder, name), os.R_OK)]


def quoted(names: Sequence[str]) -> str:
    """Names for a message."""
    return ", ".join(f"'{name}'" for name in names)


def node_name() -> str:
    """The name of this machine."""
    return socket.gethostname()


def versions() -> dict[str, str]:
    """Versions that must be the same on all nodes, so that all segments fit together."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "none"
    python = ".".join(platform.python_version_tuple()[:2])  # in which requests are pickled
    probed = ffmpeg_versions()
    return {
        "streamfx": __version__,
        "torch": torch,
        "FFmpeg": probed["ffmpeg"],
        "PyAV": probed["av"],
        "Python": python,
    }


def version_difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """The first version of a node that differs from ours; empty if none does."""
    for name, number in ours.items():
        if theirs.get(name) != number:
            return f"{name} {theirs.get(name)}, the machine with the command {number}"
    return ""


def inspect_node(name: str, current_folder: str, files: list[str], folder: str, token: str) -> NodeReport:
    """Look for `files`, and for the file `token` in the work `folder`, which is answered by another one."""
    missing = missing_files(current_folder, files)
    shared = True
    if folder:
        try:
            (Path(folder) / token).read_bytes()
            answer = Path(folder) / f"{token}.{os.getpid()}.part"
            answer.touch()
            answer.unlink()
        except OSError:
            shared = False
    return NodeReport(name, versions(), os.cpu_count() or 1, missing, shared)
