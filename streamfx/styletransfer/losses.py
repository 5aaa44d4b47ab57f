"""Losses of stylized frames: style at several scales, content and palette; the targets of paintings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.presets import TrainingSettings
from streamfx.styletransfer.artifact_losses import fringe_loss, fringes, grid_loss, light_loss, total_variation
from streamfx.styletransfer.features import FeatureExtractor
from streamfx.styletransfer.targets import StyleTargets, mean_statistics

Losses = dict[str, Tensor]

_DIRECTIONS, _BINS = 48, 128  # of the sliced Wasserstein distance, in targets
_DIRECTIONS_PER_STEP = 24
_POSITIONS = 4096  # sampled per layer and scale in each comparison
_PALETTE = 16384  # colors kept of all paintings of a style
_STRAY_SAMPLES, _STRAY_COLORS = 8192, 512  # colors checked per step, and colors of the palette they are compared with
_FRINGE_SHARE = 0.4  # of the paintings' fringes that a stylized frame may have: reproductions are noisy
_CONTENT_RANGE = 0.6, 1.6  # weight of the content where the photo is smoothest, and where it is most detailed
_CONTRAST_SCALES = 2, 4, 8, 16  # pixels that a gradient spans
_FAINT = 1e-4  # squared contrast that does not count
_SOBEL = torch.tensor([[[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]]]) / 8
_ALIGNED_AREA = 11  # steps; smaller images are padded
_FLAT = 1e-6  # squared gradient at which an area has no direction


@torch.no_grad()
def build_targets(
    paintings: Sequence[tuple[Tensor, float]], settings: TrainingSettings, extractors: Sequence[FeatureExtractor]
) -> StyleTargets:
    """The targets of `paintings`: images [3, H, W] on the extractors' device, and their shares in the style."""
    whole = sum(share for _, share in paintings)
    shares = [share / whole for _, share in paintings]
    grams: dict[str, list[dict[str, Tensor]]] = {}
    quantiles: dict[str, list[dict[str, Tensor]]] = {}
    for extractor in extractors:
        grams[extractor.network], quantiles[extractor.network] = [], []
        for scale in settings.scales:
            found = [extractor.style(_reduced(image[None], scale)) for image, _ in paintings]
            layers = extractor.style_layers
            grams[extractor.network].append(mean_statistics([{n: gram(f[n]) for n in layers} for f in found], shares))
            sorted_ = [{n: _sorted_projections(f[n])[0] for n in layers} for f in found]
            quantiles[extractor.network].append(mean_statistics(sorted_, shares))
    palette = torch.cat([_palette(image, share) for (image, _), share in zip(paintings, shares)])
    hues = _FRINGE_SHARE * torch.stack([fringes(image[None]) for image, _ in paintings]).amax(0)
    curves = (
        torch.stack([share * curve(image[None])[0] for (image, _), share in zip(paintings, shares)]).sum(0)
        for curve in (_contrast, _alignment)
    )
    return StyleTargets(grams, quantiles, palette, hues, *curves)


@dataclass(frozen=True, slots=True)
class ContentTarget:
    """Features of the photos, with a weight for each position."""

    features: Mapping[str, Tensor]  # layer -> [N, C, h, w]
    weights: Mapping[str, Tensor]  # layer -> [N, 1, h, w], mean about 1


@torch.no_grad()
def content_target(photos: Tensor, extractor: FeatureExtractor) -> ContentTarget:
    """Content features of `photos` [N, 3, H, W].

    Fine detail, as of faces and text, weighs more than smooth areas, where stronger stylization is acceptable.
    """
    features = extractor.content(photos)
    light = photos.mean(1, keepdim=True)
    edges = F.pad(light.diff(dim=-1).abs(), (0, 1)) + F.pad(light.diff(dim=-2).abs(), (0, 0, 0, 1))
    low, high = _CONTENT_RANGE
    weights = {}
    for layer, tensor in features.items():
        energy = F.adaptive_avg_pool2d(edges, (tensor.shape[-2], tensor.shape[-1]))
        energy = F.avg_pool2d(energy, 3, 1, 1, count_include_pad=False)
        relative = energy / energy.mean((-2, -1), keepdim=True).clamp(min=2e-3)
        weights[layer] = relative.sqrt().clamp(low, high)
    return ContentTarget(features, weights)


