"""Blend pictures so that no seam is seen (Burt and Adelson 1983), and masks to do it with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_SMALLEST = 4  # pixels, the shorter side of the coarsest level


def blend_pyramid(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """`second` [3, H, W] where `mask` [1, H, W] 0..1 is one, `first` where it is zero.

    Each octave of detail is blended by itself, by the mask as smooth as that octave: coarse shapes pass softly into
    each other, fine ones at a sharp edge, so that nothing is seen double.
    """
    layers = torch.cat([first, second, mask])[None]
    coarse = []
    while min(layers.shape[2:]) >= 2 * _SMALLEST:
        size = layers.shape[2:]
        low = F.interpolate(layers, (size[0] // 2, size[1] // 2), mode="bilinear", antialias=True)
        coarse.append(_mixed(layers - _resized(low, size), layers[:, 6:]))
        layers = low
    made = _mixed(layers, layers[:, 6:])
    for detail in reversed(coarse):
        made = _resized(made, detail.shape[2:]) + detail
    return made[0]


def _mixed(layers: Tensor, mask: Tensor) -> Tensor:
    return layers[:, :3].lerp(layers[:, 3:6], mask)


def _resized(image: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(image, tuple(size), mode="bilinear")


def clouds(size: tuple[int, int], across: int, seed: int) -> Tensor:
    """[1, H, W]: smooth chance, `across` clouds high; each value of 0..1 is as frequent as any other."""
    chance = torch.Generator().manual_seed(seed)
    height, width = size
    made = torch.zeros(1, 1, height, width)
    for octave in range(3):
        rows = max(2, across * 2**octave)
        columns = max(2, round(rows * width / height))
        cells = torch.rand(1, 1, rows, columns, generator=chance)
        made += F.interpolate(cells, size, mode="bicubic", align_corners=True) / 2.5**octave
    flat = made.flatten()
    rank = torch.empty_like(flat)
    rank[flat.argsort()] = torch.linspace(0, 1, flat.numel())
    return rank.view(1, height, width)
