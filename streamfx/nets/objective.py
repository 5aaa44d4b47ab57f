"""What a dream climbs towards: layers and channels with their shares, or the likeness to a guide."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamfx.errors import StreamfxError, unknown

_TERM = re.compile(
    r"\s*(?P<sign>[+-])?\s*(?:(?P<share>\d+(?:\.\d*)?|\.\d+)\s*\*\s*)?"
    r"(?P<layer>[A-Za-z_][\w./]*)(?:\s*:\s*(?P<channel>\d+))?\s*",
    re.ASCII,
)
_REFERENCE = 224  # pixels, the side of the picture by which parts are made comparable
_MOST = 4096  # places of a guide, and of a picture at a time, that are compared
_SHOWN = "block10, block8:12, 0.7*block10 - 0.3*block4"


@dataclass(frozen=True, slots=True)
class Part:
    """One term of an objective."""

    layer: str
    channel: int | None = None  # None: all of the layer
    share: float = 1.0  # negative: away from it

    def __str__(self) -> str:
        return self.layer if self.channel is None else f"{self.layer}:{self.channel}"


def parse_objective(text: str) -> tuple[Part, ...]:
    """The parts of "block10", "mixed4a:83", "a+b" or "0.7*mixed4c - 0.3*mixed5a:3". Raises StreamfxError."""
    parts: list[Part] = []
    at = 0
    while at < len(text) or not parts:
        found = _TERM.match(text, at)
        if not found or (parts and not found["sign"]):
            rest = f"at '{text[at : at + 20].strip()}'" if text[at:].strip() else "at the end"
            raise StreamfxError(f"layer is '{text}', which cannot be read {rest}; write it like {_SHOWN}")
        sign = -1.0 if found["sign"] == "-" else 1.0
        channel = None if found["channel"] is None else int(found["channel"][:9])
        parts.append(Part(found["layer"], channel, sign * float(found["share"] or 1)))
        at = found.end()
    if not any(part.share for part in parts):
        raise StreamfxError(f"layer is '{text}', of which nothing is left; at least one share must not be 0")
    return tuple(parts)


def objective_text(parts: Sequence[Part]) -> str:
    """What `parse_objective` makes these parts from."""
    said = ""
    for part in parts:
        size = abs(part.share)
        share = "" if size == 1 else f"{size:.12f}".rstrip("0").rstrip(".") + "*"
        said += ("-" if part.share < 0 else "+" if said else "") + share + str(part)
    return said


def check_channels(parts: Sequence[Part], channels: Mapping[str, int | None], network: str) -> None:
    """Raise StreamfxError where a part asks for a layer or a channel that the network does not have."""
    for part in parts:
        if part.layer not in channels:
            raise unknown(f"layer of {network}", part.layer, channels)
        count = channels[part.layer]
        if part.channel is not None and count is not None and part.channel >= count:
            raise StreamfxError(f"'{part}': {part.layer} of {network} has channels 0 to {count - 1}")


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

    def gradient(self, image: Tensor, guide: Mapping[str, Tensor] | None = None) -> Tensor:
        """The gradient [1, 3, H, W] to the pixels of `image`, of the same shape, RGB 0..1."""
        return self._climb(image, list(zip(self.parts, self.units)), guide)[0]

    @torch.no_grad()
    def value(self, image: Tensor) -> float:
        """The sum for `image` [1, 3, H, W] without a guide."""
        seen = self.network(image)
        found = [unit * part.share * float(_part(seen, part, None)) for part, unit in zip(self.parts, self.units)]
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
            with torch.autocast(image.device.type, torch.bfloat16, enabled=image.is_cuda):  # on the CPU it gains nothing
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
    """The mean product of each place of `found` [1, C, H, W] with that place of `wanted` [C, M] that is most like it."""
    places = found[0].flatten(1)  # [C, H*W]
    total = found.new_zeros(())
    for some in places.split(_MOST, dim=1):
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
    picture = torch.fft.irfft2(noise / torch.hypot(down, across).clamp(min=1 / _REFERENCE))
    return (0.5 + 0.15 * picture / picture.std()).clamp(0, 1)
