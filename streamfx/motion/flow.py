"""Motion between two images, and where it can be trusted."""

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

OUTSIDE = 0.25  # pixels beyond the outermost pixel's centre: further out, a point has left the picture
SIGMA = 10.0  # of 255: low-passed luma that is off by this much divides the trust by e; noise of 2.5 keeps 0.99 of it


@dataclass(frozen=True, slots=True)
class Motion:
    """How the current image came from the previous one."""

    flow: Tensor  # [2, H, W] pixels, right and down: where each pixel was in the previous image, relative to it
    trust: Tensor  # [1, H, W] 0..1: whether it was there at all, and was seen


Estimate: TypeAlias = Callable[[Tensor, Tensor], Motion]


def build_motion(method: str, device: torch.device) -> Estimate:
    """A function of (previous, current), images [3, H, W] RGB 0..1 of one size, that estimates the Motion between them.

    "dis": OpenCV's dense inverse search (Kroeger et al. 2016) with variational refinement on luma at about 320x180, on
    the CPU; motion that explains a region no better than none does is exactly 0: noise does not move what stands still.
    "lk": dense Lucas-Kanade on a pyramid (`streamfx.motion.lucas_kanade`) on `device`; images stay there.
    "raft": RAFT's small network (Teed and Deng 2020) at full size on `device`; fetches 4 MB once. Trust is `trust_mask`
    times how well the previous image, moved, explains the current one; "dis", whose motion spreads some pixels beyond
    its edges, widens it there. Not for several threads at once. Raises StreamfxError.
    """
    if method == "dis":
        from streamfx.motion.dis import build_dis

        return build_dis()
    if method == "lk":
        return _lucas_kanade
    if method == "raft":
        return _build_raft(load_raft().to(device))
    raise unknown("motion method", method, METHODS)


def trust_mask(backward: Tensor, forward: Tensor) -> Tensor:
    """Where `backward`, current to previous, agrees with `forward`, both [..., 2, H, W] pixels; [..., 1, H, W] 0 or 1.

    With p' = p + b(p) and u = f(p'), a pixel is not trusted (Sundaram et al. 2010; Ruder et al. 2016) where p' leaves
    the picture, where |b + u|^2 >= 0.01 (|b|^2 + |u|^2) + 0.5, or at motion boundaries, where
    |grad bx|^2 + |grad by|^2 > 0.01 |b|^2 + 0.002. Gradients are central differences.
    """
    if cuda.takes(backward, forward):
        return cuda.trust_mask(backward, forward, OUTSIDE)
    height, width = backward.shape[-2:]
    back = warp(forward, backward)
    square = backward.square().sum(-3, keepdim=True)  # [..., 1, H, W]
    apart = (backward + back).square().sum(-3, keepdim=True) >= 0.01 * (square + back.square().sum(-3, True)) + 0.5
    across = torch.arange(width, device=backward.device) + backward[..., :1, :, :]
    down = torch.arange(height, device=backward.device)[:, None] + backward[..., 1:, :, :]
    left = (across < -OUTSIDE) | (across > width - 1 + OUTSIDE) | (down < -OUTSIDE) | (down > height - 1 + OUTSIDE)
    padded = F.pad(backward.reshape(-1, 2, height, width), (1, 1, 1, 1), mode="replicate")
    slope_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    slope_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    slope = (slope_x.square() + slope_y.square()).sum(-3, keepdim=True).view(square.shape)
    return (~(apart | left | (slope > 0.01 * square + 0.002))).to(backward.dtype)


def check(previous: Tensor, current: Tensor) -> None:
    if previous.shape != current.shape or current.ndim != 3 or current.shape[0] != 3:
        raise ValueError(f"motion is between two images [3, H, W]; got {tuple(previous.shape)}, {tuple(current.shape)}")


def load_raft() -> nn.Module:
    """RAFT's small network with the weights that torchvision names, from torch.hub's cache or the network."""
    from torchvision.models.optical_flow import Raft_Small_Weights, raft_small  # type: ignore[import-untyped]

    weights = Raft_Small_Weights.C_T_V2
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise StreamfxError(
            f"the weights of 'raft' cannot be fetched from {weights.url} ({reason}): go online once, or take 'dis', "
            "which needs none"
        ) from error
    network: nn.Module = raft_small(weights=None).eval().requires_grad_(False)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
        raise StreamfxError(f"'{file}' does not hold RAFT's small network: delete it") from error
    return network


@torch.no_grad()
def _lucas_kanade(previous: Tensor, current: Tensor) -> Motion:
    check(previous, current)
    work = _recorded(tuple(current.shape), current.device) if cuda.takes(previous, current) else _both_ways
    made = work(previous, current)
    return Motion(made[:2], made[2:])


@cache
def _recorded(shape: tuple[int, ...], device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """`_both_ways` of images of one shape as one launch; it has hundreds, which take longer than what they do."""
    from streamfx.inference.cuda_graph import record

    return record(_both_ways, [shape, shape], device)


def _both_ways(previous: Tensor, current: Tensor) -> Tensor:
    """[3, H, W]: the motion back by `lucas_kanade`, and how far it is trusted."""
    backward, forward = lucas_kanade(current, previous), lucas_kanade(previous, current)
    return torch.cat([backward, trust_mask(backward, forward) * _explained(previous, current, backward)])


def _build_raft(network: nn.Module) -> Estimate:
    """`network` takes two batches [N, 3, H, W] in -1..1 and gives refinements [N, 2, H, W], the last the best."""

    @torch.inference_mode()
    def estimate(previous: Tensor, current: Tensor) -> Motion:
        check(previous, current)
        height, width = current.shape[-2:]
        pair = torch.stack([current, previous])
        # at 1/8 of the size, four levels of halving are built upon
        below, beside = (max(0, 128 - side, -side % 8) for side in (height, width))
        padded = F.pad(pair, (0, beside, 0, below), mode="replicate") * 2 - 1
        backward, forward = network(padded, padded.flip(0))[-1][..., :height, :width]
        return Motion(backward, trust_mask(backward, forward) * _explained(previous, current, backward))

    return estimate


def _explained(previous: Tensor, current: Tensor, flow: Tensor) -> Tensor:
    """[1, H, W] 0..1 how well the previous image, moved, explains the current one: exp(-(residual / SIGMA)^2)."""
    residual = 255 * (luma(current) - luma(warp(previous, flow)))
    smooth = F.avg_pool2d(F.pad(residual[None], (4, 4, 4, 4), mode="replicate"), 9, stride=1)[0]
    return torch.exp(-(smooth / SIGMA).square())
