"""Motion between two images: optical flow and its confidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError, unknown
from streamfx.motion.lucas_kanade import lucas_kanade
from streamfx.ops import cuda
from streamfx.ops.color import luma
from streamfx.ops.warp import warp

if TYPE_CHECKING:
    from torch import nn

METHODS = ("dis", "lk", "raft")

OUTSIDE = 0.25  # pixels beyond the center of the outermost pixel; points farther out have left the frame
SIGMA = 10.0  # of 255: this low-passed luma difference divides the confidence by e; noise of 2.5 keeps 0.99


@dataclass(frozen=True, slots=True)
class Motion:
    """Motion from the current image back to the previous one."""

    flow: Tensor  # [2, H, W] pixels, x and y: offset from each pixel to its position in the previous image
    confidence: Tensor  # [1, H, W] 0..1; 0 for disocclusions and unreliable flow


Estimate: TypeAlias = Callable[[Tensor, Tensor], Motion]


def build_motion(method: str, device: torch.device) -> Estimate:
    """A function (previous, current) -> Motion; both are images [3, H, W] RGB 0..1 of the same size.

    "dis": OpenCV's dense inverse search (Kroeger et al. 2016) with variational refinement on luma at about 320x180, on
    the CPU. Flow that matches a region no better than zero motion is set to exactly 0, so noise moves no still areas.
    "lk": dense Lucas-Kanade on a pyramid (`streamfx.motion.lucas_kanade`) on `device`; images stay there.
    "raft": the small RAFT network (Teed and Deng 2020) at full size on `device`; downloads 4 MB once.
    The confidence is `consistency_mask` times a photometric confidence; "dis" also dilates the mask's zeros, as its
    motion extends some pixels beyond object edges. Not thread-safe. Raises StreamfxError.
    """
    if method == "dis":
        from streamfx.motion.dis import build_dis

        return build_dis()
    if method == "lk":
        return _estimate_lucas_kanade
    if method == "raft":
        return _build_raft(load_raft().to(device))
    raise unknown("motion method", method, METHODS)


def consistency_mask(backward: Tensor, forward: Tensor) -> Tensor:
    """Forward-backward consistency [..., 1, H, W], 0 or 1, of flows [..., 2, H, W] in pixels.

    `backward` leads from the current to the previous image. With p' = p + b(p) and u = f(p'), a pixel is 0 (Sundaram et
    al. 2010; Ruder et al. 2016) where p' leaves the image, where |b + u|^2 >= 0.01 (|b|^2 + |u|^2) + 0.5, or at motion
    boundaries, where |grad bx|^2 + |grad by|^2 > 0.01 |b|^2 + 0.002. Gradients are central differences.
    """
    if cuda.supports(backward, forward):
        return cuda.consistency_mask(backward, forward, OUTSIDE)
    height, width = backward.shape[-2:]
    back = warp(forward, backward)
    square = backward.square().sum(-3, keepdim=True)  # [..., 1, H, W]
    differ = (backward + back).square().sum(-3, keepdim=True) >= 0.01 * (square + back.square().sum(-3, True)) + 0.5
    across = torch.arange(width, device=backward.device) + backward[..., :1, :, :]
    down = torch.arange(height, device=backward.device)[:, None] + backward[..., 1:, :, :]
    left = (across < -OUTSIDE) | (across > width - 1 + OUTSIDE) | (down < -OUTSIDE) | (down > height - 1 + OUTSIDE)
    padded = F.pad(backward.reshape(-1, 2, height, width), (1, 1, 1, 1), mode="replicate")
    slope_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    slope_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    slope = (slope_x.square() + slope_y.square()).sum(-3, keepdim=True).view(square.shape)
    return (~(differ | left | (slope > 0.01 * square + 0.002))).to(backward.dtype)


def check(previous: Tensor, current: Tensor) -> None:
    if previous.shape != current.shape or current.ndim != 3 or current.shape[0] != 3:
        raise ValueError(f"expected two images [3, H, W] of one size, got {previous.shape} and {current.shape}")


def load_raft() -> nn.Module:
    """The small RAFT network with torchvision's weights, from torch.hub's cache or downloaded."""
    from torchvision.models.optical_flow import Raft_Small_Weights, raft_small  # type: ignore[import-untyped]

    weights = Raft_Small_Weights.C_T_V2
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise StreamfxError(
            f"cannot download the weights of 'raft' from {weights.url} ({reason}): connect to the internet "
            "or use 'dis', which needs none"
        ) from error
    network: nn.Module = raft_small(weights=None).eval().requires_grad_(False)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
        raise StreamfxError(f"'{file}' does not contain the small RAFT network; delete it") from error
    return network


@torch.no_grad()
def _estimate_lucas_kanade(previous: Tensor, current: Tensor) -> Motion:
    check(previous, current)
    use_graph = cuda.supports(previous, current)
    estimate = _cuda_graph(tuple(current.shape), current.device) if use_graph else _flow_and_confidence
    planes = estimate(previous, current)
    return Motion(planes[:2], planes[2:])


@cache
def _cuda_graph(shape: tuple[int, ...], device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """`_flow_and_confidence` for images of one shape as a CUDA graph: it has hundreds of small kernel launches."""
    from streamfx.inference.cuda_graph import record

    return record(_flow_and_confidence, [shape, shape], device)


def _flow_and_confidence(previous: Tensor, current: Tensor) -> Tensor:
    """[3, H, W]: the backward flow by `lucas_kanade`, and its confidence."""
    backward, forward = lucas_kanade(current, previous), lucas_kanade(previous, current)
    return torch.cat([backward, _confidence(previous, current, backward, forward)])


def _build_raft(network: nn.Module) -> Estimate:
    """`network`: two batches [N, 3, H, W] in -1..1 -> list of flows [N, 2, H, W], the last one the most refined."""

    @torch.inference_mode()
    def estimate(previous: Tensor, current: Tensor) -> Motion:
        check(previous, current)
        height, width = current.shape[-2:]
        pair = torch.stack([current, previous])
        # RAFT halves its 1/8-size features four more times
        below, beside = (max(0, 128 - side, -side % 8) for side in (height, width))
        padded = F.pad(pair, (0, beside, 0, below), mode="replicate") * 2 - 1
        backward, forward = network(padded, padded.flip(0))[-1][..., :height, :width]
        return Motion(backward, _confidence(previous, current, backward, forward))

    return estimate


def _confidence(previous: Tensor, current: Tensor, backward: Tensor, forward: Tensor) -> Tensor:
    """[1, H, W] 0..1: `consistency_mask` times exp(-(residual / SIGMA)^2) of the warped previous image."""
    residual = 255 * (luma(current) - luma(warp(previous, backward)))
    smooth = F.avg_pool2d(F.pad(residual[None], (4, 4, 4, 4), mode="replicate"), 9, stride=1)[0]
    return consistency_mask(backward, forward) * torch.exp(-(smooth / SIGMA).square())
