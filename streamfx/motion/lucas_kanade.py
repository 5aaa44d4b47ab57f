"""Motion by dense Lucas-Kanade on a pyramid: on a GPU it needs no trip to the CPU, and no weights anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops import color, cuda
from streamfx.ops.warp import _warp

RADIUS = 5  # pixels: windows are 11 x 11
ROUNDS = 4  # at each level
DAMPING = 4.0  # (levels of luma a pixel)^2 at the finest level: where slopes are less, the motion around decides
EASING, FAINT = 0.1, 0.02  # its factor from a level to the next coarser one, which has less noise; its least
LIMIT = 2.0  # pixels that one round may change
SMALLEST = 16  # pixels of the shorter side that end the pyramid


class Steps(NamedTuple):
    """What a level is made of; lumas are [1, H, W] in 0..255, flows [2, H, W] in pixels, all float32."""

    luma: Callable[[Tensor], Tensor]
    halve: Callable[[Tensor], Tensor]
    enlarge: Callable[[Tensor, int, int], Tensor]
    round: Callable[[Tensor, Tensor, Tensor, int, float, float], Tensor]


def lucas_kanade(image: Tensor, other: Tensor, finest: int = 1) -> Tensor:
    """Flow [2, H, W] in pixels, right and down: where each pixel of `image` is in `other`, relative to it.

    Both are RGB [3, H, W] in 0..1. Each level of a pyramid of lumas, from the smallest to the `finest` (0 is the full
    size, 1 the half of it), takes what is found so far a few rounds further (Lucas and Kanade 1981, densely as Le
    Besnerais and Champagnat 2005 and Plyer et al. 2016 do). A light that changes evenly in a window does not matter.
    """
    if image.shape != other.shape or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"motion is between two images [3, H, W]; got {tuple(image.shape)}, {tuple(other.shape)}")
    return search(image, other, finest, KERNELS if cuda.takes(image, other) else TWINS)


def search(image: Tensor, other: Tensor, finest: int, steps: Steps) -> Tensor:
    """See `lucas_kanade`; by `steps`."""
    levels = [(steps.luma(image), steps.luma(other))]
    while min(levels[-1][0].shape[1:]) >= 2 * SMALLEST or len(levels) <= finest:
        levels.append((steps.halve(levels[-1][0]), steps.halve(levels[-1][1])))
    flow = torch.zeros_like(levels[-1][0]).expand(2, -1, -1).contiguous()
    for number, (luma, moved) in reversed(list(enumerate(levels))):
        if number < len(levels) - 1:
            flow = steps.enlarge(flow, *luma.shape[1:])
        if number >= finest:
            damping = max(FAINT, DAMPING * EASING ** (number - finest))
            for _ in range(ROUNDS):
                flow = steps.round(luma, moved, flow, RADIUS, damping, LIMIT)
    return flow


def _luma(image: Tensor) -> Tensor:
    return 255 * color.luma(image.float())


def _halve(plane: Tensor) -> Tensor:
    return F.avg_pool2d(plane[None], 2, ceil_mode=True)[0]


def _enlarge(flow: Tensor, height: int, width: int) -> Tensor:
    return 2 * F.interpolate(flow[None], scale_factor=2, mode="bilinear")[0, :, :height, :width]


def _round(image: Tensor, other: Tensor, flow: Tensor, radius: int, damping: float, limit: float) -> Tensor:
    """One round: the motion that best explains the changes in the (2 `radius` + 1)^2 pixels around each.

    `damping` pulls it to the mean of the motion there, and it changes by at most `limit` pixels. What leaves the
    picture does not count, and one shift of light in the window is explained by itself.
    """
    height, width = image.shape[1:]
    x = torch.arange(width, device=flow.device) + flow[:1]
    y = torch.arange(height, device=flow.device)[:, None] + flow[1:]
    known = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).float()  # [1, H, W]
    slope_x, slope_y = (known * slope for slope in _slopes(image))
    about = flow.mean((1, 2), keepdim=True)  # from which motion is counted, so that sums stay small
    u, v = (flow - about).unsqueeze(1)
    moved = slope_x * u + slope_y * v - known * (_warp(other, flow, "bilinear", "replicate") - image)
    products = [slope_x**2, slope_x * slope_y, slope_y**2, slope_x * moved, slope_y * moved]
    count, *sums = _window_sums(torch.cat([known, slope_x, slope_y, moved, known * u, known * v, *products]), radius)
    mx, my, mt, mu, mv, xx, xy, yy, xt, yt = (each / count.clamp_min(0.5) for each in sums)
    xx, xy, yy = xx - mx * mx + damping, xy - mx * my, yy - my * my + damping
    xt, yt = xt - mx * mt + damping * mu, yt - my * mt + damping * mv
    determinant = xx * yy - xy * xy
    found = torch.stack([yy * xt - xy * yt, xx * yt - xy * xt]) / determinant + about
    found = torch.where(count > 0.5, found, flow)
    return flow + (found - flow).clamp(-limit, limit)


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences [1, H, W] across and down, of one side at the borders."""
    slopes = []
    for axis in (2, 1):
        size = image.shape[axis]
        here = torch.arange(size, device=image.device)
        ahead, behind = (here + 1).clamp(max=size - 1), (here - 1).clamp(min=0)
        shape = (1, 1, -1) if axis == 2 else (1, -1, 1)
        apart = (ahead - behind).clamp(min=1).view(shape)
        slopes.append((image.index_select(axis, ahead) - image.index_select(axis, behind)) / apart)
    return slopes[0], slopes[1]


def _window_sums(planes: Tensor, radius: int) -> Tensor:
    """[C, H, W] summed over the (2 radius + 1)^2 pixels around each; beyond the borders is nothing."""
    size = 2 * radius + 1
    rows = F.avg_pool2d(planes[None], (1, size), stride=1, padding=(0, radius))
    return F.avg_pool2d(rows, (size, 1), stride=1, padding=(radius, 0))[0] * size**2


TWINS = Steps(_luma, _halve, _enlarge, _round)
KERNELS = Steps(cuda.luma, cuda.halve, cuda.enlarge, cuda.lucas_kanade)
