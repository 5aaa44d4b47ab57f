"""How close a picture's colors and strokes come to those of a painting, by image statistics instead of a network.

Three distances, each a Wasserstein distance between distributions of the picture and of the painting:
color    CIELAB colors, averaged over areas of 4x4 pixels; sliced (Rabin et al. 2011), relative to the painting's spread
energy   logarithm of the gradient's energy at scales of 2, 4, 8 and 16 pixels: a plain sky costs here
strokes  coherence of the structure tensor (Bigun and Granlund 1987) at the same scales, weighted by contrast
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array: TypeAlias = NDArray[np.floating[Any]]
SIDE = 768  # pixels of the longer side at which pictures are compared
SCALES = (2, 4, 8, 16)  # pixels
QUANTILES = np.linspace(0.02, 0.98, 49)
STROKES_WEIGHT = 5.0  # coherence lies in 0..1; the factor makes its distances as large as the others
DIRECTIONS = 64  # of the sliced distance


@dataclass(frozen=True)
class Painterly:
    """Distances of a picture from a painting; lower is closer."""

    color: float
    energy: float
    strokes: float

    @property
    def mean(self) -> float:
        return (self.color + self.energy + self.strokes) / 3


class Ruler:
    """Measures pictures beside one painting, all with a longer side of SIDE pixels."""

    def __init__(self, painting: Image.Image) -> None:
        normals = np.random.default_rng(0).normal(size=(DIRECTIONS, 3))
        self.directions = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        self.colors, self.scales = describe(painting)

    def measure(self, image: Image.Image) -> Painterly:
        colors, scales = describe(image)
        slices = zip((colors @ self.directions.T).T, (self.colors @ self.directions.T).T)
        color = np.mean([difference(quantiles(own), quantiles(target)) for own, target in slices])
        pairs = list(zip(scales, self.scales))
        energy = np.mean([difference(own[0], target[0]) for own, target in pairs])
        strokes = np.mean([difference(own[1], target[1]) for own, target in pairs])
        return Painterly(float(color / self.colors.std(0).mean()), float(energy), float(strokes * STROKES_WEIGHT))


def describe(image: Image.Image) -> tuple[Array, list[tuple[Array, Array]]]:
    """Colors [N, 3], and per scale the quantiles of log energy and of coherence."""
    rgb = np.asarray(image.convert("RGB"))
    factor = SIDE / max(rgb.shape[:2])
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    rgb = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=smooth)
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colors = cv2.resize(lab, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    return colors.astype(np.float64), list(strokes_by_scale(lab[..., 0]))


def strokes_by_scale(lightness: Array) -> Iterator[tuple[Array, Array]]:
    for scale in SCALES:
        smooth = cv2.GaussianBlur(lightness, (0, 0), scale / 2)
        gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
        xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), 1.5 * scale) for product in (gx * gx, gy * gy, gx * gy))
        energy = xx + yy
        coherence = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (energy + 1e-6)
        yield quantiles(np.log(energy + 1e-2)), quantiles(coherence, np.sqrt(energy))


def quantiles(values: Array, weights: Array | None = None) -> Array:
    if weights is None:
        return np.asarray(np.quantile(values, QUANTILES))
    order = np.argsort(values, axis=None)
    total = np.cumsum(weights.ravel()[order])
    return np.asarray(np.interp(QUANTILES * total[-1], total, values.ravel()[order]))


def difference(one: Array, other: Array) -> float:
    return float(np.abs(one - other).mean())
