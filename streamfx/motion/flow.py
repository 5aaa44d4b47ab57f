"""Motion between two images by the method of choice."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TypeAlias

import torch
from torch import Tensor

from streamfx.errors import unknown
from streamfx.motion.inverse_search import KERNELS, REFERENCE, inverse_search
from streamfx.motion.lucas_kanade import lucas_kanade
from streamfx.motion.occlusion import Estimate, Motion, check_pair, confidence
from streamfx.ops import cuda

METHODS = ("dis", "lk", "raft")

_Work: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # previous and current image -> flow and confidence [3, H, W]


def build_motion(method: str, device: torch.device) -> Estimate:
    """A function (previous, current) -> Motion; both are images [3, H, W] RGB 0..1 of the same size.

    "dis": dense inverse search (Kroeger et al. 2016) with variational refinement on luma at about 320x180, by OpenCV on
    the CPU, by our kernels on CUDA. Flow that matches a region no better than zero motion is set to exactly 0, so noise
    moves no still areas.
    "lk": dense Lucas-Kanade on a pyramid (`streamfx.motion.lucas_kanade`) on `device`; images stay there.
    "raft": the small RAFT network (Teed and Deng 2020) at full size on `device`; downloads 4 MB once.
    The confidence is `consistency_mask` times a photometric confidence; "dis" also dilates the mask's zeros, as its
    motion extends some pixels beyond object edges. Not thread-safe. Raises StreamfxError.
    """
    if method == "dis":
        if device.type != "cpu":
            return partial(_estimate, _inverse_search)
        from streamfx.motion.dis import build_dis

        return build_dis()
    if method == "lk":
        return partial(_estimate, _lucas_kanade)
    if method == "raft":
        from streamfx.motion.raft import build_raft, load_raft

        return build_raft(load_raft().to(device))
    raise unknown("motion method", method, METHODS)


@torch.no_grad()
def _estimate(work: _Work, previous: Tensor, current: Tensor) -> Motion:
    check_pair(previous, current)
    if cuda.supports(previous, current):
        work = _cuda_graph(work, tuple(current.shape), current.device)
    planes = work(previous, current)
    return Motion(planes[:2], planes[2:])


@cache
def _cuda_graph(work: _Work, shape: tuple[int, ...], device: torch.device) -> _Work:
    """`work` on images of one shape as a CUDA graph: it has dozens to hundreds of small kernel launches."""
    from streamfx.inference.cuda_graph import record

    return record(work, [shape, shape], device)


def _inverse_search(previous: Tensor, current: Tensor) -> Tensor:
    return inverse_search(previous, current, KERNELS if cuda.supports(previous, current) else REFERENCE)


def _lucas_kanade(previous: Tensor, current: Tensor) -> Tensor:
    """[3, H, W]: the backward flow by `lucas_kanade`, and its confidence."""
    backward, forward = lucas_kanade(current, previous), lucas_kanade(previous, current)
    return torch.cat([backward, confidence(previous, current, backward, forward)])
