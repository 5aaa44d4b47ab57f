"""What runs on the nodes of a Ray cluster; imported there, without Ray."""

from __future__ import annotations

import logging
import os
import platform
import socket
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streamfx.jobs.render_piece import Outcome, PieceRequest, try_piece
from streamfx.media.probe import versions as ffmpeg_versions
from streamfx.version import __version__


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node of a cluster has."""

    name: str
    versions: dict[str, str]
    cores: int
    missing: list[str] = field(default_factory=list)  # files that it does not see
    shared: bool = True  # whether it sees the work folder and can write to it


def render(request: PieceRequest, threads: int) -> Outcome:
    """Render a piece on this node."""
    logging.getLogger("streamfx").setLevel(logging.ERROR)  # the driver has read the same source and warned
    return try_piece(request, node_name(), threads)


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


def inspect_node(current_folder: str, files: list[str], folder: str, token: str) -> NodeReport:
    """Look for `files`, and for the file `token` in the work `folder`, which is answered by another one."""
    base = Path(current_folder)
    missing = [name for name in files if not os.access(base / name, os.R_OK)]
    shared = True
    if folder:
        try:
            (Path(folder) / token).read_bytes()
            answer = Path(folder) / f"{token}.{os.getpid()}.part"
            answer.touch()
            answer.unlink()
        except OSError:
            shared = False
    return NodeReport(node_name(), versions(), os.cpu_count() or 1, missing, shared)
