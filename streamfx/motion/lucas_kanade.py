"""Optical flow by dense Lucas-Kanade on a pyramid; runs entirely on the images' device and needs no weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops import color, cuda
from streamfx.ops.warp import _warp

RADIUS = 5  # pixels: windows are 11 x 11
ITERATIONS = 4  # per level
DAMPING = 4.0  # (luma levels per pixel)^2 at the finest level; with less slope, the surrounding motion dominates
EASING, FAINT = 0.1, 0.02  # factor of DAMPING for each coarser level, which has less noise; minimum
LIMIT = 2.0  # pixels, maximum change per iteration
SMALLEST = 16  # pixels, shorter side of the coarsest level


class Steps(NamedTuple):
    """Operations on a pyramid level; lumas are [1, H, W] in 0..255, flows [2, H, W] in pixels, all float32."""

    luma: Callable[[Tensor], Tensor]
    halve: Callable[[Tensor], Tensor]
    enlarge: Callable[[Tensor, int, int], Tensor]
    iterate: Callable[[Tensor, Tensor, Tensor, int, float, float], Tensor]


def lucas_kanade(image: Tensor, other: Tensor, finest: int = 1) -> Tensor:
    """Flow [2, H, W] in pixels, x and y: offset from each pixel of `image` to its position in `other`.

    Both are RGB [3, H, W] in 0..1. Each level of a luma pyramid, from the coarsest to the `finest` (0 is full size, 1
    half size), refines the flow in a few iterations (Lucas and Kanade 1981; dense as in Le Besnerais and Champagnat
    2005 and Plyer et al. 2016). Brightness changes that are uniform within a window have no effect.
    """
    if image.shape != other.shape or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"expected two images [3, H, W] of one size, got {image.shape} and {other.shape}")
    return search(image, other, finest, KERNELS if cuda.supports(image, other) else REFERENCE)


def search(image: Tensor, other: Tensor, finest: int, steps: Steps) -> Tensor:
    """`lucas_kanade` with the operations `steps`."""
    levels = [(steps.luma(image), steps.luma(other))]
    while min(levels[-1][0].shape[1:]) >= 2 * SMALLEST or len(levels) <= finest:
        levels.append((steps.halve(levels[-1][0]), steps.halve(levels[-1][1])))
    flow = torch.zeros_like(levels[-1][0]).expand(2, -1, -1).contiguous()
    for level, (luma, other_luma) in reversed(list(enumerate(levels))):
        if level < len(levels) - 1:
            flow = steps.enlarge(flow, *luma.shape[1:])
        if level >= finest:
            damping = max(FAINT, DAMPING * EASING ** (level - finest))
            for _ in range(ITERATIONS):
                flow = steps.iterate(luma, other_luma, flow, RADIUS, damping, LIMIT)
    return flow


def _luma(image: Tensor) -> Tensor:
    return 255 * color.luma(image.float())


def _halve(plane: Tensor) -> Tensor:
    return F.avg_pool2d(plane[None], 2, ceil_mode=True)[0]


def _enlarge(flow: Tensor, height: int, width: int) -> Tensor:
    return 2 * F.interpolate(flow[None], scale_factor=2, mode="bilinear")[0, :, :height, :width]


def _iterate(image: Tensor, other: Tensor, flow: Tensor, radius: int, damping: float, limit: float) -> Tensor:
    """One iteration: the least-squares flow over the (2 `radius` + 1)^2 window around each pixel.

    `damping` pulls it to the mean flow of the window, and it changes by at most `limit` pixels. Points outside the
    image are ignored, and a uniform brightness change of the window is factored out.
    """
    height, width = image.shape[1:]
    x = torch.arange(width, device=flow.device) + flow[:1]
    y = torch.arange(height, device=flow.device)[:, None] + flow[1:]
    inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).float()  # [1, H, W]
    slope_x, slope_y = (inside * slope for slope in _slopes(image))
    mean_flow = flow.mean((1, 2), keepdim=True)  # subtracted, so that sums stay small
    u, v = (flow - mean_flow).unsqueeze(1)
    moved = slope_x * u + slope_y * v - inside * (_warp(other, flow, "bilinear", "replicate") - image)
    products = [slope_x**2, slope_x * slope_y, slope_y**2, slope_x * moved, slope_y * moved]
    count, *sums = _window_sums(torch.cat([inside, slope_x, slope_y, moved, inside * u, inside * v, *products]), radius)
    mx, my, mt, mu, mv, xx, xy, yy, xt, yt = (total / count.clamp_min(0.5) for total in sums)
    xx, xy, yy = xx - mx * mx + damping, xy - mx * my, yy - my * my + damping
    xt, yt = xt - mx * mt + damping * mu, yt - my * mt + damping * mv
    determinant = xx * yy - xy * xy
    solution = torch.stack([yy * xt - xy * yt, xx * yt - xy * xt]) / determinant + mean_flow
    solution = torch.where(count > 0.5, solution, flow)
    return flow + (solution - flow).clamp(-limit, limit)


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical central differences [1, H, W], one-sided at the borders."""
    slopes = []
    for axis in (2, 1):
        size = image.shape[axis]
        here = torch.arange(size, device=image.device)
        ahead, behind = (here + 1).clamp(max=size - 1), (here - 1).clamp(min=0)
        shape = (1, 1, -1) if axis == 2 else (1, -1, 1)
        distance = (ahead - behind).clamp(min=1).view(shape)
        slopes.append((image.index_select(axis, ahead) - image.index_select(axis, behind)) / distance)
    return slopes[0], slopes[1]


def _window_sums(planes: Tensor, radius: int) -> Tensor:
    """[C, H, W] summed over the (2 radius + 1)^2 window around each pixel; zero beyond the borders."""
    size = 2 * radius + 1
    rows = F.avg_pool2d(planes[None], (1, size), stride=1, padding=(0, radius))
    return F.avg_pool2d(rows, (size, 1), stride=1, padding=(radius, 0))[0] * size**2


REFERENCE = Steps(_luma, _halve, _enlarge, _iterate)
KERNELS = Steps(cuda.luma, cuda.halve, cuda.enlarge, cuda.lucas_kanade)
