"""Launches the kernels of dense inverse search; see their sources in cuda_kernels/{dis,variational,assessment}.cu."""

from __future__ import annotations

import torch
from torch import Tensor

from streamfx.ops import launch
from streamfx.ops.cuda import Argument, run_kernel
from streamfx.ops.launch import Size

_PATCH, _STRIDE, _WARPS = 8, 5, 4  # pixels; warps of a block, one per patch
_SIDE = 32  # pixels, written by a block of `refine`
_BLOCK = 8  # pixels, of still or moving blocks
_ONE_BLOCK = 1024  # threads of the kernels that run in one block


def small_lumas(current: Tensor, previous: Tensor, size: tuple[int, int]) -> Tensor:
    """Lumas [2, *size] float32 0..255, of `current` and `previous`, RGB [3, H, W] 0..1."""
    current, previous = launch.check_rgb(current), launch.check_rgb(previous)
    launch.check_same("previous", previous, current)
    out = current.new_empty((2, *size)).float()
    columns, rows, _ = launch.tiles(out)
    arguments = (current, previous, out, *current.shape[1:], *size)
    run_kernel("dis", "small_lumas", current, (columns, rows, 2), launch.BLOCK, *arguments)
    return out


def median_difference(lumas: Tensor) -> Tensor:
    """The median [1] of the first minus the second of two lumas [2, H, W], over every fourth pixel of both sides."""
    lumas = launch.check_flow("lumas", lumas)
    out = lumas.new_empty(1)
    run_kernel("dis", "median_difference", lumas, (1, 1, 1), (_ONE_BLOCK, 1, 1), lumas, out, *lumas.shape[1:])
    return out


def pyramid(lumas: Tensor, brightness: Tensor, levels: int) -> list[Tensor]:
    """Lumas [2, H, W] with `brightness` [1] added to the second one, and `levels` - 1 reductions to half the size."""
    lumas = launch.check_flow("lumas", lumas)
    shapes = [[-(-side // 2**level) for side in lumas.shape[1:]] for level in range(levels)]
    counts = [2 * height * width for height, width in shapes]
    out = lumas.new_empty(sum(counts))
    columns, rows, _ = launch.tiles(lumas)
    grid = (columns, rows, 2 * levels)
    run_kernel("dis", "pyramid", lumas, grid, launch.BLOCK, lumas, brightness, out, *lumas.shape[1:])
    parts = torch.split(out, counts)
    return [part.view(2, *shape) for part, shape in zip(parts, shapes)]


def search(lumas: Tensor, coarse: Tensor | None, rounds: int) -> Tensor:
    """`streamfx.motion.patch_search.search`; returns the motion and the cost of each patch, [2, 3, rows, columns]."""
    lumas = launch.check_flow("lumas", lumas)
    height, width = lumas.shape[1:]
    rows, columns = (-(-(side - _PATCH) // _STRIDE) + 1 for side in (height, width))
    grid: Size = (launch.blocks(rows * columns, _WARPS), 1, 2)
    patches: Tensor | None = None
    for _ in range(1 + rounds):
        out = lumas.new_empty((2, 3, rows, columns))
        starts = (lumas if coarse is None else coarse, out if patches is None else patches)  # any address if unused
        flags = (int(coarse is not None), int(patches is not None))
        arguments = (lumas, *starts, out, height, width, *flags)
        run_kernel("dis", "search", lumas, grid, (32, _WARPS, 1), *arguments)
        patches = out
    assert patches is not None
    return patches


def densify(lumas: Tensor, patches: Tensor) -> Tensor:
    """`streamfx.motion.patch_search.densify` of the result of `search`; [2, 2, H, W]."""
    height, width = lumas.shape[1:]
    out = lumas.new_empty((2, 2, height, width))
    columns, rows, _ = launch.tiles(lumas)
    run_kernel("dis", "densify", lumas, (columns, rows, 2), launch.BLOCK, lumas, patches, out, height, width)
    return out


def refine(lumas: Tensor, motion: Tensor, iterations: int) -> Tensor:
    """`streamfx.motion.variational.refine`: lumas [2, H, W], motion [2, 2, H, W]."""
    lumas, motion = launch.check_flow("lumas", lumas), launch.check_flow("motion", motion)
    height, width = lumas.shape[1:]
    terms = lumas.new_empty((2, 8, height, width))
    columns, rows, _ = launch.tiles(lumas)
    grid = (columns, rows, 2)
    run_kernel("variational", "derivatives", lumas, grid, launch.BLOCK, lumas, motion, terms, height, width)
    grid = (launch.blocks(width, _SIDE), launch.blocks(height, _SIDE), 2)
    change = motion.new_zeros(motion.shape)
    for number in range(iterations):
        out = motion.new_empty(motion.shape)
        arguments = (terms, motion, change, out, height, width, int(number == iterations - 1))
        run_kernel("variational", "refine", lumas, grid, (_ONE_BLOCK, 1, 1), *arguments)
        change = out
    return change


def median(motion: Tensor) -> Tensor:
    """`streamfx.motion.assessment.median` of [2, 2, H, W]."""
    motion = launch.check_flow("motion", motion)
    height, width = motion.shape[-2:]
    out = motion.new_empty(motion.shape)
    columns, rows, _ = launch.tiles(motion)
    run_kernel("variational", "median", motion, (columns, rows, 4), launch.BLOCK, motion, out, height, width)
    return out


def assess(lumas: Tensor, motion: Tensor, brightness: Tensor, outside: float, scale: tuple[float, float]) -> Tensor:
    """`streamfx.motion.assessment.assess`; the flow [2, H, W] multiplied by `scale` (x, y), and its confidence."""
    lumas, motion = launch.check_flow("lumas", lumas), launch.check_flow("motion", motion)
    height, width = lumas.shape[1:]
    grid = (*launch.tiles(lumas)[:2], 1)
    residuals = lumas.new_empty((3, height, width))
    run_kernel("assessment", "residuals", lumas, grid, launch.BLOCK, lumas, motion, residuals, height, width)
    rows, columns = (launch.blocks(side, _BLOCK) for side in (height, width))
    means, moving = lumas.new_empty((5, rows, columns)), lumas.new_empty((rows, columns))
    warps = (launch.blocks(rows * columns, _WARPS), 1, 1)
    inputs: tuple[Argument, ...] = (residuals, motion, means, height, width)
    run_kernel("assessment", "block_means", lumas, warps, (32, _WARPS, 1), *inputs)
    run_kernel("assessment", "moving_blocks", lumas, (1, 1, 1), (_ONE_BLOCK, 1, 1), means, moving, rows, columns)
    checked, out = lumas.new_empty((4, height, width)), lumas.new_empty((3, height, width))
    inputs = (residuals, motion, moving, brightness, checked, height, width, float(outside))
    run_kernel("assessment", "check_flow", lumas, grid, launch.BLOCK, *inputs)
    inputs = (checked, out, height, width, float(scale[0]), float(scale[1]))
    run_kernel("assessment", "dilate", lumas, grid, launch.BLOCK, *inputs)
    return out
