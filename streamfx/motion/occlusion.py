"""Motion, and its confidence: low at occlusions, at motion boundaries and where the images do not match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops import cuda
from streamfx.ops.color import luma
from streamfx.ops.warp import warp

OUTSIDE = 0.25  # pixels beyond the center of the outermost pixel; points farther out have left the frame
SIGMA = 10.0  # of 255: this low-passed luma difference divides the confidence by e; noise of 2.5 keeps 0.99


@dataclass(frozen=True, slots=True)
class Motion:
    """Motion from the current image back to the previous one."""

    flow: Tensor  # [2, H, W] pixels, x and y: offset from each pixel to its position in the previous image
    confidence: Tensor  # [1, H, W] 0..1; 0 for disocclusions and unreliable flow


Estimate: TypeAlias = Callable[[Tensor, Tensor], Motion]


def check_pair(previous: Tensor, current: Tensor) -> None:
    """Raise ValueError unless both are images [3, H, W] of one size."""
    if previous.shape != current.shape or current.ndim != 3 or current.shape[0] != 3:
        raise ValueError(f"expected two images [3, H, W] of one size, got {previous.shape} and {current.shape}")


def consistency_mask(backward: Tensor, forward: Tensor) -> Tensor:
    """Forward-backward consistency [..., 1, H, W], 0 or 1, of flows [..., 2, H, W] in pixels.

    `backward` leads from the current to the previous image. With p' = p + b(p) and u = f(p'), a pixel is 0 (Sundaram et
    al. 2010; Ruder et al. 2016) where p' leaves the image, where |b + u|^2 >= 0.01 (|b|^2 + |u|^2) + 0.5, or at motion
    boundaries, where |grad bx|^2 + |grad by|^2 > 0.01 |b|^2 + 0.002. Gradients are central differences.
    """
    if cuda.supports(backward, forward):
        return cuda.consistency_mask(backward, forward, OUTSIDE)
    height, width = backward.shape[-2:]
    back = warp(forward, backward)
    square = backward.square().sum(-3, keepdim=True)  # [..., 1, H, W]
    differ = (backward + back).square().sum(-3, keepdim=True) >= 0.01 * (square + back.square().sum(-3, True)) + 0.5
    across = torch.arange(width, device=backward.device) + backward[..., :1, :, :]
    down = torch.arange(height, device=backward.device)[:, None] + backward[..., 1:, :, :]
    left = (across < -OUTSIDE) | (across > width - 1 + OUTSIDE) | (down < -OUTSIDE) | (down > height - 1 + OUTSIDE)
    padded = F.pad(backward.reshape(-1, 2, height, width), (1, 1, 1, 1), mode="replicate")
    slope_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    slope_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    slope = (slope_x.square() + slope_y.square()).sum(-3, keepdim=True).view(square.shape)
    return (~(differ | left | (slope > 0.01 * square + 0.002))).to(backward.dtype)


def confidence(previous: Tensor, current: Tensor, backward: Tensor, forward: Tensor) -> Tensor:
    """[1, H, W] 0..1: `consistency_mask` times exp(-(residual / SIGMA)^2) of the warped previous image."""
    residual = 255 * (luma(current) - luma(warp(previous, backward)))
    smooth = F.avg_pool2d(F.pad(residual[None], (4, 4, 4, 4), mode="replicate"), 9, stride=1)[0]
    return consistency_mask(backward, forward) * torch.exp(-(smooth / SIGMA).square())
