"""Style transfer and DeepDream for streaming video."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from streamfx.version import __version__ as __version__

if TYPE_CHECKING:
    from streamfx.chain import build_chain
    from streamfx.errors import StreamfxError
    from streamfx.frame import Effect, Frame, Sink, Step
    from streamfx.jobs.job import Job, Result, run_job
    from streamfx.jobs.status import Progress, Status
    from streamfx.media.encoding import Output
    from streamfx.media.input.reader import Reader, open
    from streamfx.media.output.writer import Writer, create
    from streamfx.pipeline import run

# public name -> module, imported on first access so that the command line starts fast
_MODULES = {
    "Effect": "frame",
    "Frame": "frame",
    "Job": "jobs.job",
    "Output": "media.encoding",
    "Progress": "jobs.status",
    "Reader": "media.input.reader",
    "Result": "jobs.job",
    "Sink": "frame",
    "Status": "jobs.status",
    "Step": "frame",
    "StreamfxError": "errors",
    "Writer": "media.output.writer",
    "build_chain": "chain",
    "create": "media.output.writer",
    "open": "media.input.reader",
    "run": "pipeline",
    "run_job": "jobs.job",
}

__all__ = [
    "Effect",
    "Frame",
    "Job",
    "Output",
    "Progress",
    "Reader",
    "Result",
    "Sink",
    "Status",
    "Step",
    "StreamfxError",
    "Writer",
    "build_chain",
    "create",
    "open",
    "run",
    "run_job",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'streamfx' has no attribute '{name}'")
    return getattr(import_module(f"streamfx.{_MODULES[name]}"), name)
