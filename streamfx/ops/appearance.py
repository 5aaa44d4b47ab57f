"""Keep the contrast at each scale, and the colors, of a feedback loop near those of a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops.color import luma
from streamfx.ops.resize import enlarge, halve

_BANDS = 5  # of the Laplacian pyramid: details of 1 to 2 pixels, 2 to 4, ..., 16 to 32
_MIN_GAIN, _MAX_GAIN = 0.85, 1.06  # of a band, per call at share 1
_FAINT = 1e-3  # contrast that is not amplified
_DIRECTIONS, _STRIDE = 24, 7  # in RGB along which colors are compared; steps from one to the next
_QUANTILES = 65
_AREA = 4  # pixels; colors are compared as means of areas of this side
_TABLE = 256  # entries of a table of color shifts


def band_contrast(image: Tensor) -> Tensor:
    """[5]: standard deviation of the luma of `image` [3, H, W] in each band of a Laplacian pyramid, finest first."""
    return torch.stack([band.std(correction=0) for band in _bands(luma(image)[None], _BANDS)])


def palette(image: Tensor) -> Tensor:
    """[24, 65]: quantiles of the colors of `image` [3, H, W] along fixed directions in RGB."""
    return _quantiles(image, _directions(image))


@dataclass(frozen=True, slots=True)
class Corrections:
    """What `hold_appearance` removes from one frame: shares from 0 to 1."""

    balance: float = 0.0  # of the difference in the contrast of each band, up to 15 %
    palette: float = 0.0  # of the difference in color along one direction (sliced optimal transport, Pitie et al. 2007)
    soften: float = 0.0  # of the finest detail, whatever the targets
    soften_color: float = 0.0  # of the chroma of the finest detail


def hold_appearance(image: Tensor, bands: Tensor, colors: Tensor, number: int, shares: Corrections) -> Tensor:
    """`image` [3, H, W], near 0..1, with its appearance moved a little toward the targets `bands` and `colors`.

    `number`, that of the frame, chooses the direction along which colors move.
    """
    size = _size(image)
    half = halve(image[None])
    detail = image - enlarge(half, size)[0]
    fine = luma(detail)
    if shares.balance:
        half = half + _contrast_change(luma(half[0])[None], bands[1:], shares.balance)
    if shares.palette:
        half = half + shares.palette * _shift(half, colors, number)
    gain = _gain(fine, bands[0], shares.balance) * (1 - shares.soften)
    chroma_gain = (1 - shares.soften) * (1 - shares.soften_color)
    return enlarge(half, size)[0].add_(fine, alpha=gain).add_(detail - fine, alpha=chroma_gain)


def smoothed(image: Tensor) -> Tensor:
    """`image` [3, H, W] without its details of 1 to 4 pixels."""
    half = halve(image[None])
    return enlarge(enlarge(halve(half), _size(half)), _size(image))[0]


def _contrast_change(base: Tensor, targets: Tensor, share: float) -> Tensor:
    """What to add to `base` [1, 1, H, W] so that the contrast of its bands moves by `share` toward `targets`."""
    change: Tensor | None = None
    for band, target in reversed(list(zip(_bands(base, len(targets)), targets))):
        own = band * (_gain(band, target, share) - 1)
        change = own if change is None else enlarge(change, _size(band)) + own
    assert change is not None
    return change


def _bands(base: Tensor, count: int) -> list[Tensor]:
    """Bands of the Laplacian pyramid of `base` [1, 1, H, W], finest first."""
    bands = []
    for _ in range(count):
        low = halve(base)
        bands.append(base - enlarge(low, _size(base)))
        base = low
    return bands


def _gain(band: Tensor, target: Tensor, share: float) -> float:
    ratio = (float(target) + _FAINT) / (float(band.std(correction=0)) + _FAINT)
    return float(min(max(ratio, _MIN_GAIN), _MAX_GAIN) ** share)


def _shift(image: Tensor, colors: Tensor, number: int) -> Tensor:
    """How far each color of `image` [1, 3, H, W] is from the palette `colors`, along one direction."""
    index = number * _STRIDE % _DIRECTIONS
    direction, target = _directions(image)[index], colors[index]
    own = _quantiles(image[0], direction[None])[0]
    low, high = float(own[0]), float(own[-1])
    steps = torch.linspace(low, high, _TABLE, device=image.device)
    upper = torch.searchsorted(own, steps).clamp(1, _QUANTILES - 1)
    weight = ((steps - own[upper - 1]) / (own[upper] - own[upper - 1]).clamp(min=1e-6)).clamp(0, 1)
    table = target[upper - 1].lerp(target[upper], weight) - steps
    projected = torch.tensordot(direction, image[0], dims=1)
    entry = ((projected - low) * ((_TABLE - 1) / max(high - low, 1e-6))).clamp_(0, _TABLE - 1).long()
    return table[entry] * direction[:, None, None]


def _directions(like: Tensor) -> Tensor:
    """[24, 3]: unit vectors, spread evenly over half a sphere (a Fibonacci lattice)."""
    number = torch.arange(_DIRECTIONS, dtype=torch.float64)
    height = (number + 0.5) / _DIRECTIONS
    angle = number * math.pi * (3 - math.sqrt(5))
    radius = (1 - height.square()).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), height], dim=1).to(like)


def _quantiles(image: Tensor, directions: Tensor) -> Tensor:
    """[D, 65]: quantiles of the colors of `image` [3, H, W] along `directions` [D, 3]."""
    colors = F.avg_pool2d(image[None], min(_AREA, *image.shape[1:]))[0].flatten(1)
    places = torch.linspace(0, colors.shape[1] - 1, _QUANTILES, device=image.device)
    return (directions @ colors).sort(dim=1).values[:, places.round().long()].contiguous()


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]