class StyleLoss:
    """The distance of stylized frames from the paintings' style and from the photos' content.

    Style is compared at several scales, to match both large and fine strokes: Gram matrices (Gatys et al. 2016) and
    the sliced Wasserstein distance of the features (Heitz et al. 2021). Each is relative to the size of its target.
    """

    def __init__(self, targets: StyleTargets, settings: TrainingSettings) -> None:
        self.targets, self.settings = targets, settings

    def __call__(
        self,
        images: Tensor,
        photos: Tensor,
        content: ContentTarget,
        extractor: FeatureExtractor,
        octave: int = 0,
    ) -> Losses:
        """The unweighted losses of `images` [N, 3, H, W], which were made of `photos` of the same shape.

        Images of `octave` 1 have half the size of those that the targets are meant for, of 2 a quarter, and so on.
        """
        network, settings = extractor.network, self.settings
        gram_loss = wasserstein = content_loss = images.new_zeros(())
        scales = [(number, scale >> octave) for number, scale in enumerate(settings.scales) if scale >> octave]
        share = 1 / len(scales) / len(extractor.style_layers)
        for number, scale in scales:
            features = (extractor.all if scale == 1 else extractor.style)(_reduced(images, scale))
            if scale == 1:
                content_loss = _content_loss(features, content)
            grams, quantiles = self.targets.grams[network][number], self.targets.quantiles[network][number]
            for layer in extractor.style_layers:
                gram_loss = gram_loss + share * _gram_loss(features[layer], grams[layer], settings.per_image)
                if settings.wasserstein_weight > 0:
                    alone = torch.rand(()).item() < settings.per_image
                    wasserstein = wasserstein + share * _wasserstein_loss(features[layer], quantiles[layer], alone)
        return {
            "gram": gram_loss,
            "wasserstein": wasserstein,
            "content": content_loss,
            "contrast": contrast_loss(images, self.targets.contrast, octave),
            "alignment": alignment_loss(images, self.targets.alignment, octave),
            "palette": palette_loss(images, self.targets.palette),
            "stray": stray_loss(images, self.targets.palette),
            "light": light_loss(images, photos),
            "fringe": fringe_loss(images, self.targets.fringes),
            "grid": grid_loss(images),
            "smooth": total_variation(images),
        }

    def total(self, losses: Losses, detail: float = 0.0) -> Tensor:
        """The weighted sum of `losses`; at `detail` 1 content and light weigh more, and style less."""
        s = self.settings
        weights = {
            "gram": s.gram_weight * 0.4**detail,
            "wasserstein": s.wasserstein_weight * 0.4**detail,
            "content": s.content_weight * 2.5**detail,
            "contrast": s.contrast_weight * 0.2**detail,
            "alignment": s.alignment_weight * 0.2**detail,
            "palette": s.palette_weight * 0.5**detail,
            "stray": s.stray_weight,
            "light": s.light_weight * 2.0**detail,
            "fringe": s.fringe_weight,
            "grid": s.grid_weight,
            "smooth": s.smooth_weight,
            "border": s.border_weight,
            "flicker": s.flicker_weight,
        }
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


def _reduced(images: Tensor, scale: int) -> Tensor:
    return F.avg_pool2d(images, scale) if scale > 1 else images


def gram(x: Tensor) -> Tensor:
    """Gram matrices [N, C, C] of features [N, C, H, W], averaged over positions (Gatys et al. 2016)."""
    flat = x.float().flatten(2)  # [N, C, H*W]
    return flat @ flat.mT / flat.shape[2]


def _gram_loss(features: Tensor, target: Tensor, per_image: float) -> Tensor:
    """The relative squared distance to `target` [1, C, C], a share of it for each image, the rest for the batch."""
    own = gram(features)
    each = F.mse_loss(own, target.expand_as(own))
    together = F.mse_loss(own.mean(0), target[0])
    return torch.lerp(together, each, per_image) / target.square().mean()


