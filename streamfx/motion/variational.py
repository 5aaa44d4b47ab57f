"""Variational refinement of optical flow (Brox et al. 2004), solved by red-black successive over-relaxation.

Reference implementation in torch of the kernels in cuda_kernels/dis.cu.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ITERATIONS, SWEEPS = 5, 5  # updates of the robust weights; sweeps of the solver after each
RELAXATION = 1.8
SMOOTHNESS, BRIGHTNESS, GRADIENT = 10.0, 2.5, 5.0  # weights of the terms
EPSILON, ZETA = 1e-6, 1e-2  # squares; soften the robust norms, and limit the weight of flat areas


def refine(lumas: Tensor, motion: Tensor) -> Tensor:
    """The motion [2, 2, H, W] between two lumas [2, H, W] 0..255, improved by at most a few pixels.

    Minimizes robust norms of the differences in brightness and in slope, and of the slope of the motion.
    """
    terms = _derivatives(lumas, motion)
    change = torch.zeros_like(motion)
    for _ in range(ITERATIONS):
        change = _solve(_data_term(terms, change), motion, change)
    return motion + change


def _derivatives(lumas: Tensor, motion: Tensor) -> dict[str, Tensor]:
    """Derivatives [2, H, W] of the mean of each image and the other one, moved along `motion`; "t" is the change."""
    height, width = lumas.shape[1:]
    across = torch.arange(width, device=lumas.device) + motion[:, 0]
    down = torch.arange(height, device=lumas.device)[:, None] + motion[:, 1]
    grid = torch.stack([across * (2 / max(1, width - 1)) - 1, down * (2 / max(1, height - 1)) - 1], -1)
    moved = F.grid_sample(lumas.flip(0)[:, None], grid, "bilinear", "border", align_corners=True)[:, 0]
    mean, change = (moved + lumas) / 2, moved - lumas
    x, y = slopes(mean)
    (xx, xy), (_, yy), (xt, yt) = slopes(x), slopes(y), slopes(change)
    return {"x": x, "y": y, "t": change, "xx": xx, "xy": xy, "yy": yy, "xt": xt, "yt": yt}


def slopes(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical central differences of [N, H, W]; pixels beyond the border equal the outermost ones."""
    padded = F.pad(planes[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2, (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2


def _data_term(d: dict[str, Tensor], change: Tensor) -> tuple[Tensor, ...]:
    """The linear system a11 u + a12 v = b1, a12 u + a22 v = b2 of each pixel, [2, H, W] each; see Brox et al."""
    u, v = change.unbind(1)
    norm = d["x"] ** 2 + d["y"] ** 2 + ZETA
    error = d["t"] + d["x"] * u + d["y"] * v
    weight = BRIGHTNESS / (error**2 / norm + EPSILON).sqrt() / norm
    a11, a12, a22 = weight * d["x"] ** 2 + ZETA, weight * d["x"] * d["y"], weight * d["y"] ** 2 + ZETA
    b1, b2 = -weight * d["t"] * d["x"], -weight * d["t"] * d["y"]
    norm_x, norm_y = d["xx"] ** 2 + d["xy"] ** 2 + ZETA, d["yy"] ** 2 + d["xy"] ** 2 + ZETA
    error_x = d["xt"] + d["xx"] * u + d["xy"] * v
    error_y = d["yt"] + d["xy"] * u + d["yy"] * v
    weight = GRADIENT / (error_x**2 / norm_x + error_y**2 / norm_y + EPSILON).sqrt()
    weight_x, weight_y = weight / norm_x, weight / norm_y
    a11 = a11 + weight_x * d["xx"] ** 2 + weight_y * d["xy"] ** 2
    a12 = a12 + weight_x * d["xx"] * d["xy"] + weight_y * d["xy"] * d["yy"]
    a22 = a22 + weight_x * d["xy"] ** 2 + weight_y * d["yy"] ** 2
    b1 = b1 - weight_x * d["xx"] * d["xt"] - weight_y * d["xy"] * d["yt"]
    b2 = b2 - weight_x * d["xy"] * d["xt"] - weight_y * d["yy"] * d["yt"]
    return a11, a12, a22, b1, b2


def _solve(system: tuple[Tensor, ...], motion: Tensor, change: Tensor) -> Tensor:
    """The change [2, 2, H, W] after SWEEPS sweeps, each over the even, then the odd pixels of a checkerboard."""
    a11, a12, a22, b1, b2 = system
    height, width = a11.shape[1:]
    total = motion + change
    right, below = F.pad(total, (0, 1, 0, 0), mode="replicate"), F.pad(total, (0, 0, 0, 1), mode="replicate")
    slope = (right[..., 1:] - total).square().sum(1) + (below[..., 1:, :] - total).square().sum(1)
    weight = SMOOTHNESS / (slope + EPSILON).sqrt()  # [2, H, W], to the right and below
    last_column = torch.arange(width, device=motion.device) == width - 1
    last_row = torch.arange(height, device=motion.device)[:, None] == height - 1
    east, south = weight.masked_fill(last_column, 0), weight.masked_fill(last_row, 0)
    west, north = F.pad(east, (1, 0))[..., :-1], F.pad(south, (0, 0, 1, 0))[..., :-1, :]
    weights = (west, east, north, south)
    around = sum(weights)
    pull_u, pull_v = (_weighted(weights, motion[:, axis]) - around * motion[:, axis] for axis in (0, 1))
    a11, a22, b1, b2 = a11 + around, a22 + around, b1 + pull_u, b2 + pull_v
    odd = (torch.arange(height, device=motion.device)[:, None] + torch.arange(width, device=motion.device)) % 2 == 1
    u, v = change.unbind(1)
    for _ in range(SWEEPS):
        for mask in (~odd, odd):
            next_u = u + RELAXATION * ((_weighted(weights, u) + b1 - v * a12) / a11 - u)
            u = torch.where(mask, next_u, u)
            next_v = v + RELAXATION * ((_weighted(weights, v) + b2 - u * a12) / a22 - v)
            v = torch.where(mask, next_v, v)
    return torch.stack([u, v], 1)


def _weighted(weights: tuple[Tensor, ...], plane: Tensor) -> Tensor:
    """The weighted sum of the four neighbors of each pixel, [2, H, W]."""
    padded = F.pad(plane, (1, 1, 1, 1))
    west, east, north, south = weights
    sides = west * padded[:, 1:-1, :-2] + east * padded[:, 1:-1, 2:]
    return sides + north * padded[:, :-2, 1:-1] + south * padded[:, 2:, 1:-1]
