"""Optical flow by the small RAFT network (Teed and Deng 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.motion.occlusion import Estimate, Motion, check_pair, confidence

if TYPE_CHECKING:
    from torch import nn


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


def build_raft(network: nn.Module) -> Estimate:
    """`network`: two batches [N, 3, H, W] in -1..1 -> list of flows [N, 2, H, W], the last one the most refined."""

    @torch.inference_mode()
    def estimate(previous: Tensor, current: Tensor) -> Motion:
        check_pair(previous, current)
        height, width = current.shape[-2:]
        pair = torch.stack([current, previous])
        # RAFT halves its 1/8-size features four more times
        below, beside = (max(0, 128 - side, -side % 8) for side in (height, width))
        padded = F.pad(pair, (0, beside, 0, below), mode="replicate") * 2 - 1
        backward, forward = network(padded, padded.flip(0))[-1][..., :height, :width]
        return Motion(backward, confidence(previous, current, backward, forward))

    return estimate