def _wasserstein_loss(features: Tensor, target: Tensor, alone: bool) -> Tensor:
    """The squared sliced Wasserstein distance to `target` [directions, bins], relative to its variance.

    Of each image alone, or of all images of the batch together.
    """
    chosen = torch.randperm(len(target))[:_DIRECTIONS_PER_STEP]
    own = _sorted_projections(features, chosen, together=not alone)  # [N or 1, directions, bins]
    wanted = target[chosen.to(target.device)]
    return F.mse_loss(own, wanted.expand_as(own)) / target.var(1).mean()


def _sorted_projections(features: Tensor, chosen: Tensor | None = None, together: bool = False) -> Tensor:
    """Features [N, C, H, W] -> [N or 1, directions, bins]: sorted projections, averaged over equal shares."""
    x = features.float().flatten(2)  # [N, C, K]
    if together:
        x = x.movedim(1, 0).flatten(1)[None]
    if x.shape[2] > _POSITIONS and chosen is not None:
        x = x[:, :, torch.randperm(x.shape[2], device=x.device)[:_POSITIONS]]
    directions = _directions(x.shape[1]).to(x.device)
    projected = (directions if chosen is None else directions[chosen.to(x.device)]) @ x
    return F.adaptive_avg_pool1d(projected.sort(dim=-1).values, _BINS)


def _directions(channels: int) -> Tensor:
    """Fixed unit vectors [directions, channels], the same everywhere: targets in files were projected on them."""
    generator = torch.Generator().manual_seed(channels)
    return F.normalize(torch.randn(_DIRECTIONS, channels, generator=generator), dim=1)


def _content_loss(features: Mapping[str, Tensor], target: ContentTarget) -> Tensor:
    loss = next(iter(features.values())).new_zeros((), dtype=torch.float32)
    for layer, wanted in target.features.items():
        wanted = wanted.float()
        change = (features[layer].float() - wanted).square() * target.weights[layer]
        loss = loss + change.mean() / wanted.square().mean() / len(target.features)
    return loss


def palette_loss(images: Tensor, palette: Tensor) -> Tensor:
    """The distance of the batch's colors, averaged over 4x4 pixels, from the colors `palette` [M, 3].

    The sliced Wasserstein distance (Rabin et al. 2011) along eight random directions, relative to the palette's
    variance: rare colors count by their share.
    """
    directions = F.normalize(torch.randn(3, 8), dim=0).to(images.device)
    own = (_colors(images) @ directions).sort(dim=0).values  # [K, 8]
    places = torch.linspace(0, len(palette) - 1, len(own), device=images.device).round().long()
    target = (palette @ directions).sort(dim=0).values[places]
    return F.mse_loss(own, target) / palette.var(dim=0).mean()


def contrast_loss(images: Tensor, target: Tensor, octave: int = 0) -> Tensor:
    """The distance of the distribution of local contrast in each image from that of the paintings, `target`.

    Penalizes uniform areas: paintings have strokes everywhere, in plain skies and in the dark. Images of `octave` 1
    have half the size that the target is meant for, and so on.
    """
    own = _contrast(images, octave)  # [N, scales, bins]
    return F.mse_loss(own, target[-own.shape[1] :].expand_as(own))


def _contrast(images: Tensor, octave: int = 0) -> Tensor:
    """Sorted logarithms of the local gradient energy at several scales: [N, 3, H, W] -> [N, scales, bins]."""
    light, curves = images.mean(1, keepdim=True), []
    for scale in _scales(octave):
        x = _reduced(light, scale)
        energy = F.pad(x.diff(dim=-1), (0, 1)).square() + F.pad(x.diff(dim=-2), (0, 0, 0, 1)).square()
        local = F.avg_pool2d(energy, 3, 1, 1, count_include_pad=False)
        curves.append(F.adaptive_avg_pool1d((local + _FAINT).log().flatten(1).sort(dim=1).values, _BINS))
    return torch.stack(curves, dim=1)


