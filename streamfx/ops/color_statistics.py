"""Color statistics: keep the brightness, contrast and saturation of a changed image close to its source."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from streamfx.ops.color import luma
from streamfx.ops.warp import box_mean

_MAX_VARIANCE = 1.6  # of a changed image, relative to its source
_SUBSAMPLING = 4  # pixels; statistics use every fourth pixel in both directions
_MIN_GAIN, _MAX_GAIN = 0.8, 1.25  # of contrast and saturation, per call
_KNEE = 0.06  # of 0..1: values closer than this to an end of the range, or beyond it, are compressed
_LUMA, _CHROMA = 0.10, 0.06  # standard deviation of luma and RMS chroma that are always allowed


def limit_statistics(source: Tensor, changed: Tensor) -> Tensor:
    """`changed` [3, H, W], near 0..1, with statistics limited by those of `source` [3, H, W], soft-clipped to 0..1.

    The mean color becomes the source's. If the variance of luma or the mean square of chroma exceeds the limit set by
    the source, that part of the change is scaled down. Repeated application, frame by frame, neither blows out nor
    fades the image.
    """
    change = changed - source
    change = change - change.mean((1, 2), keepdim=True)
    source_luma, luma_change = luma(source), luma(change)
    luma_share = _share(source_luma - source_luma.mean(), luma_change, _LUMA)
    chroma_share = _share(source - source_luma, change - luma_change, _CHROMA)
    if luma_share < 1 or chroma_share < 1:
        change = luma_change * luma_share + (change - luma_change) * chroma_share
    return _add_soft_clipped(source, change)


def _share(source: Tensor, change: Tensor, allowance: float) -> float:
    """The share 0..1 of `change` that keeps the mean square of the sum within its limit; both are centered at 0."""
    a, b, c = float(source.square().mean()), float((source * change).mean()), float(change.square().mean())
    planes = source.shape[0]
    excess = a + 2 * b + c - (_MAX_VARIANCE * a + allowance**2 / planes)
    if excess <= 0 or c <= 0:
        return 1.0
    # the positive root k of c k^2 + 2 b k - budget = 0
    budget = (_MAX_VARIANCE - 1) * a + allowance**2 / planes
    return min(1.0, (math.sqrt(b * b + c * budget) - b) / c)


def _add_soft_clipped(source: Tensor, change: Tensor) -> Tensor:
    """source + c / (1 + (c / headroom)^4)^(1/4) in 0..1; headroom is the distance to the end of the range."""
    headroom = torch.where(change > 0, 1 - source, source).clamp_(min=1e-6)
    fourth = (change / headroom).square_().square_()
    return torch.addcdiv(source, change, fourth.add_(1).sqrt_().sqrt_()).clamp_(0, 1)


def color_statistics(image: Tensor) -> Tensor:
    """[5]: mean red, green and blue of `image` [3, H, W], standard deviations of luma and chroma."""
    pixels = image[:, ::_SUBSAMPLING, ::_SUBSAMPLING]
    y = luma(pixels)
    chroma = pixels - y
    centered = chroma - chroma.mean((1, 2), keepdim=True)
    return torch.cat([pixels.mean((1, 2)), y.std()[None], centered.square().mean().sqrt()[None]])


def correct_drift(image: Tensor, target: Tensor, share: float) -> Tensor:
    """`image` [3, H, W], near 0..1, with its `color_statistics` moved by `share` 0..1 toward `target`, soft-clipped.

    For feedback loops: removes any drift of the statistics gradually.
    """
    current = color_statistics(image)
    luma_gain, chroma_gain = (
        min(max((float(target[i]) + 1e-3) / (float(current[i]) + 1e-3), _MIN_GAIN), _MAX_GAIN) ** share for i in (3, 4)
    )
    mean = current[:3, None, None]
    y = luma(mean)
    offset = mean.lerp(target[:3, None, None], share) - y * luma_gain - (mean - y) * chroma_gain
    return soft_clip((image * chroma_gain).add_(luma(image), alpha=luma_gain - chroma_gain).add_(offset))


def soft_clip(image: Tensor) -> Tensor:
    """`image` compressed into 0..1: values beyond a knee near either end approach that end asymptotically."""
    inner = image.clamp(_KNEE, 1 - _KNEE)
    excess = image - inner
    return inner.add_(excess.div_(excess.abs().div_(_KNEE).add_(1)))  # slope 1 at the knee


def soften(image: Tensor, share: float) -> Tensor:
    """`image` [3, H, W] with the difference from its 3 x 3 mean reduced by `share` 0..1."""
    return image.lerp(box_mean(image, 3), share)
