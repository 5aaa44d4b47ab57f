"""What a dream climbs towards: layers and channels with their shares, or the likeness to a guide."""

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
_numbers = itertools.count()  # of objectives
_engines: dict[tuple[int, tuple[int, ...]], Engine | None] = {}  # by objective and shape, the one used last at the end

_WORTH = 180 * 180  # pixels of a picture from which on an engine may be built for its size
_ROOM = 3 * 1_600_000  # values of pictures that engines are kept for; lite0's hold 250 bytes of memory for each
_MOST_ENGINES = 16  # more than a dream has octaves
_REFERENCE = 224  # pixels, the side of the picture by which parts are made comparable
_MOST = 4096  # places of a guide, and of a picture at a time, that are compared


class Objective:
    """The sum that is climbed: mean squares of layers and means of channels, each by its share.

    Several parts are measured each in its own mean gradient on a reference picture, so that equal shares pull alike.
    With guides, a part is instead the mean over the places of its layer of the greatest product of what is seen there
    with what is seen at any place of the guide (Mordvintsev, Olah, Tyka 2015).
    """

    def __init__(self, network: nn.Module, parts: Sequence[Part], device: torch.device) -> None:
        """`network`: images -> {layer: activations}, at least for the layers of `parts`, on `device`."""
        self.network, self.parts = network, tuple(parts)
        self.units = [1.0] * len(parts)
        self._number = next(_numbers)
        if len(parts) > 1:
            picture = _reference().to(device)
            self.units = [1 / max(self._size(picture, part), 1e-20) for part in parts]

    def gradient(
        self,
        image: Tensor,
        guide: Mapping[str, Tensor] | None = None,
        shares: Sequence[float] | None = None,
        *,
        once: bool = False,
    ) -> Tensor:
        """The gradients [N, 3, H, W] to the pixels of images of the same shape, RGB 0..1, on the network's device.

        With `shares`, one for each part, these stand in place of the parts' own. An engine is built for each size: on
        the CPU for large ones that do not come `once` only, a second or two the first time. torch climbs instead
        with guides and shares, which change, and in networks whose way back the engine cannot be told.
        """
        if guide is not None and len(image) > 1:
            return torch.cat([self.gradient(each[None], guide, shares) for each in image])
        worth = image.is_cuda or (not once and image.shape[2] * image.shape[3] >= _WORTH)
        if worth and guide is None and shares is None:
            engine = self._engine(tuple(image.shape), image.device)
            if engine is not None:
                return engine(image)
        parts = self.parts
        if shares is not None:
            parts = tuple(replace(part, share=share) for part, share in zip(parts, shares, strict=True))
        return self._climb(image, list(zip(parts, self.units)), guide)[0]

    def _engine(self, shape: tuple[int, ...], device: torch.device) -> Engine | None:
        """What computes the gradient to pictures of this shape; None where nothing but torch can."""
        key = self._number, shape
        found = _engines.pop(key) if key in _engines else self._build(shape, device)
        _engines[key] = found  # the one used last is the last
        return found

    def _build(self, shape: tuple[int, ...], device: torch.device) -> Engine | None:
        from streamfx.deepdream.gradient_export import Backward, Unwritten
        from streamfx.inference.engine import build_engine

        self._make_room(shape)
        shares = tuple(unit * part.share for part, unit in zip(self.parts, self.units))
        slope = _Slope(self.network, self.parts, shares)
        if device.type == "cuda":
            return build_engine(slope, [shape], device, dtype=torch.bfloat16)
        try:
            return build_engine(slope, [shape], device, lambda each: Backward(each, torch.zeros(shape)))
        except (Unwritten, RuntimeError) as error:  # the latter is OpenVINO's
            _log.debug("no engine for this gradient: %s", str(error)[:300])
            return None

    @torch.no_grad()
    def value(self, image: Tensor, guide: Mapping[str, Tensor] | None = None) -> float:
        """The sum for `image` [1, 3, H, W]."""
        seen = self.network(image)
        found = [unit * part.share * float(_part(seen, part, guide)) for part, unit in zip(self.parts, self.units)]
        return math.fsum(found)

    @torch.no_grad()
    def see_guide(self, image: Tensor) -> dict[str, Tensor]:
        """What a guide `image` [1, 3, H, W] shows at each layer: [C, places]."""
        seen = self.network(image)
        return {layer: _places(seen[layer].float()) for layer in {part.layer for part in self.parts}}

    def _size(self, picture: Tensor, part: Part) -> float:
        return float(self._climb(picture, [(part, 1.0)], None)[0].abs().mean()) / abs(part.share or 1)

    def _climb(
        self, image: Tensor, parts: Sequence[tuple[Part, float]], guide: Mapping[str, Tensor] | None
    ) -> tuple[Tensor]:
        with torch.enable_grad():
            pixels = image.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
            # on the CPU it gains nothing
            with torch.autocast(image.device.type, torch.bfloat16, enabled=image.is_cuda):
                seen = self.network(pixels)
            total = sum(unit * part.share * _part(seen, part, guide) for part, unit in parts)
            assert isinstance(total, Tensor)
            (slope,) = torch.autograd.grad(total, pixels)
        return (slope.contiguous(),)

    def _make_room(self, shape: tuple[int, ...]) -> None:
        """Let engines go that were not used for long: others' for their memory, our own only if they are many."""
        for key in list(_engines):
            pixels = math.prod(shape) + sum(math.prod(each) for _, each in _engines)
            if len(_engines) >= _MOST_ENGINES or (pixels > _ROOM and key[0] != self._number):
                del _engines[key]


