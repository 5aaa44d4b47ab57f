"""Shot detection: finds cuts on tiny grayscale frames."""

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
REACH = 6, 10  # rows and columns that the camera may move between frames
MEMORY = 4  # frames to compare with; enough to look back past a flash
STEP = 4.0  # of 255: a smaller mean difference to the previous frame is never a cut
JUMP = 1.6  # a difference this many times larger than recent differences is a jump
JUMP_THRESHOLD, THRESHOLD = 0.6, 0.4  # correlations with all earlier frames below which a jump, or any step, is a cut
FLAT = 5.0  # of 255: frames with a smaller standard deviation are ignored


class CutDetector:
    """Detects, frame by frame, where a new shot starts.

    A frame starts a new shot if its center, shifted by up to REACH, correlates with none of the last MEMORY frames. The
    threshold is higher if the difference to the previous frame jumps. Correlation ignores brightness, so fast pans,
    flashes, fades, noise and dissolves are not cuts. Flat frames (black, or a white flash) are ignored: after a fade
    through black, the cut is the first frame of the new shot with visible content.
    """

    def __init__(self, state: str = "") -> None:
        """`state` is the state() of another detector, to continue from."""
        self._scaler = VideoReformatter()  # reuses FFmpeg's scaler
        saved: dict[str, Any] = json.loads(state or '{"seen": [], "steps": []}')
        flat = [np.frombuffer(zlib.decompress(b64decode(text)), np.uint8) for text in saved["seen"]]
        self._recent: deque[Small] = deque((row.reshape(HEIGHT, WIDTH).astype(np.float32) for row in flat), MEMORY)
        self._steps: deque[float] = deque(saved["steps"], MEMORY - 1)  # recent mean differences between frames

    def state(self) -> str:
        """Return the state after the frames so far, as text."""
        frames = [b64encode(zlib.compress(small.astype(np.uint8).tobytes())).decode() for small in self._recent]
        return json.dumps({"seen": frames, "steps": list(self._steps)})

    def copy(self) -> CutDetector:
        """A detector in the same state."""
        other = CutDetector()
        other._recent, other._steps = self._recent.copy(), self._steps.copy()
        return other

    def is_cut(self, frame: VideoFrame) -> bool:
        """Whether the frame starts a new shot; False for the first. Call once per frame, in order."""
        return self.begins_shot(self._downscale(frame))

    def begins_shot(self, small: Small) -> bool:
        """`is_cut` for a frame that is already downscaled."""
        if small.std() < FLAT:
            return False
        if not self._recent:
            self._recent.append(small)
            return False
        step = float(np.abs(small - self._recent[-1]).mean())
        threshold = JUMP_THRESHOLD if step > JUMP * max(self._steps, default=0.0) else THRESHOLD
        cut = step > STEP and all(_similarity(small, old) < threshold for old in reversed(self._recent))
        if cut:
            self._steps.clear()
        else:
            self._steps.append(step)
        self._recent.append(small)
        return cut

    def _downscale(self, frame: VideoFrame) -> Small:
        scaled = self._scaler.reformat(frame, WIDTH, HEIGHT, "gray", interpolation="AREA")
        return scaled.to_ndarray().astype(np.float32)


def _similarity(small: Small, old: Small) -> float:
    """Return the correlation of two frames, -1..1: unshifted, or of each center with the best match in the other frame.

    Both directions must match, because a frame with little content contains a match for anything.
    """
    unshifted = float(np.corrcoef(small.ravel(), old.ravel())[0, 1])
    if unshifted >= JUMP_THRESHOLD:
        return unshifted
    return max(unshifted, min(_best_match(small, old), _best_match(old, small)))


def _best_match(small: Small, old: Small) -> float:
    """Return the correlation, -1..1, of the center of `small` with the most similar window of `old`."""
    center = small[REACH[0] : HEIGHT - REACH[0], REACH[1] : WIDTH - REACH[1]]
    center = center - center.mean()
    windows = sliding_window_view(old - old.mean(), center.shape)  # [13, 21, 24, 44]
    product = np.einsum("abij,ij->ab", windows, center)
    power = np.einsum("abij,abij->ab", windows, windows) - center.size * np.square(windows.mean((2, 3)))
    return float(np.max(product / np.sqrt(np.maximum(power, 1.0) * max(float(np.square(center).sum()), 1.0))))
