"""Mix images: warped overlays, fades to a color, circle and ring masks, and color transfer."""

from __future__ import annotations

import torch
from torch import Tensor

from streamfx.ops import cuda
from streamfx.ops.warp import Border, Filter, _warp, blend

_MIN_SPREAD = 1e-4  # standard deviation below which a channel counts as uniform and keeps its contrast


def warp_blend(
    background: Tensor,
    image: Tensor,
    flow: Tensor,
    share: Tensor,
    filter: Filter = "bilinear",
    border: Border = "replicate",
) -> Tensor:
    """`image` warped by `flow` [..., 2, H, W] and blended over `background` with opacity `share` [..., 1, H, W] 0..1.

    Both images are [..., C, H, W]: `blend(background, warp(image, flow, filter, border), share)` in one pass.
    """
    if cuda.supports(background, image):
        return cuda.warp_blend(background, image, flow, share, filter, border)
    return _warp_blend(background, image, flow, share, filter, border)


def _warp_blend(
    background: Tensor, image: Tensor, flow: Tensor, share: Tensor, filter: Filter, border: Border
) -> Tensor:
    return blend(background, _warp(image, flow, filter, border), share)


def fade(image: Tensor, color: tuple[float, float, float], share: float) -> Tensor:
    """`image` [3, H, W] blended with an RGB `color` of opacity `share` 0..1."""
    if cuda.supports(image):
        return cuda.fade(image, color, share)
    return _fade(image, color, share)


def _fade(image: Tensor, color: tuple[float, float, float], share: float) -> Tensor:
    return torch.lerp(image, image.new_tensor(color).view(3, 1, 1), share)


def circle(
    size: tuple[int, int], center: tuple[float, float], radius: float, soft: float, device: torch.device
) -> Tensor:
    """A mask [1, H, W] that is 1 within `radius` pixels of `center` (x, y)."""
    return ring(size, center, 0.0, radius, soft, device)


def ring(
    size: tuple[int, int], center: tuple[float, float], inner: float, outer: float, soft: float, device: torch.device
) -> Tensor:
    """A mask [1, H, W] float32 of `size` (H, W) that is 1 between the radii `inner` and `outer` around `center` (x, y).

    Edges are a step blurred by a Gaussian of sigma `soft` pixels, or one pixel wide if `soft` is 0. A radius of 0 or
    less is an empty circle.
    """
    if device.type == "cuda" and cuda.installed():
        return cuda.ring(size, center, inner, outer, soft, device)
    return _ring(size, center, inner, outer, soft, device)


def _ring(
    size: tuple[int, int], center: tuple[float, float], inner: float, outer: float, soft: float, device: torch.device
) -> Tensor:
    x = torch.arange(size[1], dtype=torch.float32, device=device) - center[0]
    y = torch.arange(size[0], dtype=torch.float32, device=device)[:, None] - center[1]
    distance = torch.sqrt(x * x + y * y)[None]  # [1, H, W]

    def disk(radius: float) -> Tensor:
        if radius <= 0:
            return torch.zeros_like(distance)
        if soft <= 0:
            return (radius - distance + 0.5).clamp(0, 1)
        return 0.5 * torch.erfc((distance - radius) / (soft * 2**0.5))

    return (disk(outer) - disk(inner)).clamp_min(0)


def match_colors(image: Tensor, reference: Tensor, share: float = 1.0, max_gain: float = 3.0) -> Tensor:
    """`image` with the mean and standard deviation of each channel of `reference`, both [C, H, W], clamped to 0..1.

    Color transfer (Reinhard et al. 2001) directly on the channels. `share` 0..1 is the strength; contrast increases at
    most `max_gain` times, and uniform channels stay uniform.
    """
    if image.ndim != 3 or reference.ndim != 3 or image.shape[0] != reference.shape[0]:
        raise ValueError(f"images must have the same number of channels; got {image.shape}, {reference.shape}")
    gain, shift = _gain_and_shift(_moments(image), _moments(reference), share, max_gain)
    if cuda.supports(image):
        return cuda.recolor(image, gain, shift)
    return _recolor(image, gain, shift)


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [C], float64."""
    if cuda.supports(image):
        return cuda.moments(image)
    values = image.flatten(1).double()
    return values.mean(1), values.std(1, correction=0)


def _gain_and_shift(
    moments: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], share: float, max_gain: float
) -> tuple[Tensor, Tensor]:
    """Gain and shift [C], float32, that map one mean and standard deviation to the target's."""
    (mean, spread), (target_mean, target_spread) = moments, target
    gain = torch.where(spread > _MIN_SPREAD, target_spread / spread.clamp_min(_MIN_SPREAD), torch.ones_like(spread))
    gain = 1 + share * (gain.clamp(max=max_gain) - 1)
    return gain.float(), (mean + share * (target_mean - mean) - gain * mean).float()


def _recolor(image: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return (image.float() * gain.view(-1, 1, 1) + shift.view(-1, 1, 1)).clamp(0, 1).to(image.dtype)
