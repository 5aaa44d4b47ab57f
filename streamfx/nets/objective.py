"""What a dream climbs towards: layers and channels with their shares, or the likeness to a guide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from streamfx.nets.address import Part

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
        if len(parts) > 1:
            picture = _reference().to(device)
            self.units = [1 / max(self._size(picture, part), 1e-20) for part in parts]

    def gradient(
        self, image: Tensor, guide: Mapping[str, Tensor] | None = None, shares: Sequence[float] | None = None
    ) -> Tensor:
        """The gradient [1, 3, H, W] to the pixels of `image`, of the same shape, RGB 0..1.

        With `shares`, one for each part, these stand in place of the parts' own.
        """
        parts = self.parts
        if shares is not None:
            parts = tuple(replace(part, share=share) for part, share in zip(parts, shares, strict=True))
        return self._climb(image, list(zip(parts, self.units)), guide)[0]

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
            with torch.autocast(
                image.device.type, torch.bfloat16, enabled=image.is_cuda
            ):  # on the CPU it gains nothing
                seen = self.network(pixels)
            total = sum(unit * part.share * _part(seen, part, guide) for part, unit in parts)
            assert isinstance(total, Tensor)
            (slope,) = torch.autograd.grad(total, pixels)
        return (slope.contiguous(),)


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
