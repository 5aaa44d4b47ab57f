"""What makes a painting good: a painting's style, the photo's content and light, no grid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError, unknown
from streamfx.inference.efficientnet import Features
from streamfx.inference.weights import load_weights, save_weights
from streamfx.presets import TrainingSettings

Losses = dict[str, Tensor]

_ALONE = 0.2  # share of the style that each picture must have alone, rather than all together
_PALETTE = 16384  # colours kept of all paintings of a style
_PALETTE_KEPT = 1024  # of them, in a file
_STRAYS, _KNOWN = 8192, 512  # colours that are looked at in a step, and that they are compared with
_LEAST_FRINGE = 1 / 255  # that is not worth less
_CPU = torch.device("cpu")


def gram(x: Tensor) -> Tensor:
    """Gram matrices [N, C, C] of activations [N, C, H, W], averaged over their pixels (Gatys et al. 2016)."""
    flat = x.float().flatten(2)  # [N, C, H*W]
    return flat @ flat.mT / flat.shape[2]


@dataclass(frozen=True, slots=True)
class Seen:
    """Paintings and the photos they were made from, as a feature network sees them."""

    network: str
    painted: list[Tensor]  # [N, 3, H, W], at full and at half size
    features: list[Mapping[str, Tensor]]  # of these, by layer
    photos: Tensor  # [N, 3, H, W]
    wanted: Mapping[str, Tensor]  # features of the photos


class Eye:
    """A feature network, looking at all layers that the losses of these settings compare."""

    def __init__(self, settings: TrainingSettings, network: str, device: torch.device = _CPU) -> None:
        self.network = network
        layers = dict.fromkeys((*settings.style_layers[network], *settings.content_layers[network]))
        self.features: Features = Features(tuple(layers), network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

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
        return Seen(self.network, sizes, [self.see(size) for size in sizes], photos, wanted)


@dataclass(frozen=True, slots=True)
class Targets:
    """What is kept of a style's paintings to compare with."""

    grams: Mapping[str, Sequence[Mapping[str, Tensor]]]  # by network; at full and at half size; by layer [1, C, C]
    palette: Tensor  # [M, 3] colours
    fringes: Tensor  # [2] at full and at half size

    def to(self, device: torch.device) -> Targets:
        grams = {
            name: [{layer: x.to(device) for layer, x in size.items()} for size in g] for name, g in self.grams.items()
        }
        return Targets(grams, self.palette.to(device), self.fringes.to(device))


@torch.no_grad()
def learn_targets(
    paintings: Sequence[tuple[Tensor, float]], settings: TrainingSettings, eyes: Sequence[Eye]
) -> Targets:
    """The targets of `paintings`: images [3, H, W] on the eyes' device, and their shares in the style."""
    whole = sum(share for _, share in paintings)
    grams = {}
    for eye in eyes:
        found = [[_grams(settings, eye.network, eye.see(x)) for x in _sizes(p.unsqueeze(0))] for p, _ in paintings]
        parts = [share / whole for _, share in paintings]
        grams[eye.network] = [_mixed(size, parts) for size in zip(*found)]
    palette = torch.cat([_palette(image, share / whole) for image, share in paintings])
    return Targets(grams, palette, torch.stack([fringes(image.unsqueeze(0)) for image, _ in paintings]).amax(0))


def mix_targets(parts: Sequence[tuple[Targets, float]]) -> Targets:
    """The targets of a style between those of `parts`, whose shares sum to 1."""
    shares = [share for _, share in parts]
    networks = parts[0][0].grams
    grams = {
        name: [_mixed(size, shares) for size in zip(*(each.grams[name] for each, _ in parts))] for name in networks
    }
    kept = [each.palette[:: max(1, round(1 / share))] for each, share in parts if share > 0]
    found = sum((each.fringes * share for each, share in parts), torch.zeros(()))
    return Targets(grams, torch.cat(kept), found)


