"""What kernels take: shapes and dtypes that fit each other, and how threads are laid over them."""

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
LINE = 256  # threads where a picture is one line of pixels
MOST = 1 << 30  # pixels of a plane, so that an int counts them


def nv12_sides(y: Tensor, uv: Tensor) -> tuple[int, int, int, int]:
    """Height, width and both pitches in samples."""
    if y.dtype != uv.dtype or y.dtype not in (torch.uint8, torch.uint16):
        raise ValueError(f"NV12 is uint8, P010 is uint16; got {y.dtype} and {uv.dtype}")
    if y.ndim != 2 or uv.shape != ((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2, 2) or not y.numel():
        raise ValueError(f"chroma {tuple(uv.shape)} does not fit luma {tuple(y.shape)}")
    if y.stride(1) != 1 or uv.stride()[1:] != (2, 1):
        raise ValueError(f"samples of a row lie side by side; got strides {y.stride()} and {uv.stride()}")
    return y.shape[0], y.shape[1], y.stride(0), uv.stride(0)


def picture(name: str, image: Tensor) -> Tensor:
    """Contiguous [..., C, H, W] of pixels that kernels know."""
    if image.ndim < 3 or not image.numel() or image.shape[-1] * image.shape[-2] > MOST:
        raise ValueError(f"{name} is [..., C, H, W] with 1 to {MOST} pixels; got {tuple(image.shape)}")
    if image.dtype not in PIXELS:
        raise ValueError(f"{name} is float32 or float16, not {image.dtype}")
    return image.detach().contiguous()


def channels(image: Tensor) -> Tensor:
    if image.ndim != 3:
        raise ValueError(f"an image is [C, H, W]; got {tuple(image.shape)}")
    return picture("image", image)


def rgb(image: Tensor) -> Tensor:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"an image is [3, H, W]; got {tuple(image.shape)}")
    return picture("image", image)


def flow(name: str, plane: Tensor, channels: int = 2) -> Tensor:
    if plane.ndim < 3 or plane.shape[-3] != channels:
        raise ValueError(f"{name} is [..., {channels}, H, W]; got {tuple(plane.shape)}")
    return picture(name, plane.float())


def plane(name: str, plane: Tensor, like: Tensor, channels: int) -> Tensor:
    """Contiguous float32 [..., channels, H, W] that fits the picture `like`."""
    if plane.shape != (*like.shape[:-3], channels, *like.shape[-2:]):
        raise ValueError(f"a {name} {tuple(plane.shape)} does not fit an image {tuple(like.shape)}")
    return plane.detach().float().contiguous()


def alike(name: str, image: Tensor, first: Tensor) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        raise ValueError(
            f"{name} {tuple(image.shape)} {image.dtype} is not like the other, {tuple(first.shape)} {first.dtype}"
        )


def filter(name: str) -> str:
    if name not in FILTERS:
        raise ValueError(f"filter is one of {FILTERS}; got '{name}'")
    return name


def border(name: str) -> int:
    if name not in BORDERS:
        raise ValueError(f"border is one of {BORDERS}; got '{name}'")
    return BORDERS.index(name)


def sides(image: Tensor) -> Size:
    return image.shape[-3], image.shape[-2], image.shape[-1]


def batch(image: Tensor) -> int:
    return prod(image.shape[:-3])


def blocks(count: int, each: int) -> int:
    return -(-count // each)


def tiles(image: Tensor) -> Size:
    """Blocks of `BLOCK` threads, one a pixel."""
    return blocks(image.shape[-1], BLOCK[0]), blocks(image.shape[-2], BLOCK[1]), batch(image)


def lines(image: Tensor) -> tuple[Size, int]:
    """Blocks of `LINE` threads, one for four pixels of a channel, and the pixels of one."""
    count = image.shape[-2] * image.shape[-1]
    return (blocks(count, 4 * LINE), 1, image.shape[-3]), count
