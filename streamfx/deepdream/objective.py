"""DeepDream objectives: weighted sums of layers and channels, or similarity to a guide image."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from streamfx.deepdream.objective_syntax import Part

if TYPE_CHECKING:
    from streamfx.inference.cuda_graph import Engine

_log = logging.getLogger("streamfx")
_objective_ids = itertools.count()
_engines: dict[tuple[int, tuple[int, ...]], Engine | None] = {}  # by (id, shape), most recently used last

_MIN_ENGINE_AREA = 180 * 180  # pixels; building an engine does not pay off for smaller images
_MAX_ENGINE_VALUES = 3 * 1_600_000  # input values over all cached engines; lite0 takes 250 bytes of memory per value
_MAX_ENGINES = 16  # more than the number of octaves
_NOISE_SIZE = 224  # pixels, side of the noise image that normalizes the parts
_MAX_POSITIONS = 4096  # of a guide, and of an image per batch, that are compared


class Objective:
    """Weighted sum to maximize: mean squares of layers and means of channels.

    If there are several parts, each is divided by its mean gradient on a noise image: equal shares have equal effect.
    With a guide, a part is instead the mean over the positions of its layer of the largest dot product of the features
    there with the features at any position of the guide (Mordvintsev, Olah, Tyka 2015).
    """

    def __init__(self, network: nn.Module, parts: Sequence[Part], device: torch.device) -> None:
        """`network`: images -> {layer: activations}, at least for the layers of `parts`, on `device`."""
        self.network, self.parts = network, tuple(parts)
        self.scales = [1.0] * len(parts)
        self._id = next(_objective_ids)
        if len(parts) > 1:
            image = _pink_noise().to(device)
            self.scales = [1 / max(self._mean_gradient(image, part), 1e-20) for part in parts]

    def gradient(
        self,
        image: Tensor,
        guide: Mapping[str, Tensor] | None = None,
        shares: Sequence[float] | None = None,
        *,
        once: bool = False,
    ) -> Tensor:
        """Gradients [N, 3, H, W] with respect to images of the same shape, RGB 0..1, on the network's device.

        `shares`, one per part, override the parts' own shares. An engine is built for each size, which takes a second
        or two; on the CPU only for large images, and not if the size is used only `once`. torch computes the gradient
        if `guide` or `shares` is given, or if the network's gradient cannot be exported.
        """
        if guide is not None and len(image) > 1:
            return torch.cat([self.gradient(single[None], guide, shares) for single in image])
        use_engine = image.is_cuda or (not once and image.shape[2] * image.shape[3] >= _MIN_ENGINE_AREA)
        if use_engine and guide is None and shares is None:
            engine = self._engine(tuple(image.shape), image.device)
            if engine is not None:
                return engine(image)
        parts = self.parts
        if shares is not None:
            parts = tuple(replace(part, share=share) for part, share in zip(parts, shares, strict=True))
        return self._torch_gradient(image, list(zip(parts, self.scales)), guide)

    def _engine(self, shape: tuple[int, ...], device: torch.device) -> Engine | None:
        """The engine for images of this shape, or None if only torch can compute the gradient."""
        key = self._id, shape
        engine = _engines.pop(key) if key in _engines else self._build(shape, device)
        _engines[key] = engine  # keeps the most recently used last
        return engine

    def _build(self, shape: tuple[int, ...], device: torch.device) -> Engine | None:
        from streamfx.deepdream.gradient_export import ExportedGradient, UnsupportedGradient
        from streamfx.inference.engine import build_engine

        self._evict_engines(shape)
        shares = tuple(scale * part.share for part, scale in zip(self.parts, self.scales))
        module = _GradientModule(self.network, self.parts, shares)
        if device.type == "cuda":
            return build_engine(module, [shape], device, dtype=torch.bfloat16)
        try:
            return build_engine(module, [shape], device, lambda m: ExportedGradient(m, torch.zeros(shape)))
        except (UnsupportedGradient, RuntimeError) as error:  # OpenVINO raises RuntimeError
            _log.debug("no engine for this gradient; using torch: %s", str(error)[:300])
            return None

    @torch.no_grad()
    def value(self, image: Tensor, guide: Mapping[str, Tensor] | None = None) -> float:
        """The objective for `image` [1, 3, H, W]."""
        activations = self.network(image)
        parts = zip(self.parts, self.scales)
        return math.fsum(scale * part.share * float(_part_value(activations, part, guide)) for part, scale in parts)

    @torch.no_grad()
    def guide_features(self, image: Tensor) -> dict[str, Tensor]:
        """Features of a guide `image` [1, 3, H, W] at each layer: [C, positions]."""
        activations = self.network(image)
        return {layer: _features(activations[layer].float()) for layer in {part.layer for part in self.parts}}

    def _mean_gradient(self, image: Tensor, part: Part) -> float:
        return float(self._torch_gradient(image, [(part, 1.0)], None).abs().mean()) / abs(part.share or 1)

    def _torch_gradient(
        self, image: Tensor, parts: Sequence[tuple[Part, float]], guide: Mapping[str, Tensor] | None
    ) -> Tensor:
        with torch.enable_grad():
            pixels = image.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
            # no faster on the CPU
            with torch.autocast(image.device.type, torch.bfloat16, enabled=image.is_cuda):
                activations = self.network(pixels)
            total = sum(scale * part.share * _part_value(activations, part, guide) for part, scale in parts)
            assert isinstance(total, Tensor)
            (slope,) = torch.autograd.grad(total, pixels)
        return slope.contiguous()

    def _evict_engines(self, shape: tuple[int, ...]) -> None:
        """Drop the least recently used engines: those of other objectives to limit memory, any to limit the count."""
        for key in list(_engines):
            values = math.prod(shape) + sum(math.prod(engine_shape) for _, engine_shape in _engines)
            if len(_engines) >= _MAX_ENGINES or (values > _MAX_ENGINE_VALUES and key[0] != self._id):
                del _engines[key]


class _GradientModule(nn.Module):
    """Image [1, 3, H, W] -> gradient of the same shape, backpropagated from the derivatives at the layers."""

    def __init__(self, network: nn.Module, parts: Sequence[Part], shares: Sequence[float]) -> None:
        super().__init__()
        self.network, self.parts, self.shares = network, tuple(parts), tuple(shares)

    def extra_repr(self) -> str:
        return f"{self.parts}, {self.shares}"

    def forward(self, image: Tensor) -> Tensor:
        with torch.enable_grad():
            pixels = image.detach().requires_grad_()
            activations = self.network(pixels)
            slopes: dict[str, Tensor] = {}
            for part, share in zip(self.parts, self.shares):
                slope = _derivative(activations[part.layer].detach(), part, share)
                slopes[part.layer] = slopes[part.layer] + slope if part.layer in slopes else slope
            outputs = [activations[layer] for layer in slopes]
            (gradient,) = torch.autograd.grad(outputs, pixels, list(slopes.values()))
        return gradient


def _derivative(activation: Tensor, part: Part, share: float) -> Tensor:
    """Derivative of a part of the objective with respect to the `activation` [1, C, H, W] of its layer."""
    if part.channel is None:
        return activation * (2 * share / activation.numel())
    by_channel = torch.zeros(activation.shape[1], dtype=activation.dtype, device=activation.device)
    by_channel[part.channel] = share / (activation.shape[2] * activation.shape[3])
    return torch.zeros_like(activation) + by_channel.view(-1, 1, 1)


def _part_value(activations: Mapping[str, Tensor], part: Part, guide: Mapping[str, Tensor] | None) -> Tensor:
    activation = activations[part.layer].float()
    target = None if guide is None else guide[part.layer]
    if part.channel is not None:
        activation = activation[:, part.channel : part.channel + 1]
        target = None if target is None else target[part.channel : part.channel + 1]
    if target is not None:
        return _similarity(activation, target)
    return activation.square().mean() if part.channel is None else activation.mean()


def _similarity(activation: Tensor, target: Tensor) -> Tensor:
    """Mean dot product of each position of `activation` [1, C, H, W] with its best match in `target` [C, M]."""
    features = activation[0].flatten(1)  # [C, H*W]
    total = activation.new_zeros(())
    for batch in torch.split(features, _MAX_POSITIONS, dim=1):
        best = (batch.detach().T @ target).argmax(1)
        total = total + (batch * target[:, best]).sum()
    return total / features.numel()


def _features(activation: Tensor) -> Tensor:
    """[1, C, H, W] -> [C, M], subsampled evenly to at most _MAX_POSITIONS positions."""
    flat = activation[0].flatten(1)
    if flat.shape[1] <= _MAX_POSITIONS:
        return flat
    return flat[:, torch.linspace(0, flat.shape[1] - 1, _MAX_POSITIONS, device=flat.device).round().long()]


def _pink_noise() -> Tensor:
    """Pink noise [1, 3, S, S] around gray; like photos, it has edges at all scales."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.fft.rfft2(torch.randn(1, 3, _NOISE_SIZE, _NOISE_SIZE, generator=generator))
    down = torch.fft.fftfreq(_NOISE_SIZE)[:, None]
    across = torch.fft.rfftfreq(_NOISE_SIZE)
    image: Tensor = torch.fft.irfft2(noise / torch.hypot(down, across).clamp(min=1 / _NOISE_SIZE))
    return torch.clamp(0.5 + 0.15 * image / image.std(), 0, 1)
