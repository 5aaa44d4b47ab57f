"""What makes a painting good: a painting's style, the photo's content and light, no grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.nets.features import Features
from streamfx.preset import TrainingSettings

Losses = dict[str, Tensor]

_PALETTE = 16384  # colours kept of all paintings of a style
_CPU = torch.device("cpu")


def gram(x: Tensor) -> Tensor:
    """Gram matrices [N, C, C] of activations [N, C, H, W], averaged over their pixels (Gatys et al. 2016)."""
    flat = x.float().flatten(2)  # [N, C, H*W]
    return flat @ flat.mT / flat.shape[2]


@dataclass(frozen=True, slots=True)
class Seen:
    """Paintings and the photos they were made from, as the feature network sees them."""

    painted: list[Tensor]  # [N, 3, H, W], at full and at half size
    features: list[Mapping[str, Tensor]]  # of these, by layer
    photos: Tensor  # [N, 3, H, W]
    wanted: Mapping[str, Tensor]  # features of the photos

    def part(self, at: slice) -> Seen:
        """Only the pictures of these places in the batch."""
        return Seen(
            [x[at] for x in self.painted],
            [{layer: x[at] for layer, x in size.items()} for size in self.features],
            self.photos[at],
            {layer: x[at] for layer, x in self.wanted.items()},
        )


class Eye:
    """The feature network, looking at all layers that the losses of these settings compare."""

    def __init__(self, settings: TrainingSettings, device: torch.device = _CPU) -> None:
        layers = tuple(dict.fromkeys((*settings.style_layers, *settings.content_layers)))
        self.features: Features = Features(layers).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def see(self, images: Tensor) -> Mapping[str, Tensor]:
        """Activations by layer of `images` [N, 3, H, W]."""
        with torch.autocast(images.device.type, torch.bfloat16):
            found: dict[str, Tensor] = self.features(images.contiguous(memory_format=torch.channels_last))
        return found

    def compare(self, painted: Tensor, photos: Tensor) -> Seen:
        """All that the losses need to know of `painted` [N, 3, H, W] and of the `photos` of the same shape."""
        with torch.no_grad():
            wanted = self.see(photos)
        sizes = _sizes(painted)
        return Seen(sizes, [self.see(size) for size in sizes], photos, wanted)


class PaintingLoss:
    """How far paintings are from a painting's style and from their photos (Johnson et al. 2016).

    Style is the Gram matrices of `style_layers` at full and at half size, so that swirls count as well as strokes; they
    are averaged over the batch, so that a plain sky need not hold all that the painting holds. Every term is relative
    to the size of its target.
    """

    def __init__(self, paintings: Sequence[tuple[Tensor, float]], settings: TrainingSettings, eye: Eye) -> None:
        """`paintings`: images [3, H, W] on the eye's device, and their shares in the style."""
        self.settings = settings
        whole = sum(share for _, share in paintings)
        shares = [share / whole for _, share in paintings]
        with torch.no_grad():
            found = [[self._grams(eye.see(image)) for image in _sizes(p.unsqueeze(0))] for p, _ in paintings]
        self.targets = [
            {layer: torch.stack([f[layer] * share for f, share in zip(size, shares)]).sum(0) for layer in size[0]}
            for size in zip(*found)
        ]
        self.palette = torch.cat([_palette(image, share) for (image, _), share in zip(paintings, shares)])

    def _grams(self, seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {layer: gram(seen[layer]) for layer in self.settings.style_layers}

    def __call__(self, seen: Seen) -> Losses:
        """The losses of what was seen, unweighted."""
        painted = seen.painted[0]
        style, content = painted.new_zeros(()), painted.new_zeros(())
        for layer in self.settings.content_layers:
            target = seen.wanted[layer].float()
            content = content + F.mse_loss(seen.features[0][layer].float(), target) / target.square().mean()
        for features, targets in zip(seen.features, self.targets):
            for layer, own in self._grams(features).items():
                each = F.mse_loss(own, targets[layer].expand_as(own))
                together = F.mse_loss(own.mean(0), targets[layer].squeeze(0))
                style = style + (each + together) / 2 / targets[layer].square().mean() / len(self.targets)
        return {
            "style": style,
            "content": content,
            "palette": palette_loss(painted, self.palette),
            "light": light_loss(painted, seen.photos),
            "grid": grid_loss(painted),
            "smooth": total_variation(painted),
        }

    def total(self, losses: Losses) -> Tensor:
        """The weighted sum of these losses and of border_loss under the name "border"."""
        weights = self.settings
        return (
            losses["content"]
            + weights.style_weight * losses["style"]
            + weights.palette_weight * losses["palette"]
            + weights.light_weight * losses["light"]
            + weights.grid_weight * losses["grid"]
            + weights.smooth_weight * losses["smooth"]
            + weights.border_weight * losses["border"]
        )


def _sizes(images: Tensor) -> list[Tensor]:
    return [images, F.avg_pool2d(images, 2)]


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, and of neighbouring differences: what alternates costs most."""
    loss = images.new_zeros(())
    for dim in (-1, -2):
        for order in (1, 2):
            loss = loss + images.diff(n=order, dim=dim).abs().mean()
    return loss


def palette_loss(painted: Tensor, palette: Tensor) -> Tensor:
    """How far the colours of the batch, over areas of 4 pixels, are from the colours `palette` [M, 3].

    The sliced Wasserstein distance (Rabin et al. 2011) along eight random directions, relative to the palette's spread:
    rare colours, the yellow of the stars, count by their share.
    """
    directions = F.normalize(torch.randn(3, 8), dim=0).to(painted.device)
    own = (_colors(painted) @ directions).sort(dim=0).values  # [K, 8]
    places = torch.linspace(0, len(palette) - 1, len(own), device=painted.device).round().long()
    wanted = (palette @ directions).sort(dim=0).values[places]
    return F.mse_loss(own, wanted) / palette.var(dim=0).mean()


def _palette(painting: Tensor, share: float) -> Tensor:
    """Colours [K, 3] of a painting, evenly picked, in a number that goes with its share."""
    colors = _colors(painting.unsqueeze(0))
    return colors[torch.linspace(0, len(colors) - 1, max(1, round(_PALETTE * share))).round().long()]


def _colors(images: Tensor) -> Tensor:
    """[N, 3, H, W] -> [K, 3], the mean colours of areas of 4x4 pixels."""
    return F.avg_pool2d(images, 4).transpose(0, 1).flatten(1).T


def light_loss(painted: Tensor, photos: Tensor) -> Tensor:
    """How much the light over areas of 16 pixels departs from the photo's, each around its own mean."""
    own, wanted = (F.avg_pool2d(images.mean(1, keepdim=True), 16) for images in (painted, photos))
    own, wanted = (light - light.mean((-2, -1), keepdim=True) for light in (own, wanted))
    return F.mse_loss(own, wanted) / wanted.square().mean().clamp(min=1e-3)


def border_loss(bordered: Tensor, endless: Tensor) -> Tensor:
    """How far the colours of a painting with borders are from those of one that goes on around its edges.

    Without it a painter puts what it has nowhere else to put along the borders, where it can tell the place.
    """
    loss = F.mse_loss(F.avg_pool2d(bordered, 16), F.avg_pool2d(endless, 16))
    for along in ((0, 2), (0, 3)):  # each column and each row in the mean, for lines thinner than that
        loss = loss + 10 * F.mse_loss(bordered.mean(along), endless.mean(along))
    return loss


def grid_loss(images: Tensor) -> Tensor:
    """How unlike the 64 positions within 8x8 pixels are, in mean and in contrast: what shows as a grid."""
    loss = _phases(images).mean((0, 3, 4)).var(dim=1).mean() * 100
    for change in (F.pad(images.diff(dim=-1), (0, 1)), F.pad(images.diff(dim=-2), (0, 0, 0, 1))):
        energy = _phases(change).square().mean((0, 3, 4))  # [3, 64]
        loss = loss + (energy.var(dim=1) / energy.mean(dim=1).square().clamp(min=1e-8)).mean()
    return loss


def _phases(images: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, 3, 64, H/8, W/8]: the pixels of each position within 8x8 together."""
    count, _, height, width = images.shape
    return F.pixel_unshuffle(images, 8).view(count, 3, 64, height // 8, width // 8)