def _mixed(grams: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    return {layer: sum((g[layer] * share for g, share in zip(grams, shares)), torch.zeros(())) for layer in grams[0]}


def save_targets(path: Path, targets: Mapping[str, Targets]) -> None:
    """Write the targets of styles by name, in half precision."""
    state = {}
    for name, each in targets.items():
        state[f"{name}/palette"] = each.palette[:: max(1, len(each.palette) // _PALETTE_KEPT)]
        state[f"{name}/fringes"] = each.fringes
        for network, sizes in each.grams.items():
            for number, size in enumerate(sizes):
                state |= {f"{name}/{network}/{number}/{layer}": gram.squeeze(0) for layer, gram in size.items()}
    save_weights(path, state, "targets", {})


def load_targets(path: Path, name: str) -> Targets:
    """The targets of the style `name` in the file `path`."""
    state, _ = load_weights(path, "targets")
    if f"{name}/palette" not in state:
        raise unknown(f"style in {path}", name, sorted({key.partition("/")[0] for key in state}))
    grams: dict[str, list[dict[str, Tensor]]] = {}
    for key in sorted(state):
        own, _, rest = key.partition("/")
        if own == name and rest not in ("palette", "fringes"):
            found = re.fullmatch(r"([^/]+)/(\d{1,3})/([^/]+)", rest, re.ASCII)
            sizes = grams.setdefault(found[1], []) if found else []
            if not found or int(found[2]) > len(sizes):
                raise StreamfxError(f"{path}: '{key}' is no part of what a painting is like; fetch or train it again")
            if int(found[2]) == len(sizes):
                sizes.append({})
            sizes[int(found[2])][found[3]] = state[key].unsqueeze(0)
    return Targets(grams, state[f"{name}/palette"], state.get(f"{name}/fringes", torch.ones(2)))  # files of once: none


def _grams(settings: TrainingSettings, network: str, seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {layer: gram(seen[layer]) for layer in settings.style_layers[network]}


class PaintingLoss:
    """How far paintings are from a painting's style and from their photos (Johnson et al. 2016).

    Style is the Gram matrices of `style_layers` at full and at half size, so that swirls count as well as strokes; they
    are averaged over the batch for the most part, so that a plain sky need not hold all that the painting holds. Every
    term is relative to the size of its target.
    """

    def __init__(self, targets: Targets, settings: TrainingSettings) -> None:
        self.targets, self.settings = targets, settings

    def __call__(self, seen: Seen) -> Losses:
        """The losses of what was seen, unweighted."""
        painted = seen.painted[0]
        style, content = painted.new_zeros(()), painted.new_zeros(())
        for layer in self.settings.content_layers[seen.network]:
            target = seen.wanted[layer].float()
            content = content + F.mse_loss(seen.features[0][layer].float(), target) / target.square().mean()
        for features, wanted in zip(seen.features, self.targets.grams[seen.network]):
            for layer, own in _grams(self.settings, seen.network, features).items():
                each = F.mse_loss(own, wanted[layer].expand_as(own))
                together = F.mse_loss(own.mean(0), wanted[layer].squeeze(0))
                cost = torch.lerp(together, each, _ALONE) / wanted[layer].square().mean()
                style = style + cost / len(seen.features)
        return {
            "style": style,
            "content": content,
            "palette": palette_loss(painted, self.targets.palette),
            "stray": stray_loss(painted, self.targets.palette),
            "light": light_loss(painted, seen.photos),
            "fringe": fringe_loss(painted, self.targets.fringes),
            "grid": grid_loss(painted),
            "smooth": total_variation(painted),
        }

    def total(self, losses: Losses) -> Tensor:
        """The weighted sum of these losses, of border_loss as "border" and of flicker_loss as "flicker"."""
        weights = self.settings
        return (
            losses["content"]
            + weights.style_weight * losses["style"]
            + weights.palette_weight * losses["palette"]
            + weights.stray_weight * losses["stray"]
            + weights.light_weight * losses["light"]
            + weights.fringe_weight * losses["fringe"]
            + weights.grid_weight * losses["grid"]
            + weights.smooth_weight * losses["smooth"]
            + weights.border_weight * losses["border"]
            + weights.flicker_weight * losses["flicker"]
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


def stray_loss(painted: Tensor, palette: Tensor) -> Tensor:
    """How far single colours, over areas of 2 pixels, are from the nearest one of `palette` [M, 3].

    Squared, and relative to the palette's spread. A few pixels of a hue that the painter never had, as along straight
    edges, hardly tell in the sum of all colours; here they do.
    """
    own = F.avg_pool2d(painted, 2).transpose(0, 1).flatten(1).T  # [K, 3]
    some = own[torch.randint(len(own), (min(len(own), _STRAYS),), device=own.device)]
    known = palette[:: max(1, len(palette) // _KNOWN)]
    return torch.cdist(some, known).amin(1).square().mean() / palette.var(dim=0).mean()


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


def flicker_loss(painted: Tensor, earlier: Tensor, light: Tensor, visible: Tensor) -> Tensor:
    """How far `painted` [N, 3, H, W] is from an `earlier` painting moved to its place, where that is visible.

    A change of the scene's light, `light` [N, 1, H, W] as luma, may show as such (Gao et al. 2018, ReCoNet).
    """
    change = (painted - earlier - light) * visible
    return change.square().sum() / (3 * visible.sum()).clamp(min=1)


def fringes(images: Tensor) -> Tensor:
    """How much the colour of `images` [N, 3, H, W] alternates from pixel to pixel, at full and at half size: [2].

    The fourth root of the mean fourth power of the differences' Laplacian, so that a few strong marks count for much.
    """
    found = []
    for size in _sizes(images):
        hues = size[:, ::2] - size[:, 1:2]  # red and blue beside green
        bend = hues[..., 1:-1, 1:-1] - F.avg_pool2d(hues, 3, 1)
        found.append(bend.square().square().mean())
    return torch.stack(found).clamp(min=1e-16).sqrt().sqrt()


def fringe_loss(painted: Tensor, wanted: Tensor) -> Tensor:
    """How much more the colour alternates from pixel to pixel than `wanted`, as `fringes` tells, by a logarithm.

    Paint changes its light from hair to hair of the brush, not its hue; a feature network takes one for the other, and
    a painter learns to set rainbow-coloured marks.
    """
    return F.relu(torch.log(fringes(painted) / wanted.clamp(min=_LEAST_FRINGE))).sum()


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
