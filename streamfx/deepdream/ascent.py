"""DeepDream: gradient ascent on pixels over octaves (Mordvintsev, Olah, Tyka 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops.resize import halve, resize

Gradient = Callable[[Tensor], Tensor]  # [N, 3, h, w] RGB -> gradient of the same shape

_Tile = tuple[slice, slice]  # rows and columns

_TILE_BATCH = 4  # tiles per batch on a GPU; a 640 x 640 tile takes 300 MB with lite0
_MIN_INPUT = 96  # pixels, the shorter side of a network's input; InceptionV3 needs at least 75
_MIN_OCTAVE = 32  # pixels, the shorter side of the smallest octave
_SEAM = 24  # pixels that blend the opposite borders of an image
_LEVELS = 4  # of the pyramid that smooths gradients
# square root of the covariance of colors in photos, columns are brightness and two axes of chroma
_COLOR_ROOT = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
_MARGIN = 0.05  # how far a pixel may leave 0..1 during the ascent


@dataclass(frozen=True, slots=True)
class Ascent:
    """Settings of the gradient ascent."""

    octaves: int = 4
    scale: float = 1.4  # size ratio of consecutive octaves
    steps: int = 10  # per octave
    step: float = 0.01  # mean absolute change of a pixel per step, for pixels in 0..1
    smooth: float = 0.0  # 0..1, how far the gradient is equalized across scales
    tile: int = 640  # pixels, the longer side of a tile
    seed: int = 0
    natural_colors: bool = True  # whether colors vary together as in photos


def ascend(
    image: Tensor,
    gradient: Gradient,
    settings: Ascent,
    *,
    step_share: Tensor | None = None,
    number: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """`image` [3, H, W] 0..1 after gradient ascent, not yet clipped to 0..1.

    The image is split into octaves, each `scale` times as large as the previous one. Ascent starts at the coarsest;
    each result is enlarged and the detail of the next octave added (a Laplacian pyramid, so no detail is lost).
    `step_share` [1, H, W] 0..1 scales the step of each pixel. Tiles shift randomly between steps to hide their borders;
    the random numbers depend only on the seed and `number`.
    """
    sizes = octave_sizes(image.shape[1], image.shape[2], settings)
    details, base = _split(image[None], sizes)
    generator = torch.Generator().manual_seed(hash((settings.seed, number)) % 2**63)
    for level, (size, detail) in enumerate(zip(sizes, details)):
        base = detail if level == 0 else resize(base, size) + detail
        share = None if step_share is None else resize(step_share[None], size)
        for iteration in range(settings.steps):
            roll = [int(torch.randint(0, side, (), generator=generator)) for side in size]
            slope = tiled_gradient(base, gradient, settings.tile, roll)
            if settings.natural_colors:
                slope = with_natural_colors(slope)
            if settings.smooth:
                slope = slope.lerp(_equalized(slope), settings.smooth)
            change = slope * (settings.step / slope.abs().mean().clamp(min=1e-20))
            base = (base + (change if share is None else change * share)).clamp_(-_MARGIN, 1 + _MARGIN)
            report(level * settings.steps + iteration + 1, len(sizes) * settings.steps)
    return base[0]


def with_natural_colors(slope: Tensor) -> Tensor:
    """The gradient [N, 3, H, W] with respect to decorrelated colors, as a change of RGB.

    Most of it becomes brightness, then chroma along the axes on which photos vary. Without this, networks change red,
    green and blue against each other from pixel to pixel. Olah, Mordvintsev, Schubert, Feature Visualization, Distill
    2017.
    """
    root = (_COLOR_ROOT / _COLOR_ROOT.norm(dim=0).max()).to(slope)
    natural: Tensor = root @ root.T @ slope.flatten(2)
    return natural.view_as(slope)


def octave_sizes(height: int, width: int, settings: Ascent) -> list[tuple[int, int]]:
    """The size (H, W) of each octave, coarsest first; octaves that would be too small are omitted."""
    sizes = [(height, width)]
    for level in range(1, settings.octaves):
        size = round(height / settings.scale**level), round(width / settings.scale**level)
        if min(size) < _MIN_OCTAVE:
            break
        sizes.insert(0, size)
    return sizes


def _split(image: Tensor, sizes: list[tuple[int, int]]) -> tuple[list[Tensor], Tensor]:
    """([coarsest octave, detail that each finer octave adds, ...], image)."""
    details: list[Tensor] = []
    base = image
    for smaller in reversed(sizes[:-1]):
        low = resize(base, smaller)
        details.insert(0, base - resize(low, (base.shape[2], base.shape[3])))
        base = low
    return [base, *details], image


def tiled_gradient(image: Tensor, gradient: Gradient, tile: int, roll: list[int]) -> Tensor:
    """The gradient [1, 3, H, W] for the whole `image`, computed by tiles after rolling the image by `roll`.

    All tiles have the same size, at most `tile` per side, and cover every pixel; overlaps are averaged. A GPU computes
    several at once.
    """
    height, width = image.shape[2:]
    rolled = torch.roll(_with_seam(_with_seam(image, 2), 3), roll, (2, 3))
    below, beside = (max(0, _MIN_INPUT - side) for side in rolled.shape[2:])
    if below or beside:
        rolled = F.pad(rolled, (0, beside, 0, below), mode="replicate")
    total, count = torch.zeros_like(rolled), None
    tiles = list(_tiles(rolled.shape[2], rolled.shape[3], tile))
    if len(tiles) == 1:
        total = gradient(rolled)
    else:
        count = torch.zeros_like(rolled[:, :1])
        for batch in _batches(tiles, _TILE_BATCH if image.is_cuda else 1):
            slopes = gradient(torch.cat([rolled[:, :, rows, columns] for rows, columns in batch]))
            for (rows, columns), slope in zip(batch, slopes, strict=True):
                total[:, :, rows, columns] += slope
                count[:, :, rows, columns] += 1
        total /= count
    total = total[:, :, : height + _seam(height), : width + _seam(width)]
    return torch.roll(total, [-shift for shift in roll], (2, 3))[:, :, :height, :width]


def _batches(tiles: list[_Tile], limit: int) -> Iterator[list[_Tile]]:
    """The tiles in batches of at most `limit` and nearly equal size."""
    size = math.ceil(len(tiles) / math.ceil(len(tiles) / limit))
    yield from (tiles[start : start + size] for start in range(0, len(tiles), size))


def center_crop(image: Tensor, tile: int) -> Tensor:
    """The center of `image` [1, 3, H, W], at most `tile` per side; small images are padded by replication."""
    height, width = (min(tile, side) for side in image.shape[2:])
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    crop = image[:, :, top : top + height, left : left + width]
    below, beside = max(0, _MIN_INPUT - height), max(0, _MIN_INPUT - width)
    return F.pad(crop, (0, beside, 0, below), mode="replicate") if below or beside else crop


def _with_seam(image: Tensor, dim: int) -> Tensor:
    """The image extended along `dim` by a seam that fades from the mirrored end to the mirrored start.

    Without the seam, patterns would continue across opposite borders when the image is rolled.
    """
    side = image.shape[dim]
    seam = _seam(side)
    if seam == 0:
        return image
    end = image.narrow(dim, side - 1 - seam, seam).flip(dim)
    start = image.narrow(dim, 1, seam).flip(dim)
    shape = [1, 1, 1, 1]
    shape[dim] = seam
    share = ((torch.arange(seam, device=image.device) + 0.5) / seam).view(shape)
    return torch.cat([image, end.lerp(start, share)], dim)


def _seam(side: int) -> int:
    return min(_SEAM, side - 1)


def _tiles(height: int, width: int, tile: int) -> Iterator[_Tile]:
    """Rows and columns of evenly spaced tiles of equal size that cover the image."""
    for rows in _spans(height, tile):
        for columns in _spans(width, tile):
            yield rows, columns


def _spans(side: int, limit: int) -> list[slice]:
    count = math.ceil(side / limit)
    size = math.ceil(side / count)
    return [
        slice(start, start + size) for start in (round(n * (side - size) / max(1, count - 1)) for n in range(count))
    ]


def _equalized(slope: Tensor) -> Tensor:
    """The gradient with all levels of its Laplacian pyramid at equal strength; its mean magnitude stays the same."""
    levels = []
    base = slope
    for _ in range(_LEVELS - 1):
        if min(base.shape[2:]) < 8:
            break
        low = halve(base)
        levels.append(base - resize(low, (base.shape[2], base.shape[3])))
        base = low
    levels.append(base)
    total: Tensor | None = None
    for level in reversed(levels):
        scaled = level / level.abs().mean().clamp(min=1e-20)
        total = scaled if total is None else resize(total, (level.shape[2], level.shape[3])) + scaled
    assert total is not None
    return total * (slope.abs().mean() / total.abs().mean().clamp(min=1e-20))