def alignment_loss(images: Tensor, target: Tensor, octave: int = 0) -> Tensor:
    """The distance of the distribution of local alignment in each image from that of the paintings, `target`.

    Long strokes side by side are aligned; noise and dots are not. `octave` as for `contrast_loss`.
    """
    losses = []
    for scale, curve in zip(_scales(octave), target[-len(_scales(octave)) :]):
        own, weights, ranks = _sorted_alignment(images, scale)
        places = ranks * (len(curve) - 1)
        low = places.long().clamp(0, len(curve) - 2)  # 0 for NaN, if training diverges
        wanted = torch.lerp(curve[low], curve[low + 1], places - low)
        losses.append((weights * (own - wanted).square()).sum(1).mean())
    return torch.stack(losses).mean()


def _alignment(images: Tensor) -> Tensor:
    """Quantiles of the alignment at several scales: [N, 3, H, W] -> [N, scales, bins]."""
    curves = []
    for scale in _scales(0):
        own, _, ranks = _sorted_alignment(images, scale)
        places = torch.linspace(0, 1, _BINS, device=images.device).expand(len(images), -1).contiguous()
        curves.append(own.gather(1, torch.searchsorted(ranks.contiguous(), places).clamp(max=own.shape[1] - 1)))
    return torch.stack(curves, dim=1)


def _sorted_alignment(images: Tensor, scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """Alignment of the gradients in areas of 9x9 steps of `scale` pixels [N, K], ascending; weights and ranks of it.

    0: gradients of all directions, 1: of one; the coherence of the structure tensor (Bigun and Granlund 1987).
    Areas weigh as much as their contrast; the weights [N, K] of an image sum to 1, and the ranks [N, K] are 0..1.
    """
    x = _reduced(images.mean(1, keepdim=True), scale)
    beside, below = (max(0, _ALIGNED_AREA - side) for side in (x.shape[-1], x.shape[-2]))
    x = F.pad(x, (0, beside, 0, below), mode="replicate")
    across = F.conv2d(x, _SOBEL.to(x))
    down = F.conv2d(x, _SOBEL.mT.to(x))
    products = torch.cat([across * across, down * down, across * down], dim=1)
    xx, yy, xy = F.avg_pool2d(F.avg_pool2d(products, 5, 1), 5, 1).flatten(2).unbind(1)  # [N, K]
    energy = xx + yy
    alignment = ((xx - yy).square() + 4 * xy.square() + _FLAT**2).sqrt() / (energy + _FLAT)
    own, order = alignment.sort(dim=1)
    with torch.no_grad():
        weights = energy.sqrt().gather(1, order)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
        ranks = weights.cumsum(1) - weights / 2
    return own, weights, ranks.clamp(0, 1)


def _scales(octave: int) -> list[int]:
    return [scale >> octave for scale in _CONTRAST_SCALES if scale >> octave]


def stray_loss(images: Tensor, palette: Tensor) -> Tensor:
    """The mean squared distance of colors, averaged over 2x2 pixels, from the nearest color of `palette` [M, 3].

    Relative to the palette's variance. Few pixels of a foreign hue, as along straight edges, hardly change
    `palette_loss`; here they count, the worst 2 % of the samples most.
    """
    own = F.avg_pool2d(images, 2).transpose(0, 1).flatten(1).T  # [K, 3]
    some = own[torch.randint(len(own), (min(len(own), _STRAY_SAMPLES),), device=own.device)]
    known = palette[:: max(1, len(palette) // _STRAY_COLORS)]
    distances = torch.cdist(some, known).amin(1).square()
    worst = distances.topk(max(1, len(distances) // 50)).values
    return (distances.mean() + 0.2 * worst.mean()) / palette.var(dim=0).mean()


def _palette(painting: Tensor, share: float) -> Tensor:
    """Colors [K, 3] of a painting at even steps, as many as its share says."""
    colors = _colors(painting.unsqueeze(0))
    return colors[torch.linspace(0, len(colors) - 1, max(1, round(_PALETTE * share))).round().long()]


def _colors(images: Tensor) -> Tensor:
    """[N, 3, H, W] -> [K, 3], the mean colors of 4x4 pixels."""
    return F.avg_pool2d(images, 4).transpose(0, 1).flatten(1).T
