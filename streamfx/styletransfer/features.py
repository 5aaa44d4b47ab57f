"""Features of images that style and content are compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from streamfx.inference.efficientnet import Features
from streamfx.presets import TrainingSettings

_CPU = torch.device("cpu")


class FeatureExtractor:
    """A pretrained network that returns all layers which the losses compare."""

    def __init__(self, settings: TrainingSettings, network: str, device: torch.device = _CPU) -> None:
        self.network = network
        self.style_layers = settings.style_layers[network]
        self.content_layers = settings.content_layers[network]
        layers = tuple(dict.fromkeys((*self.style_layers, *self.content_layers)))
        self._style = _features(self.style_layers, network, device)
        self._all = _features(layers, network, device)
        self._content = _features(self.content_layers, network, device)

    def style(self, images: Tensor) -> Mapping[str, Tensor]:
        """Style layers of `images` [N, 3, H, W]: layer -> [N, C, h, w]."""
        return _extract(self._style, images)

    def content(self, images: Tensor) -> Mapping[str, Tensor]:
        """Content layers of `images` [N, 3, H, W]."""
        return _extract(self._content, images)

    def all(self, images: Tensor) -> Mapping[str, Tensor]:
        """Style and content layers of `images` [N, 3, H, W]."""
        return _extract(self._all, images)


def _features(layers: Sequence[str], network: str, device: torch.device) -> Features:
    features: Features = Features(layers, network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return features


def _extract(features: Features, images: Tensor) -> Mapping[str, Tensor]:
    with torch.autocast(images.device.type, torch.bfloat16):
        found: dict[str, Tensor] = features(images.contiguous(memory_format=torch.channels_last))
    return found
