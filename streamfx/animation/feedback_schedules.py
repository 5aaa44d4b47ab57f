"""Schedules of feedback videos: their defaults with and without audio, their ranges, and when layers take turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from streamfx.animation.context import Context
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"

MAX_SCENE = 12  # seconds; with several layers, the longest time before a change
DEFAULT_SCHEDULES = {  # without audio; tuned at 30 frames per second
    "zoom": "(1.008 + 0.005*noise(t/fps/3, 1))**(30/fps)",
    "angle": "0.35*noise(t/fps/4, 2)*30/fps",
    "shift_x": "1.5*noise(t/fps/3, 3)*30/fps",
    "shift_y": "1.0*noise(t/fps/3, 4)*30/fps",
    "step": "0.014*min(1, 0.4 + t/fps/2)",
    "view": "0",
}
AUDIO_SCHEDULES = {
    "zoom": "(1.003 + 0.008*bass + 0.02*beat)**(30/fps)",
    "angle": "(where(section % 2 == 0, 1, -1)*(0.08 + 0.5*beat) + 0.25*noise(t/fps/4, 2))*30/fps",
    "shift_x": "(1.5*noise(t/fps/3, 3) + 3*mid*noise(t/fps/2, 5))*30/fps",
    "shift_y": "(1.0*noise(t/fps/3, 4) + 3*high*noise(t/fps/2, 6))*30/fps",
    "step": "(0.010 + 0.010*rms + 0.006*onset)*min(1, 0.4 + t/fps/2)*min(1, 0.1 + 8*rms)",
    "view": "0.035*max(0, 1 - 8*rms)",  # in quiet passages the start image returns
}
_RANGES = {"zoom": (0.01, 100.0), "step": (0.0, 1.0), "view": (0.0, 1.0)}


def layer_indices(context: Context, layers: int) -> Array:
    """For each frame, which of so many layers it dreams: the next at each section of the audio and after MAX_SCENE."""
    import numpy as np

    count = context.last + 1
    sections = context.audio.get("section", np.zeros(1))
    boundaries = [0, *(np.flatnonzero(np.diff(sections[:count])) + 1), count]
    longest = max(1, round(MAX_SCENE * context.fps))
    indices: list[int] = []
    index = 0
    for start, stop in pairwise(boundaries):
        for _ in range(start, stop, longest):
            indices += [index] * min(longest, stop - len(indices))
            index = (index + 1) % layers
    return np.array(indices, np.float64)


def check_schedules(texts: Mapping[str, str], context: Context, layers: int) -> None:
    """Raise StreamfxError for schedules, by name, that are invalid in this context; empty ones are not set."""
    from streamfx.animation.schedule import parse_schedule

    known = replace(context, layers=layer_indices(context, layers))
    for name, text in texts.items():
        if text:
            parse_schedule(text, name).check(known)


def tracks(texts: Mapping[str, str], context: Context, layers: int) -> dict[str, Array]:
    """Name -> its value in each frame: the schedules, which may use `layer`, and `layer` itself.

    Raises StreamfxError, with the frame, for schedules that are invalid or out of range.
    """
    import numpy as np

    from streamfx.animation.schedule import parse_schedule

    layer = layer_indices(context, layers)
    known = replace(context, layers=layer)
    values = {name: parse_schedule(text, name).values(len(layer), known) for name, text in texts.items()}
    for name, (low, high) in _RANGES.items():
        invalid = np.flatnonzero((values[name] < low) | (values[name] > high))
        if len(invalid):
            frame = int(invalid[0])
            value = values[name][frame]
            raise StreamfxError(f"{name} is {value:g} at frame {frame}, but must be from {low:g} to {high:g}")
    return values | {"layer": layer}
