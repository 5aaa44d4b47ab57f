"""Gradient ascent on pixels over octaves: how a picture comes to dream (Mordvintsev, Olah, Tyka 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Gradient = Callable[[Tensor], Tensor]  # [N, 3, h, w] RGB -> of the same shape

_Place = tuple[slice, slice]  # rows and columns

_TOGETHER = 4  # tiles that a GPU is given at once, of 300 MB each where they have 640 x 640 pixels of lite0
_LEAST = 96  # pixels, the shortest side that a network is shown; InceptionV3 takes no less than 75
_SMALLEST = 32  # pixels, the shortest side of an octave
_SEAM = 24  # pixels, between the end of a picture and its beginning
_LEVELS = 4  # of the pyramid that smooths gradients
_BEYOND = 0.05  # how far a pixel may leave 0..1 while it climbs


@dataclass(frozen=True, slots=True)
class Ascent:
    """How to climb."""

    octaves: int = 4
    scale: float = 1.4  # of one octave's size to the next's
    steps: int = 10  # in each octave
    step: float = 0.01  # of 0..1, where the gradient has its mean size
    smooth: float = 0.0  # 0..1, how far all sizes of detail are to pull alike
    tile: int = 640  # pixels, the longest side shown to the network at once
    seed: int = 0


def ascend(
    image: Tensor,
    gradient: Gradient,
    settings: Ascent,
    *,
    room: Tensor | None = None,
    number: int = 0,
    report: Callable[[int, int], None] = lambda done, whole: None,
) -> Tensor:
    """`image` [3, H, W] 0..1 after the climb, not yet clipped to 0..1.

    The picture is split into octaves, each `scale` times as large as the one before: the coarsest climbs first, and
    what it gained is enlarged under the detail of the next (a Laplacian pyramid, so that no detail is lost). `room`
    [1, H, W] 0..1 tells what share of a step each pixel takes. Tiles are shifted at random from step to step, so that
    their borders leave no trace; chance depends on the seed and on `number` only.
    """
    sizes = octave_sizes(image.shape[1], image.shape[2], settings)
    details, base = _split(image[None], sizes)
    chance = torch.Generator().manual_seed(hash((settings.seed, number)) % 2**63)
    for level, (size, detail) in enumerate(zip(sizes, details)):
        here = detail if level == 0 else resized(base, size) + detail
        steps = None if room is None else resized(room[None], size)
        for each in range(settings.steps):
            roll = [int(torch.randint(0, side, (), generator=chance)) for side in size]
            slope = tiled_gradient(here, gradient, settings.tile, roll)
            if settings.smooth:
                slope = slope.lerp(_smoothed(slope), settings.smooth)
            move = slope * (settings.step / slope.abs().mean().clamp(min=1e-20))
            here = (here + (move if steps is None else move * steps)).clamp_(-_BEYOND, 1 + _BEYOND)
            report(level * settings.steps + each + 1, len(sizes) * settings.steps)
        base = here
    return base[0]


def octave_sizes(height: int, width: int, settings: Ascent) -> list[tuple[int, int]]:
    """The size (H, W) of each octave, the coarsest first; those that would be too small are left out."""
    sizes = [(height, width)]
    for level in range(1, settings.octaves):
        size = round(height / settings.scale**level), round(width / settings.scale**level)
        if min(size) < _SMALLEST:
            break
        sizes.insert(0, size)
    return sizes


def _split(image: Tensor, sizes: list[tuple[int, int]]) -> tuple[list[Tensor], Tensor]:
    """The coarsest octave, and what each finer one has more than the one below; the image again."""
    details: list[Tensor] = []
    base = image
    for smaller in reversed(sizes[:-1]):
        low = resized(base, smaller)
        details.insert(0, base - resized(low, (base.shape[2], base.shape[3])))
        base = low
    return [base, *details], image


def tiled_gradient(image: Tensor, gradient: Gradient, tile: int, roll: list[int]) -> Tensor:
    """The gradient [1, 3, H, W] of all of `image`, rolled around its borders by `roll`, tile by tile.

    Tiles are of one size, at most `tile` on a side, and cover every pixel; what two of them cover has their mean. A GPU
    is given several at once.
    """
    height, width = image.shape[2:]
    rolled = torch.roll(_endless(_endless(image, 2), 3), roll, (2, 3))
    below, beside = (max(0, _LEAST - side) for side in rolled.shape[2:])
    if below or beside:
        rolled = F.pad(rolled, (0, beside, 0, below), mode="replicate")
    total, count = torch.zeros_like(rolled), None
    places = list(_tiles(rolled.shape[2], rolled.shape[3], tile))
    if len(places) == 1:
        total = gradient(rolled)
    else:
        count = torch.zeros_like(rolled[:, :1])
        for some in _parted(places, _TOGETHER if image.is_cuda else 1):
            slopes = gradient(torch.cat([rolled[:, :, rows, columns] for rows, columns in some]))
            for (rows, columns), slope in zip(some, slopes, strict=True):
                total[:, :, rows, columns] += slope
                count[:, :, rows, columns] += 1
        total /= count
    down, across = height + _seam(height), width + _seam(width)
    return torch.roll(total[:, :, :down, :across], [-by for by in roll], (2, 3))[:, :, :height, :width]


def _parted(places: list[_Place], most: int) -> Iterator[list[_Place]]:
    """The places in lists of at most `most`, as even as can be."""
    each = math.ceil(len(places) / math.ceil(len(places) / most))
    yield from (places[start : start + each] for start in range(0, len(places), each))


def middle(image: Tensor, tile: int) -> Tensor:
    """The middle of `image` [1, 3, H, W], as much as a network is shown at once; small ones go on at their ends."""
    height, width = (min(tile, side) for side in image.shape[2:])
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    shown = image[:, :, top : top + height, left : left + width]
    below, beside = max(0, _LEAST - height), max(0, _LEAST - width)
    return F.pad(shown, (0, beside, 0, below), mode="replicate") if below or beside else shown


def _endless(image: Tensor, dim: int) -> Tensor:
    """The image with a seam behind its end, in which the mirrored end fades into the mirrored beginning.

    Rolled around without it, what is at the bottom would be dreamed on at the top.
    """
    side = image.shape[dim]
    seam = _seam(side)
    if seam == 0:
        return image
    end = image.narrow(dim, side - 1 - seam, seam).flip(dim)
    beginning = image.narrow(dim, 1, seam).flip(dim)
    shape = [1, 1, 1, 1]
    shape[dim] = seam
    share = ((torch.arange(seam, device=image.device) + 0.5) / seam).view(shape)
    return torch.cat([image, end.lerp(beginning, share)], dim)


def _seam(side: int) -> int:
    return min(_SEAM, side - 1)


def _tiles(height: int, width: int, tile: int) -> Iterator[_Place]:
    """Rows and columns of tiles of one size that cover all, evenly spread."""
    for rows in _spans(height, tile):
        for columns in _spans(width, tile):
            yield rows, columns


def _spans(side: int, most: int) -> list[slice]:
    count = math.ceil(side / most)
    size = math.ceil(side / count)
    return [
        slice(start, start + size) for start in (round(n * (side - size) / max(1, count - 1)) for n in range(count))
    ]


def _smoothed(slope: Tensor) -> Tensor:
    """The gradient with every level of its Laplacian pyramid made equally strong, in the mean as strong as before."""
    levels = []
    base = slope
    for _ in range(_LEVELS - 1):
        if min(base.shape[2:]) < 8:
            break
        low = F.avg_pool2d(base, 2, ceil_mode=True)
        levels.append(base - resized(low, (base.shape[2], base.shape[3])))
        base = low
    levels.append(base)
    made: Tensor | None = None
    for level in reversed(levels):
        even = level / level.abs().mean().clamp(min=1e-20)
        made = even if made is None else resized(made, (level.shape[2], level.shape[3])) + even
    assert made is not None
    return made * (slope.abs().mean() / made.abs().mean().clamp(min=1e-20))


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """[1, C, H, W] at another size."""
    if tuple(image.shape[2:]) == size:
        return image
    smaller = size[0] < image.shape[2]
    return F.interpolate(image, size, mode="bilinear", antialias=smaller)
