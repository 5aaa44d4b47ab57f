"""Audio samples that are not numbers, or far too large, become silence."""

from __future__ import annotations

from typing import Any

import numpy as np
from av import AudioFrame
from numpy.typing import NDArray

_MAX_SAMPLE = 1e6  # larger ones are garbage, even in files scaled to 16 bits


def silence_invalid(samples: NDArray[np.floating[Any]]) -> bool:
    """Set invalid samples to 0 in place; returns whether there were any."""
    usable = np.abs(samples) < _MAX_SAMPLE  # false for NaN
    if usable.all():
        return False
    samples[~usable] = 0
    return True


def silence_invalid_frame(frame: AudioFrame) -> bool:
    """Like `silence_invalid`, for a frame of floats with up to 8 channels."""
    assert frame.format.name in ("flt", "fltp")
    planes, count = frame.layout.nb_channels, 1  # of planes, of channels in each
    if not frame.format.is_planar:
        planes, count = count, planes
    # PyAV counts the planes out of bounds, but these are valid
    arrays = [np.frombuffer(memoryview(plane), np.float32, count * frame.samples) for plane in frame.planes[:planes]]
    return sum(map(silence_invalid, arrays)) > 0
