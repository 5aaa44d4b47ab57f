"""Circle and ring masks, to mix images."""

from __future__ import annotations

import torch
from torch import Tensor

from streamfx.ops import cuda


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
