"""Soft regions that drift over the frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_GRID = 48  # cells on the longer side
_WAVES = 6
_SHORTEST, _LONGEST = 0.7, 1.9  # wavelengths, in longer sides
_EDGE = 0.35  # half the width of the edge, in standard deviations of the field


def region_mask(height: int, width: int, share: float, time: float, seed: int) -> Tensor:
    """[1, H, W] 0..1: soft-edged regions that cover `share` 0..1 of the area; they change over some ten seconds.

    A level set of a sum of plane waves, whose phases advance with `time` in seconds.
    """
    longer = max(height, width)
    rows, columns = (max(2, round(_GRID * side / longer)) for side in (height, width))
    y = torch.linspace(0, height / longer, rows)[:, None]
    x = torch.linspace(0, width / longer, columns)[None]
    generator = torch.Generator().manual_seed(seed)
    field = torch.zeros(rows, columns)
    for _ in range(_WAVES):
        angle, length, phase, speed = torch.rand(4, generator=generator).tolist()
        length = _SHORTEST + (_LONGEST - _SHORTEST) * length
        across = x * math.cos(2 * math.pi * angle) + y * math.sin(2 * math.pi * angle)
        field += torch.cos(2 * math.pi * (across / length + phase + (0.03 + 0.05 * speed) * time))
    threshold = field.flatten().quantile(1 - share)
    edge = _EDGE * field.std()
    mask = ((field - threshold) / (2 * edge) + 0.5).clamp(0, 1)
    return F.interpolate(mask[None, None], (height, width), mode="bilinear", align_corners=True)[0]
