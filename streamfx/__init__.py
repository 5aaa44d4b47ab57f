"""Style transfer and DeepDream for streaming video."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from streamfx.version import __version__ as __version__

if TYPE_CHECKING:
    from streamfx.chain import build_chain
    from streamfx.errors import StreamfxError
    from streamfx.frame import Effect, Frame, Sink, Step
    from streamfx.jobs.compare import Compare
    from streamfx.jobs.generated import StillSource
    from streamfx.jobs.job import Job, run_job
    from streamfx.jobs.notebook import Preview, preview
    from streamfx.jobs.result import JobInterrupted, JobStart, Result
    from streamfx.jobs.status import Progress, Status
    from streamfx.media.encoding import Output
    from streamfx.media.input.reader import Reader, open
    from streamfx.media.output.writer import Writer, create
    from streamfx.pipeline import run

# public name -> module, imported on first access so that the command line starts fast
_MODULES = {
    **dict.fromkeys(("Effect", "Frame", "Sink", "Step"), "frame"),
    **dict.fromkeys(("Job", "run_job"), "jobs.job"),
    **dict.fromkeys(("JobInterrupted", "JobStart", "Result"), "jobs.result"),
    **dict.fromkeys(("Preview", "preview"), "jobs.notebook"),
    **dict.fromkeys(("Progress", "Status"), "jobs.status"),
    **dict.fromkeys(("Reader", "open"), "media.input.reader"),
    **dict.fromkeys(("Writer", "create"), "media.output.writer"),
    "Compare": "jobs.compare",
    "Output": "media.encoding",
    "StillSource": "jobs.generated",
    "StreamfxError": "errors",
    "build_chain": "chain",
    "run": "pipeline",
}

__all__ = [
    "Compare",
    "Effect",
    "Frame",
    "Job",
    "JobInterrupted",
    "JobStart",
    "Output",
    "Preview",
    "Progress",
    "Reader",
    "Result",
    "Sink",
    "Status",
    "Step",
    "StillSource",
    "StreamfxError",
    "Writer",
    "build_chain",
    "create",
    "open",
    "preview",
    "run",
    "run_job",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'streamfx' has no attribute '{name}'")
    return getattr(import_module(f"streamfx.{_MODULES[name]}"), name)
