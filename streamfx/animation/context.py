"""What schedules may refer to: the video's length and frame rate, a seed, and the audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What schedules may refer to, besides the frame number."""

    last: int  # number of the video's last frame: max_f
    fps: float = 30.0
    seed: int = 0
    audio: Mapping[str, Array] = field(default_factory=dict)  # variable -> value per frame; the last one is held
    beats: Array | None = None  # frames of the beats, ascending, possibly fractional
    layers: Array | None = None  # value of `layer` in each frame of a feedback video

    def variables(self, frames: Array) -> dict[str, Array]:
        """Variable -> its values at `frames`, which may be fractional; of length 1 if the same in every frame."""
        import numpy as np

        from streamfx.animation.expression import BEATS, LAYER

        values = {"t": frames, **{name: np.array([value]) for name, value in self._constants().items()}}
        tracks = self.audio if self.layers is None else {**self.audio, LAYER: self.layers}
        for name, track in tracks.items():
            values[name] = track[np.clip(np.rint(frames).astype(np.int64), 0, len(track) - 1)]
        if self.beats is not None and len(self.beats) > 1:
            values[BEATS] = self.beats
        return values

    def _constants(self) -> dict[str, float]:
        return {"max_f": float(self.last), "s": float(self.seed), "fps": float(self.fps)}
