"""Synthetic scenes with known motion: a photo that shifts, zooms and rotates, and an object in front of it."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class Pair:
    """Two frames of a scene with ground truth."""

    previous: np.ndarray  # [H, W, 3] float32 RGB 0..1
    current: np.ndarray  # [H, W, 3]
    flow: np.ndarray  # [2, H, W] pixels: offset from each pixel of the current frame to its previous position
    occluded: np.ndarray  # [H, W] bool: was hidden by the object, or outside the frame
    mover: np.ndarray  # [H, W] bool: belongs to the object in the current frame


@dataclass(frozen=True)
class Scene:
    """A photo under a moving camera, and an ellipse cut from another photo that moves independently."""

    height: int = 720
    width: int = 1280
    background: str = "sklearn/datasets/images/china.jpg"
    foreground: str | None = "skimage/data/chelsea.png"
    shift: tuple[float, float] = (2.3, -1.6)  # pixels per frame, x and y, of the background
    zoom: float = 1.0  # factor per frame, about the center
    turn: float = 0.0  # degrees per frame
    foreground_shift: tuple[float, float] = (-6.4, 3.7)  # pixels per frame
    noise: float = 0.0  # standard deviation of the sensor noise, 0..255
    seed: int = 0

    def pair(self) -> Pair:
        import cv2

        size = self.width, self.height
        background, foreground = (
            _photo(self.background, size, 1.3),
            _photo(self.foreground or self.background, size, 0.6),
        )
        camera = self._camera()
        at_rest = _centering(background, size)
        frames, masks = [], []
        center = np.array([0.5 * self.width, 0.5 * self.height])
        for time in (0, 1):
            matrix = np.linalg.matrix_power(camera, time) @ at_rest
            image = cv2.warpAffine(
                background, matrix[:2], size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            )
            hidden = np.zeros((self.height, self.width), np.float32)
            if self.foreground:
                offset = time * np.array(self.foreground_shift)
                matrix = _moved(*offset) @ _centering(foreground, size)
                layer = cv2.warpAffine(foreground, matrix[:2], size, flags=cv2.INTER_CUBIC)
                hidden = self._ellipse(center + offset)
                image = image * (1 - hidden[..., None]) + layer * hidden[..., None]
            frames.append(image)
            masks.append(hidden)
        y, x = np.mgrid[: self.height, : self.width].astype(np.float64)
        back = np.linalg.inv(camera)
        background_source = np.stack(
            [back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2]]
        )
        mover = masks[1] > 0.5
        source = np.where(mover, np.stack([x, y]) - np.array(self.foreground_shift)[:, None, None], background_source)
        outside = (source < -0.5).any(0) | (source[0] > self.width - 0.5) | (source[1] > self.height - 0.5)
        was_mover = cv2.remap(masks[0], *source.astype(np.float32), cv2.INTER_LINEAR) > 0.5
        random = np.random.default_rng(self.seed)
        noisy = [np.clip(f + random.normal(0, self.noise / 255, f.shape), 0, 1).astype(np.float32) for f in frames]
        flow = (source - np.stack([x, y])).astype(np.float32)
        return Pair(*noisy, flow, outside | (was_mover & ~mover), mover)

    def _camera(self) -> np.ndarray:
        """[3, 3]: maps a point of one frame to the next."""
        angle, (x, y) = np.deg2rad(self.turn), (0.5 * self.width, 0.5 * self.height)
        linear = self.zoom * np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        linear[2, 2] = 1
        return _moved(*self.shift) @ _moved(x, y) @ linear @ _moved(-x, -y)

    def _ellipse(self, center: np.ndarray) -> np.ndarray:
        """[H, W] 0..1: coverage of each pixel by the object."""
        y, x = np.mgrid[: self.height, : self.width]
        across, down = 0.13 * self.width, 0.24 * self.height
        inside = 1 - np.hypot((x - center[0]) / across, (y - center[1]) / down)
        return np.clip(inside * min(across, down) + 0.5, 0, 1).astype(np.float32)


def _moved(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def _centering(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[3, 3]: moves the center of the photo to the center of the frame."""
    return _moved((size[0] - photo.shape[1]) / 2, (size[1] - photo.shape[0]) / 2)


def _photo(name: str, size: tuple[int, int], share: float) -> np.ndarray:
    """A photo from an installed package, [H, W, 3] float32 0..1, at least `share` of the frame's size."""
    import cv2

    package, _, file = name.partition("/")
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    photo = cv2.imread(str(Path(spec.origin).parent / file))[..., ::-1].astype(np.float32) / 255
    factor = share * max(size[0] / photo.shape[1], size[1] / photo.shape[0])
    interpolation = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return cv2.resize(photo, None, fx=factor, fy=factor, interpolation=interpolation).clip(0, 1)


@pytest.fixture(scope="session")
def scene():
    """scene(**settings): the Pair of a Scene."""
    return lambda **settings: Scene(**settings).pair()
