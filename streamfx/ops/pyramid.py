"""Seamless pyramid blending (Burt and Adelson 1983), and noise masks for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_SMALLEST = 4  # pixels, the shorter side of the coarsest level


def blend_pyramid(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """`second` [3, H, W] where `mask` [1, H, W] 0..1 is 1, `first` where it is 0.

    Each octave of detail is blended separately, with a mask of the same smoothness: coarse shapes fade gradually, fine
    detail changes at a sharp edge, so there is no ghosting.
    """
    layers = torch.cat([first, second, mask])[None]
    details = []
    while min(layers.shape[2:]) >= 2 * _SMALLEST:
        size = layers.shape[2:]
        low = F.interpolate(layers, (size[0] // 2, size[1] // 2), mode="bilinear", antialias=True)
        details.append(_mixed(layers - _resized(low, size), layers[:, 6:]))
        layers = low
    image = _mixed(layers, layers[:, 6:])
    for detail in reversed(details):
        image = _resized(image, detail.shape[2:]) + detail
    return image[0]


def _mixed(layers: Tensor, mask: Tensor) -> Tensor:
    return layers[:, :3].lerp(layers[:, 3:6], mask)


def _resized(image: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(image, tuple(size), mode="bilinear")


def clouds(size: tuple[int, int], rows: int, seed: int) -> Tensor:
    """[1, H, W]: smooth random noise, about `rows` clouds high, uniformly distributed in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    noise = torch.zeros(1, 1, height, width)
    for octave in range(3):
        cell_rows = max(2, rows * 2**octave)
        cell_columns = max(2, round(cell_rows * width / height))
        cells = torch.rand(1, 1, cell_rows, cell_columns, generator=generator)
        noise += F.interpolate(cells, size, mode="bicubic", align_corners=True) / 2.5**octave
    flat = noise.flatten()
    rank = torch.empty_like(flat)
    rank[flat.argsort()] = torch.linspace(0, 1, flat.numel())
    return rank.view(1, height, width)
