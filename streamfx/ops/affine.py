"""Zoom, turn and shift a picture by a matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from streamfx.ops import cuda
from streamfx.ops.warp import Border, Filter, _warp

Matrix = Sequence[Sequence[float]]


def affine(image: Tensor, matrix: Matrix, filter: Filter = "bilinear", border: Border = "replicate") -> Tensor:
    """`image` [..., C, H, W] seen through `matrix`: the pixel at p = (x, y, 1) is the image's at matrix p, in pixels.

    Two rows of three numbers, or three: then both coordinates are divided by the third. Filter and border are those of
    `streamfx.ops.warp.warp`.
    """
    if cuda.takes(image):
        return cuda.affine(image, matrix, filter, border)
    return _affine(image, matrix, filter, border)


def _affine(image: Tensor, matrix: Matrix, filter: Filter, border: Border) -> Tensor:
    height, width = image.shape[-2:]
    rows = torch.tensor([list(row) for row in matrix], dtype=torch.float64).tolist()
    if len(rows) not in (2, 3) or any(len(row) != 3 for row in rows):
        raise ValueError(f"a matrix has two or three rows of three numbers; got {matrix}")
    x = torch.arange(width, dtype=torch.float32, device=image.device)
    y = torch.arange(height, dtype=torch.float32, device=image.device)[:, None]
    at = [across * x + down * y + by for across, down, by in rows]  # 2 or 3 of [H, W]
    if len(at) == 3:
        at = [at[0] / at[2], at[1] / at[2]]
    flow = torch.stack([at[0] - x, at[1] - y]).expand(*image.shape[:-3], 2, height, width)
    return _warp(image, flow, filter, border)
