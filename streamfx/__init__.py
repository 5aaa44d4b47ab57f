"""Paint and dream on video while it streams."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamfx.chain import build_chain
    from streamfx.errors import StreamfxError
    from streamfx.frame import Effect, Frame, Sink, Step
    from streamfx.media.encoding import Output
    from streamfx.media.reader import Reader, open
    from streamfx.media.writer import Writer, create
    from streamfx.pipeline import run

__version__ = "0.1.0"

# public name -> module; loaded when first asked for, so that the command line starts fast
_HOMES = {
    "Effect": "frame",
    "Frame": "frame",
    "Output": "media.encoding",
    "Reader": "media.reader",
    "Sink": "frame",
    "Step": "frame",
    "StreamfxError": "errors",
    "Writer": "media.writer",
    "build_chain": "chain",
    "create": "media.writer",
    "open": "media.reader",
    "run": "pipeline",
}

__all__ = [
    "Effect",
    "Frame",
    "Output",
    "Reader",
    "Sink",
    "Step",
    "StreamfxError",
    "Writer",
    "build_chain",
    "create",
    "open",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'streamfx' has no attribute '{name}'")
    return getattr(import_module(f"streamfx.{_HOMES[name]}"), name)
