"""Checks of the shapes and dtypes that kernels accept, and the layout of thread blocks."""

from __future__ import annotations

from math import prod
from typing import TypeAlias

import torch
from torch import Tensor

Size: TypeAlias = tuple[int, int, int]

FILTERS = ("bilinear", "bicubic")
BORDERS = ("replicate", "reflect", "wrap", "zeros")  # the order of `enum Border` in pixel.cuh
PIXELS = (torch.float32, torch.float16)
BLOCK = (32, 8, 1)  # threads
LINE = 256  # threads per block for 1-D kernels
MAX_PIXELS = 1 << 30  # of a plane, so that int indices are enough


def nv12_sides(y: Tensor, uv: Tensor) -> tuple[int, int, int, int]:
    """Height, width, and the pitches of y and uv in samples."""
    if y.dtype != uv.dtype or y.dtype not in (torch.uint8, torch.uint16):
        raise ValueError(f"NV12 is uint8, P010 is uint16; got {y.dtype} and {uv.dtype}")
    if y.ndim != 2 or uv.shape != ((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2, 2) or not y.numel():
        raise ValueError(f"chroma {tuple(uv.shape)} does not fit luma {tuple(y.shape)}")
    if y.stride(1) != 1 or uv.stride()[1:] != (2, 1):
        raise ValueError(f"rows must be contiguous; got strides {y.stride()} and {uv.stride()}")
    return y.shape[0], y.shape[1], y.stride(0), uv.stride(0)


def check_image(name: str, image: Tensor) -> Tensor:
    """`image` [..., C, H, W], contiguous; raises ValueError for unsupported shapes and dtypes."""
    if image.ndim < 3 or not image.numel() or image.shape[-1] * image.shape[-2] > MAX_PIXELS:
        raise ValueError(f"{name} must be [..., C, H, W] with 1 to {MAX_PIXELS} pixels, got {tuple(image.shape)}")
    if image.dtype not in PIXELS:
        raise ValueError(f"{name} must be float32 or float16, not {image.dtype}")
    return image.detach().contiguous()


def check_rgb(image: Tensor) -> Tensor:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image must be [3, H, W], got {tuple(image.shape)}")
    return check_image("image", image)


def check_flow(name: str, plane: Tensor, channels: int = 2) -> Tensor:
    if plane.ndim < 3 or plane.shape[-3] != channels:
        raise ValueError(f"{name} must be [..., {channels}, H, W], got {tuple(plane.shape)}")
    return check_image(name, plane.float())


def check_plane(name: str, plane: Tensor, like: Tensor, channels: int) -> Tensor:
    """`plane` [..., channels, H, W], contiguous float32; raises ValueError if it does not fit the image `like`."""
    if plane.shape != (*like.shape[:-3], channels, *like.shape[-2:]):
        raise ValueError(f"{name} {tuple(plane.shape)} does not fit image {tuple(like.shape)}")
    return plane.detach().float().contiguous()


def check_same(name: str, image: Tensor, first: Tensor) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        raise ValueError(
            f"{name} {tuple(image.shape)} {image.dtype} must match the other image, {tuple(first.shape)} {first.dtype}"
        )


def filter(name: str) -> str:
    if name not in FILTERS:
        raise ValueError(f"filter must be one of {FILTERS}, got '{name}'")
    return name


def border(name: str) -> int:
    if name not in BORDERS:
        raise ValueError(f"border must be one of {BORDERS}, got '{name}'")
    return BORDERS.index(name)


def sides(image: Tensor) -> Size:
    return image.shape[-3], image.shape[-2], image.shape[-1]


def batch(image: Tensor) -> int:
    return prod(image.shape[:-3])


def blocks(count: int, size: int) -> int:
    return -(-count // size)


def tiles(image: Tensor) -> Size:
    """Grid of blocks of `BLOCK` threads, one thread per pixel."""
    return blocks(image.shape[-1], BLOCK[0]), blocks(image.shape[-2], BLOCK[1]), batch(image)
