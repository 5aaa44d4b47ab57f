"""What callers may ask of an effect besides `build`, with a default for effects that do not say.

An effect may define any of these: methods `input_files()` and `resolve(device, start)`, attributes or properties
`segment_length`, `working_pixels`, `uses_all_cores` and `prefers_speed`.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import torch

    from streamfx.frame import Effect

_SEGMENT_LENGTH = 300  # frames


def input_files(effect: Effect) -> list[Path]:
    """The files that the effect's output depends on, for the fingerprint of a job; default: none."""
    method = getattr(effect, "input_files", None)
    return list(method()) if method else []


def resolve(effect: Effect, device: torch.device, start: Fraction) -> Effect:
    """The effect with everything chosen that was left open, for a video that begins at `start` seconds of its source.

    Choices such as a network or a precision become part of the job's fingerprint. Default: the effect itself. Raises
    StreamfxError.
    """
    method = getattr(effect, "resolve", None)
    return cast("Effect", method(device, start)) if method else effect


def segment_length(effect: Effect) -> int:
    """Frames between two checkpoints: about half a minute of work on two CPU cores. Default: 300."""
    return int(getattr(effect, "segment_length", _SEGMENT_LENGTH))


def working_pixels(effect: Effect) -> float | None:
    """Pixels of the resolution that the effect works at, if it scales larger frames down to it; default: None."""
    return cast("float | None", getattr(effect, "working_pixels", None))


def uses_all_cores(effect: Effect) -> bool:
    """Whether the effect computes in torch for so long that it needs all CPU cores; default: False."""
    return bool(getattr(effect, "uses_all_cores", False))


def prefers_speed(effect: Effect) -> bool:
    """Whether the output should be encoded fast rather than small; default: False."""
    return bool(getattr(effect, "prefers_speed", False))
