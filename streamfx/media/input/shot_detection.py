"""Where one shot ends and another starts, seen on tiny pictures."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame

Small: TypeAlias = NDArray[np.float32]  # [HEIGHT, WIDTH] luma 0..255

HEIGHT, WIDTH = 36, 64
REACH = 6, 10  # rows and columns that the camera may move in one picture's time
MEMORY = 4  # pictures looked back on: those before a flash still count behind it
STEP = 4.0  # of 255: neighbours that differ by less on average are one shot, whatever else
LEAP = 1.6  # times as much as neighbours differed before
ALIKE, UNLIKE = 0.6, 0.4  # correlations with a picture remembered, beneath which a leap, or any step, is a cut
FLAT = 5.0  # of 255: the contrast (standard deviation) below which a picture shows nothing


class CutDetector:
    """Tells of pictures, one after the other, which ones start a new shot.

    A picture does where its middle, shifted by up to REACH and whatever its light, is found in none of the pictures
    remembered; the more so where it differs from the one before it by much more than neighbours did lately. So no fast
    pan, flash, fade or noise is a cut; nor is a dissolve. Flat pictures (black, or white of a flash) tell nothing and
    are passed over: behind a fade through black, the first picture of the new shot that shows something is its cut.
    """

    def __init__(self, remembered: str = "") -> None:
        """Begins with what another one `remembered`."""
        self._shrink = VideoReformatter()  # keeps FFmpeg's scaler
        kept: dict[str, Any] = json.loads(remembered or '{"seen": [], "steps": []}')
        seen = [np.frombuffer(zlib.decompress(b64decode(each)), np.uint8) for each in kept["seen"]]
        self._seen: deque[Small] = deque((each.reshape(HEIGHT, WIDTH).astype(np.float32) for each in seen), MEMORY)
        self._steps: deque[float] = deque(kept["steps"], MEMORY - 1)  # by how much neighbours differed

    def remembered(self) -> str:
        """What it knows of the pictures so far, as text."""
        seen = [b64encode(zlib.compress(each.astype(np.uint8).tobytes())).decode() for each in self._seen]
        return json.dumps({"seen": seen, "steps": list(self._steps)})

    def is_cut(self, picture: VideoFrame) -> bool:
        """Whether the picture starts a new shot; never the first. To be called once for each, in order."""
        return self.begins_shot(self._small(picture))

    def begins_shot(self, small: Small) -> bool:
        """`is_cut` of a picture of which only this is known."""
        if small.std() < FLAT:
            return False
        if not self._seen:
            self._seen.append(small)
            return False
        step = float(np.abs(small - self._seen[-1]).mean())
        alike = ALIKE if step > LEAP * max(self._steps, default=0.0) else UNLIKE
        cut = step > STEP and all(_likeness(small, old) < alike for old in reversed(self._seen))
        if cut:
            self._steps.clear()
        else:
            self._steps.append(step)
        self._seen.append(small)
        return cut

    def _small(self, picture: VideoFrame) -> Small:
        shrunk = self._shrink.reformat(picture, WIDTH, HEIGHT, "gray", interpolation="AREA")
        return shrunk.to_ndarray().astype(np.float32)


def _likeness(small: Small, old: Small) -> float:
    """-1..1: correlation of the two as they are, or where each one's middle is most like a part of the other.

    Both ways, because a picture with little in it has a part that is like anything.
    """
    same = float(np.corrcoef(small.ravel(), old.ravel())[0, 1])
    return same if same >= ALIKE else max(same, min(_found(small, old), _found(old, small)))


def _found(small: Small, old: Small) -> float:
    """-1..1: correlation of the picture's middle with the most similar part of the old one."""
    middle = small[REACH[0] : HEIGHT - REACH[0], REACH[1] : WIDTH - REACH[1]]
    middle = middle - middle.mean()
    parts = sliding_window_view(old - old.mean(), middle.shape)  # [13, 21, 24, 44]
    product = np.einsum("abij,ij->ab", parts, middle)
    power = np.einsum("abij,abij->ab", parts, parts) - middle.size * np.square(parts.mean((2, 3)))
    return float(np.max(product / np.sqrt(np.maximum(power, 1.0) * max(float(np.square(middle).sum()), 1.0))))
