"""Optical flow by dense inverse search on the images' device: CUDA kernels, or the same in torch on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.motion import assessment, patch_search, variational
from streamfx.motion.assessment import SMALLEST, halvings_of
from streamfx.motion.occlusion import OUTSIDE, SIGMA
from streamfx.ops import color, cuda_dis

Scale = tuple[float, float]


class Steps(NamedTuple):
    """Parts of the search; lumas are [2, H, W] in 0..255, of the current and the previous image; all float32."""

    lumas: Callable[[Tensor, Tensor, tuple[int, int]], Tensor]  # current, previous, size
    pyramid: Callable[[Tensor, int], tuple[list[Tensor], Tensor]]  # lumas, levels -> lumas of levels, brightness
    flow: Callable[[Tensor, Tensor | None], Tensor]  # lumas, motion at half the size -> motion [2, 2, H, W]
    median: Callable[[Tensor], Tensor]
    assess: Callable[[Tensor, Tensor, Tensor, float, Scale], Tensor]  # see `assessment.assess`


def inverse_search(previous: Tensor, current: Tensor, steps: Steps) -> Tensor:
    """[3, H, W]: the flow in pixels from `current` back to `previous`, both RGB [3, H, W] 0..1, and its confidence.

    As on the CPU (streamfx/motion/dis.py), lumas of about 320x180 are searched, coarse to fine. Their median difference
    is added to the luma of `previous`, as a brightness change would look like motion. The host reads nothing.
    """
    height, width = current.shape[1:]
    factor = 2 ** halvings_of(height, width)
    size = -(-height // factor), -(-width // factor)
    lumas = steps.lumas(current, previous, size)
    if min(size) < SMALLEST:
        small = _zero_motion(lumas)
    else:
        levels, brightness = steps.pyramid(lumas, _level_count(size))
        motion: Tensor | None = None
        for level in reversed(levels):
            motion = steps.flow(level, motion)
        assert motion is not None
        scale = width / size[1], height / size[0]
        small = steps.assess(levels[0], steps.median(motion), brightness, OUTSIDE / factor, scale)
    return F.interpolate(small[None], (height, width), mode="bilinear")[0]


def _level_count(size: tuple[int, int]) -> int:
    """How many levels a pyramid has whose coarsest level is at least SMALLEST pixels high and wide."""
    count = 1
    while min(-(-side // 2**count) for side in size) >= SMALLEST:
        count += 1
    return count


def _zero_motion(lumas: Tensor) -> Tensor:
    error = F.avg_pool2d(F.pad((lumas[:1] - lumas[1:]), (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.cat([torch.zeros_like(error).expand(2, -1, -1), torch.exp(-(error / SIGMA).square())])


def _small_lumas(current: Tensor, previous: Tensor, size: tuple[int, int]) -> Tensor:
    lumas = 255 * color.luma(torch.stack([current, previous]).float())
    return F.interpolate(lumas, size, mode="area")[:, 0].clamp(0, 255)


def _pyramid(lumas: Tensor, count: int) -> tuple[list[Tensor], Tensor]:
    brightness = (lumas[0] - lumas[1])[::4, ::4].median()
    lumas = torch.stack([lumas[0], lumas[1] + brightness])
    coarser = [F.avg_pool2d(lumas[:, None], 2**level, ceil_mode=True)[:, 0] for level in range(1, count)]
    return [lumas, *coarser], brightness


def _flow(lumas: Tensor, coarse: Tensor | None) -> Tensor:
    patches = patch_search.search(lumas, coarse)
    return variational.refine(lumas, patch_search.densify(lumas, patches))


def _pyramid_by_kernels(lumas: Tensor, count: int) -> tuple[list[Tensor], Tensor]:
    brightness = cuda_dis.median_difference(lumas)
    return cuda_dis.pyramid(lumas, brightness, count), brightness


def _flow_by_kernels(lumas: Tensor, coarse: Tensor | None) -> Tensor:
    patches = cuda_dis.search(lumas, coarse, patch_search.ROUNDS)
    return cuda_dis.refine(lumas, cuda_dis.densify(lumas, patches), variational.ITERATIONS)


REFERENCE = Steps(_small_lumas, _pyramid, _flow, assessment.median, assessment.assess)
KERNELS = Steps(cuda_dis.small_lumas, _pyramid_by_kernels, _flow_by_kernels, cuda_dis.median, cuda_dis.assess)
