"""Mix pictures: what was warped, a colour, masks of circles and rings, and another picture's colours."""

from __future__ import annotations

import torch
from torch import Tensor

from streamfx.ops import cuda
from streamfx.ops.warp import Border, Filter, _warp, blend

_LEAST = 1e-4  # of a standard deviation: what varies less is flat, and stays so


def warp_blend(
    ground: Tensor,
    image: Tensor,
    flow: Tensor,
    share: Tensor,
    filter: Filter = "bilinear",
    border: Border = "replicate",
) -> Tensor:
    """`image` seen through `flow` [..., 2, H, W], over `ground`, in the `share` [..., 1, H, W] 0..1 of each pixel.

    Both pictures are [..., C, H, W]: `blend(ground, warp(image, flow, filter, border), share)` in one pass.
    """
    if cuda.takes(ground, image):
        return cuda.warp_blend(ground, image, flow, share, filter, border)
    return _warp_blend(ground, image, flow, share, filter, border)


def _warp_blend(ground: Tensor, image: Tensor, flow: Tensor, share: Tensor, filter: Filter, border: Border) -> Tensor:
    return blend(ground, _warp(image, flow, filter, border), share)


def fade(image: Tensor, color: tuple[float, float, float], share: float) -> Tensor:
    """`share` 0..1 of one RGB colour in an image [3, H, W]."""
    if cuda.takes(image):
        return cuda.fade(image, color, share)
    return _fade(image, color, share)


def _fade(image: Tensor, color: tuple[float, float, float], share: float) -> Tensor:
    return torch.lerp(image, image.new_tensor(color).view(3, 1, 1), share)


def circle(
    size: tuple[int, int], centre: tuple[float, float], radius: float, soft: float, device: torch.device
) -> Tensor:
    """A mask [1, H, W] that is 1 within `radius` pixels of `centre` (x, y): a ring without a hole."""
    return ring(size, centre, 0.0, radius, soft, device)


def ring(
    size: tuple[int, int], centre: tuple[float, float], inner: float, outer: float, soft: float, device: torch.device
) -> Tensor:
    """A mask [1, H, W] float32 of `size` (H, W) that is 1 between the radii `inner` and `outer` about `centre` (x, y).

    Edges are as soft as a step under a Gaussian of sigma `soft` pixels; of 0, as one pixel. A radius of 0 or less is no
    circle at all.
    """
    if device.type == "cuda" and cuda.installed():
        return cuda.ring(size, centre, inner, outer, soft, device)
    return _ring(size, centre, inner, outer, soft, device)


def _ring(
    size: tuple[int, int], centre: tuple[float, float], inner: float, outer: float, soft: float, device: torch.device
) -> Tensor:
    x = torch.arange(size[1], dtype=torch.float32, device=device) - centre[0]
    y = torch.arange(size[0], dtype=torch.float32, device=device)[:, None] - centre[1]
    distance = torch.sqrt(x * x + y * y)[None]  # [1, H, W]

    def disc(radius: float) -> Tensor:
        if radius <= 0:
            return torch.zeros_like(distance)
        if soft <= 0:
            return (radius - distance + 0.5).clamp(0, 1)
        return 0.5 * torch.erfc((distance - radius) / (soft * 2**0.5))

    return (disc(outer) - disc(inner)).clamp_min(0)


def with_colors_of(image: Tensor, reference: Tensor, share: float = 1.0, most: float = 3.0) -> Tensor:
    """`image` with the mean and standard deviation of each channel of `reference`, both [C, H, W], clamped to 0..1.

    Colour transfer after Reinhard et al. (2001), on the channels as they are. `share` 0..1 tells how far to go;
    contrast grows at most `most` times, and what is flat stays flat.
    """
    if image.ndim != 3 or reference.ndim != 3 or image.shape[0] != reference.shape[0]:
        raise ValueError(f"colours pass between images of as many channels; got {image.shape}, {reference.shape}")
    of_image, of_reference = _moments(image), _moments(reference)
    gain, shift = _towards(of_image, of_reference, share, most)
    if cuda.takes(image):
        return cuda.recolor(image, gain, shift)
    return _recolor(image, gain, shift)


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [C], float64."""
    if cuda.takes(image):
        return cuda.moments(image)
    values = image.flatten(1).double()
    return values.mean(1), values.std(1, correction=0)


def _towards(
    of_image: tuple[Tensor, Tensor], of_reference: tuple[Tensor, Tensor], share: float, most: float
) -> tuple[Tensor, Tensor]:
    """Gain and shift [C], float32, that take one mean and standard deviation to the other's."""
    (mean, spread), (goal, goal_spread) = of_image, of_reference
    gain = torch.where(spread > _LEAST, goal_spread / spread.clamp_min(_LEAST), torch.ones_like(spread))
    gain = 1 + share * (gain.clamp(max=most) - 1)
    return gain.float(), (mean + share * (goal - mean) - gain * mean).float()


def _recolor(image: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return (image.float() * gain.view(-1, 1, 1) + shift.view(-1, 1, 1)).clamp(0, 1).to(image.dtype)
