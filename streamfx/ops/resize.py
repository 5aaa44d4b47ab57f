"""Resizing of planes. On the CPU by OpenCV, which is ten times as fast as torch here."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

Filter: TypeAlias = Literal["bilinear", "bicubic"]

CV_MAX_SIDE = 32766  # pixels; a limit of OpenCV


def resize(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """`planes` [..., H, W] at `size` (height, width): bilinear, and free of aliasing where they become smaller."""
    if tuple(planes.shape[-2:]) == size:
        return planes
    shrinks = size[0] < planes.shape[-2] or size[1] < planes.shape[-1]
    if not shrinks:
        return enlarge(planes, size)
    if _by_opencv(planes, size):
        import cv2

        return _resized(planes, size, cv2.INTER_AREA)
    batch = planes.reshape(-1, 1, *planes.shape[-2:])
    return F.interpolate(batch, size, mode="bilinear", antialias=True).view(*planes.shape[:-2], *size)


def enlarge(planes: Tensor, size: tuple[int, int], filter: Filter = "bilinear") -> Tensor:
    """`planes` [..., H, W] enlarged to `size` (height, width): bilinear for fields, bicubic for images.

    Bicubic may slightly exceed the range of the planes.
    """
    if _by_opencv(planes, size):
        import cv2

        return _resized(planes, size, cv2.INTER_LINEAR if filter == "bilinear" else cv2.INTER_CUBIC)
    batch = planes.reshape(-1, 1, *planes.shape[-2:])
    return F.interpolate(batch, size, mode=filter).view(*planes.shape[:-2], *size)


def halve(planes: Tensor) -> Tensor:
    """The means of 2 x 2 pixels of `planes` [..., H, W]; of fewer at the end of odd sides, whose halves round up."""
    height, width = planes.shape[-2:]
    size = -(-height // 2), -(-width // 2)
    if height % 2 == 0 and width % 2 == 0 and _by_opencv(planes, size):
        import cv2

        return _resized(planes, size, cv2.INTER_AREA)
    batch = planes.reshape(-1, 1, height, width)
    return F.avg_pool2d(batch, 2, ceil_mode=True).view(*planes.shape[:-2], *size)


def _by_opencv(planes: Tensor, size: tuple[int, int]) -> bool:
    if planes.device.type != "cpu" or planes.dtype != torch.float32 or planes.requires_grad:
        return False
    return bool(max(*size, *planes.shape[-2:]) <= CV_MAX_SIDE)


def _resized(planes: Tensor, size: tuple[int, int], interpolation: int) -> Tensor:
    import cv2

    result = torch.empty(*planes.shape[:-2], *size)
    flat = (each.reshape(-1, *each.shape[-2:]) for each in (planes, result))
    for source, target in zip(*flat):
        cv2.resize(source.numpy(), size[::-1], dst=target.numpy(), interpolation=interpolation)
    return result
