"""Optical flow by dense inverse search in torch, on the images' device; the counterpart of streamfx/motion/dis.py."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.motion.assessment import SMALLEST, assess, halvings_of, median
from streamfx.motion.occlusion import OUTSIDE, SIGMA, Motion, check_pair
from streamfx.motion.patch_search import densify, search
from streamfx.motion.variational import refine
from streamfx.ops import color


@torch.no_grad()
def estimate(previous: Tensor, current: Tensor) -> Motion:
    """The Motion between two images [3, H, W] RGB 0..1; see `streamfx.motion.flow.build_motion`."""
    check_pair(previous, current)
    planes = inverse_search(previous, current)
    return Motion(planes[:2], planes[2:])


def inverse_search(previous: Tensor, current: Tensor) -> Tensor:
    """[3, H, W]: the flow in pixels from `current` back to `previous`, both RGB [3, H, W] 0..1, and its confidence.

    As on the CPU, lumas of about 320x180 are searched, coarse to fine. The median difference is added to the luma of
    `previous`, as a brightness change would look like motion. Nothing is read by the host.
    """
    height, width = current.shape[1:]
    factor = 2 ** halvings_of(height, width)
    before, after = _small_lumas(torch.stack([previous, current]), factor)
    brightness = (after - before)[::4, ::4].median()
    if min(after.shape) < SMALLEST:
        error = F.avg_pool2d(F.pad((after - before)[None], (1, 1, 1, 1), mode="replicate"), 3, 1)
        small = torch.cat([torch.zeros_like(error).expand(2, -1, -1), torch.exp(-(error / SIGMA).square())])
    else:
        before = before + brightness
        motion = median(_coarse_to_fine(torch.stack([after, before])))
        small = assess(before, after, motion, brightness, OUTSIDE / factor)
    scale = small.new_tensor([width / small.shape[2], height / small.shape[1], 1])
    return F.interpolate((small * scale[:, None, None])[None], (height, width), mode="bilinear")[0]


def _small_lumas(images: Tensor, factor: int) -> Tensor:
    """Lumas [2, h, w] 0..255 of two images [2, 3, H, W], reduced by `factor`; sides are rounded up."""
    size = [-(-side // factor) for side in images.shape[-2:]]
    return F.interpolate(255 * color.luma(images.float()), size, mode="area")[:, 0].clamp(0, 255)


def _coarse_to_fine(lumas: Tensor) -> Tensor:
    """Motion [2, 2, H, W] of two lumas [2, H, W] 0..255: from the first to the second, and back."""
    levels = [lumas]
    while min((side + 1) // 2 for side in levels[-1].shape[1:]) >= SMALLEST:
        levels.append(F.avg_pool2d(lumas[:, None], 2 ** len(levels), ceil_mode=True)[:, 0])
    motion: Tensor | None = None
    for level in reversed(levels):
        motion = refine(level, densify(level, search(level, motion)))
    assert motion is not None
    return motion
