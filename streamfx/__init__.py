"""Paint and dream on video while it streams."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamfx.chain import build_chain
    from streamfx.errors import StreamfxError
    from streamfx.frame import Effect, Frame, Sink, Step
    from streamfx.media.input.reader import Reader, open
    from streamfx.media.output.encoder_selection import Output
    from streamfx.media.output.writer import Writer, create
    from streamfx.pipeline import run

__version__ = "0.1.0"

# public name -> module; loaded when first asked for, so that the command line starts fast
_HOMES = {
    "Effect": "frame",
    "Frame": "frame",
    "Output": "media.output.encoder_selection",
    "Reader": "media.input.reader",
    "Sink": "frame",
    "Step": "frame",
    "StreamfxError": "errors",
    "Writer": "media.output.writer",
    "build_chain": "chain",
    "create": "media.output.writer",
    "open": "media.input.reader",
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