class _Slope(nn.Module):
    """Picture [1, 3, H, W] -> the gradient to it, of the same shape, by what is pulled at each layer."""

    def __init__(self, network: nn.Module, parts: Sequence[Part], shares: Sequence[float]) -> None:
        super().__init__()
        self.network, self.parts, self.shares = network, tuple(parts), tuple(shares)

    def extra_repr(self) -> str:
        return f"{self.parts}, {self.shares}"

    def forward(self, image: Tensor) -> Tensor:
        with torch.enable_grad():
            pixels = image.detach().requires_grad_()
            seen = self.network(pixels)
            pulls: dict[str, Tensor] = {}
            for part, share in zip(self.parts, self.shares):
                pull = _pull(seen[part.layer].detach(), part, share)
                pulls[part.layer] = pulls[part.layer] + pull if part.layer in pulls else pull
            (slope,) = torch.autograd.grad([seen[layer] for layer in pulls], pixels, list(pulls.values()))
        return slope


def _pull(found: Tensor, part: Part, share: float) -> Tensor:
    """The derivative of a part of the objective by the activations `found` [1, C, H, W] of its layer."""
    if part.channel is None:
        return found * (2 * share / found.numel())
    there = torch.zeros(found.shape[1], dtype=found.dtype, device=found.device)
    there[part.channel] = share / (found.shape[2] * found.shape[3])
    return torch.zeros_like(found) + there.view(-1, 1, 1)


def _part(seen: Mapping[str, Tensor], part: Part, guide: Mapping[str, Tensor] | None) -> Tensor:
    found = seen[part.layer].float()
    wanted = None if guide is None else guide[part.layer]
    if part.channel is not None:
        found = found[:, part.channel : part.channel + 1]
        wanted = None if wanted is None else wanted[part.channel : part.channel + 1]
    if wanted is not None:
        return _likeness(found, wanted)
    return found.square().mean() if part.channel is None else found.mean()


def _likeness(found: Tensor, wanted: Tensor) -> Tensor:
    """The mean product of each place of `found` [1, C, H, W] with that of `wanted` [C, M] that is most like it."""
    places = found[0].flatten(1)  # [C, H*W]
    total = found.new_zeros(())
    for some in torch.split(places, _MOST, dim=1):
        best = (some.detach().T @ wanted).argmax(1)
        total = total + (some * wanted[:, best]).sum()
    return total / places.numel()


def _places(seen: Tensor) -> Tensor:
    """[1, C, H, W] -> [C, M], evenly picked where there are more than can be compared."""
    flat = seen[0].flatten(1)
    if flat.shape[1] <= _MOST:
        return flat
    return flat[:, torch.linspace(0, flat.shape[1] - 1, _MOST, device=flat.device).round().long()]


def _reference() -> Tensor:
    """Pink noise [1, 3, S, S] around grey: it has edges of all sizes, as photographs have."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.fft.rfft2(torch.randn(1, 3, _REFERENCE, _REFERENCE, generator=generator))
    down = torch.fft.fftfreq(_REFERENCE)[:, None]
    across = torch.fft.rfftfreq(_REFERENCE)
    picture: Tensor = torch.fft.irfft2(noise / torch.hypot(down, across).clamp(min=1 / _REFERENCE))
    return torch.clamp(0.5 + 0.15 * picture / picture.std(), 0, 1)
