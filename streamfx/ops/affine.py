"""Zoom, rotate and shift an image by a matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from streamfx.ops import cuda
from streamfx.ops.warp import Border, Filter, _warp

Matrix = Sequence[Sequence[float]]


def affine(image: Tensor, matrix: Matrix, filter: Filter = "bilinear", border: Border = "replicate") -> Tensor:
    """`image` [..., C, H, W] warped by `matrix`: the output at p = (x, y, 1) is the image at matrix p, in pixels.

    `matrix` has two rows of three numbers, or three rows: then both coordinates are divided by the third. Filter and
    border as in `streamfx.ops.warp.warp`.
    """
    if cuda.supports(image):
        return cuda.affine(image, matrix, filter, border)
    return _affine(image, matrix, filter, border)


def _affine(image: Tensor, matrix: Matrix, filter: Filter, border: Border) -> Tensor:
    height, width = image.shape[-2:]
    rows = torch.tensor([list(row) for row in matrix], dtype=torch.float64).tolist()
    if len(rows) not in (2, 3) or any(len(row) != 3 for row in rows):
        raise ValueError(f"matrix must have two or three rows of three numbers, got {matrix}")
    x = torch.arange(width, dtype=torch.float32, device=image.device)
    y = torch.arange(height, dtype=torch.float32, device=image.device)[:, None]
    source = [a * x + b * y + c for a, b, c in rows]  # 2 or 3 of [H, W]
    if len(source) == 3:
        source = [source[0] / source[2], source[1] / source[2]]
    flow = torch.stack([source[0] - x, source[1] - y]).expand(*image.shape[:-3], 2, height, width)
    return _warp(image, flow, filter, border)
