"""How a generated video changes over time: colors, noise of colors, scales of detail and clipping, beside its start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.frame import Frame

Array: TypeAlias = NDArray[np.float32]

_BANDS, _COARSE = 6, 3  # of the Laplacian pyramid: 1 to 2 pixels, 2 to 4, ..., 32 to 64; the coarse ones among them
_DIRECTIONS, _QUANTILES = 64, 49
_BLACK, _WHITE = 2 / 255, 253 / 255


@dataclass(frozen=True, slots=True)
class DreamMetrics:
    """Metrics of one frame."""

    time: float  # seconds
    rainbow: float  # fine chroma relative to fine luma, in CIELAB; photos have 0.15 to 0.45
    clipped: float  # share of the pixels with a channel at an end of the range, 0..1
    coarse: float  # share of the luma contrast in the three coarsest of six bands, 0..1
    palette: float  # sliced Wasserstein distance of the colors to the start image, in units of its spread


def measure_dream(start: Frame, frames: Iterable[Frame], interval: Fraction = Fraction(1)) -> Iterator[DreamMetrics]:
    """Metrics of one frame per `interval` in seconds; the first row is that of the start image, at time -1."""
    image = _to_array(start)
    colors = _colors(_to_lab(image))
    yield _metrics(-1.0, image, colors)
    due: Fraction | None = None
    for frame in frames:
        if due is None or frame.pts >= due:
            due = (frame.pts if due is None else due) + interval
            yield _metrics(float(frame.pts), _to_array(frame), colors)


def _metrics(time: float, image: Array, start_colors: Array) -> DreamMetrics:
    lab = _to_lab(image)
    fine = lab - cv2.GaussianBlur(lab, (0, 0), 1.0)
    rainbow = np.sqrt(fine[..., 1].var() + fine[..., 2].var()) / max(float(fine[..., 0].std()), 1e-6)
    contrast, base = [], lab[..., 0]
    for _ in range(_BANDS):
        low = np.asarray(cv2.pyrDown(base), np.float32)
        contrast.append(float((base - cv2.pyrUp(low, dstsize=base.shape[::-1])).std()))
        base = low
    clipped = ((image < _BLACK) | (image > _WHITE)).any(axis=2).mean()
    coarse = sum(contrast[-_COARSE:]) / max(sum(contrast), 1e-6)
    return DreamMetrics(time, float(rainbow), float(clipped), coarse, _distance(_colors(lab), start_colors))


def _to_array(frame: Frame) -> Array:
    return np.ascontiguousarray(frame.image.float().cpu().numpy().transpose(1, 2, 0))


def _to_lab(image: Array) -> Array:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.float32)


def _colors(lab: Array) -> Array:
    """[N, 3]: mean colors of areas of 4 x 4 pixels."""
    size = max(1, lab.shape[1] // 4), max(1, lab.shape[0] // 4)
    return np.asarray(cv2.resize(lab, size, interpolation=cv2.INTER_AREA), np.float32).reshape(-1, 3)


def _distance(colors: Array, reference: Array) -> float:
    directions = np.random.default_rng(0).normal(size=(_DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    places = np.linspace(0.02, 0.98, _QUANTILES)
    own, target = (np.quantile(x @ directions.T, places, axis=0) for x in (colors, reference))
    return float(np.abs(own - target).mean() / max(float(reference.std(0).mean()), 1e-6))
