"""Keep a picture that was changed as bright, as rich in contrast and as colourful as its source allows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from streamfx.ops.color import luma
from streamfx.ops.warp import around

_RICHER = 1.6  # of the source's variance, how much a changed picture may have
_SEEN = 4  # every so many-th pixel is enough to judge light and colour by
_LEAST, _MOST = 0.8, 1.25  # times that contrast and colour may become at once
_KNEE = 0.04  # of 0..1: what is that near to an end of the range is drawn together, however far beyond
_LIGHT, _HUE = 0.10, 0.06  # deviation of luma and length of chroma that even a plain source may come to


def govern(source: Tensor, changed: Tensor) -> Tensor:
    """`changed` [3, H, W], near 0..1, drawn to the statistics of `source` [3, H, W], and softly into 0..1.

    The mean colour becomes the source's. Where the variance of luma or the mean square of chroma is more than the
    source allows, the change of it is made smaller. What would leave 0..1 nears the end of the range instead. A picture
    that is fed back through this, frame by frame, can so neither burn out nor fade.
    """
    change = changed - source
    change = change - change.mean((1, 2), keepdim=True)
    light, light_change = luma(source), luma(change)
    kept_light = _share(light - light.mean(), light_change, _LIGHT)
    kept_hue = _share(source - light, change - light_change, _HUE)
    if kept_light < 1 or kept_hue < 1:
        change = light_change * kept_light + (change - light_change) * kept_hue
    return _softly(source, change)


def _share(own: Tensor, change: Tensor, least: float) -> float:
    """How much of `change` can be added to `own`, both around 0, for the mean square not to exceed its bound."""
    had, added = float(own.square().mean()), float(change.square().mean())
    both = float((own * change).mean())
    planes = own.shape[0]
    over = had + 2 * both + added - (_RICHER * had + least**2 / planes)
    if over <= 0 or added <= 0:
        return 1.0
    # added k^2 + 2 both k - spare = 0, for the k > 0
    spare = (_RICHER - 1) * had + least**2 / planes
    return min(1.0, (math.sqrt(both * both + added * spare) - both) / added)


def _softly(source: Tensor, change: Tensor) -> Tensor:
    """source + change in 0..1: c / (1 + (c / room)^4)^(1/4), where `room` is what is left to the end of the range."""
    room = torch.where(change > 0, 1 - source, source).clamp_(min=1e-6)
    fourth = (change / room).square_().square_()
    return torch.addcdiv(source, change, fourth.add_(1).sqrt_().sqrt_()).clamp_(0, 1)


def traits(image: Tensor) -> Tensor:
    """[5]: the mean red, green and blue of `image` [3, H, W], the deviation of luma and of chroma."""
    seen = image[:, ::_SEEN, ::_SEEN]
    light = luma(seen)
    hue = seen - light
    around = hue - hue.mean((1, 2), keepdim=True)
    return torch.cat([seen.mean((1, 2)), light.std()[None], around.square().mean().sqrt()[None]])


def hold(image: Tensor, aim: Tensor, share: float) -> Tensor:
    """`image` [3, H, W] near 0..1 with its `traits` drawn by `share` 0..1 to those in `aim`, and softly into 0..1.

    For pictures that are fed back: what goes astray is taken back little by little, whatever it comes from.
    """
    now = traits(image)
    light_gain, hue_gain = (
        min(max((float(aim[at]) + 1e-3) / (float(now[at]) + 1e-3), _LEAST), _MOST) ** share for at in (3, 4)
    )
    mean = now[:3, None, None]
    light = luma(mean)
    offset = mean.lerp(aim[:3, None, None], share) - light * light_gain - (mean - light) * hue_gain
    return into_range(image * hue_gain + luma(image) * (light_gain - hue_gain) + offset)


def into_range(image: Tensor) -> Tensor:
    """`image` in 0..1: what lies beyond a knee near either end goes on ever more slowly, and never reaches the end."""
    below = ((image - _KNEE) / _KNEE).clamp_(max=0)
    above = ((1 - _KNEE - image) / _KNEE).clamp_(max=0)
    bent = (1 - below).reciprocal_() - (1 - above).reciprocal_()  # of k / (1 - x): as steep as x at the knee
    return image.clamp(_KNEE, 1 - _KNEE).add_(bent, alpha=_KNEE)


def soften(image: Tensor, share: float) -> Tensor:
    """`image` [3, H, W] with `share` 0..1 less of what differs from the mean of its neighbours."""
    return image.lerp(around(image, 3), share)
