"""Moving scenes whose motion is known exactly: a photo that shifts, zooms and turns, and something in front of it."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class Pair:
    """Two frames of a scene, and what is true between them."""

    previous: np.ndarray  # [H, W, 3] float32 RGB 0..1
    current: np.ndarray  # [H, W, 3]
    flow: np.ndarray  # [2, H, W] pixels: where each pixel of the current frame was in the previous one, relative to it
    occluded: np.ndarray  # [H, W] bool: was hidden by the mover, or outside the frame
    mover: np.ndarray  # [H, W] bool: is the mover's in the current frame


@dataclass(frozen=True)
class Scene:
    """A photo under a moving camera and an ellipse cut from another photo, which moves on its own."""

    height: int = 720
    width: int = 1280
    ground: str = "sklearn/datasets/images/china.jpg"
    cover: str | None = "skimage/data/chelsea.png"
    shift: tuple[float, float] = (2.3, -1.6)  # pixels a frame, right and down, of the ground
    zoom: float = 1.0  # factor a frame, about the frame's centre
    turn: float = 0.0  # degrees a frame
    cover_shift: tuple[float, float] = (-6.4, 3.7)  # pixels a frame
    noise: float = 0.0  # standard deviation of the sensor's noise, 0..255
    seed: int = 0

    def pair(self) -> Pair:
        import cv2

        size = self.width, self.height
        ground, cover = _photo(self.ground, size, 1.3), _photo(self.cover or self.ground, size, 0.6)
        camera = self._camera()
        at_rest = _centring(ground, size)
        frames, covers = [], []
        centre = np.array([0.5 * self.width, 0.5 * self.height])
        for moment in (0, 1):
            place = np.linalg.matrix_power(camera, moment) @ at_rest
            image = cv2.warpAffine(ground, place[:2], size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
            hidden = np.zeros((self.height, self.width), np.float32)
            if self.cover:
                by = moment * np.array(self.cover_shift)
                place = _moved(*by) @ _centring(cover, size)
                layer = cv2.warpAffine(cover, place[:2], size, flags=cv2.INTER_CUBIC)
                hidden = self._ellipse(centre + by)
                image = image * (1 - hidden[..., None]) + layer * hidden[..., None]
            frames.append(image)
            covers.append(hidden)
        y, x = np.mgrid[: self.height, : self.width].astype(np.float64)
        back = np.linalg.inv(camera)
        of_ground = np.stack(
            [back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2]]
        )
        mover = covers[1] > 0.5
        came_from = np.where(mover, np.stack([x, y]) - np.array(self.cover_shift)[:, None, None], of_ground)
        outside = (came_from < -0.5).any(0) | (came_from[0] > self.width - 0.5) | (came_from[1] > self.height - 0.5)
        was_mover = cv2.remap(covers[0], *came_from.astype(np.float32), cv2.INTER_LINEAR) > 0.5
        random = np.random.default_rng(self.seed)
        noisy = [np.clip(f + random.normal(0, self.noise / 255, f.shape), 0, 1).astype(np.float32) for f in frames]
        flow = (came_from - np.stack([x, y])).astype(np.float32)
        return Pair(*noisy, flow, outside | (was_mover & ~mover), mover)

    def _camera(self) -> np.ndarray:
        """[3, 3] where a point of one frame is in the next."""
        angle, (x, y) = np.deg2rad(self.turn), (0.5 * self.width, 0.5 * self.height)
        linear = self.zoom * np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        linear[2, 2] = 1
        return _moved(*self.shift) @ _moved(x, y) @ linear @ _moved(-x, -y)

    def _ellipse(self, centre: np.ndarray) -> np.ndarray:
        """[H, W] 0..1 the mover's share of each pixel."""
        y, x = np.mgrid[: self.height, : self.width]
        across, down = 0.13 * self.width, 0.24 * self.height
        inside = 1 - np.hypot((x - centre[0]) / across, (y - centre[1]) / down)
        return np.clip(inside * min(across, down) + 0.5, 0, 1).astype(np.float32)


def _moved(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def _centring(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[3, 3] puts the middle of the photo into the middle of the frame."""
    return _moved((size[0] - photo.shape[1]) / 2, (size[1] - photo.shape[0]) / 2)


def _photo(name: str, size: tuple[int, int], share: float) -> np.ndarray:
    """A photo of a package's wheel, [H, W, 3] float32 0..1, at least `share` of the frame's size."""
    import cv2

    package, _, file = name.partition("/")
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    read = cv2.imread(str(Path(spec.origin).parent / file))[..., ::-1].astype(np.float32) / 255
    factor = share * max(size[0] / read.shape[1], size[1] / read.shape[0])
    kind = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return cv2.resize(read, None, fx=factor, fy=factor, interpolation=kind).clip(0, 1)


@pytest.fixture(scope="session")
def scene():
    """scene(**settings): the Pair of a Scene."""
    return lambda **settings: Scene(**settings).pair()
