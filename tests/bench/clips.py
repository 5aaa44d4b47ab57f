"""Clips that are made from photographs, so that the truth about every pixel is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

NOISE = 2.5 / 255  # of a camera's sensor, its standard deviation
STEP = (1.7, 0.6)  # pixels a frame to the right and down, by which the camera pans
ZOOM = 1.002  # a frame
SPEED = (7.3, -2.4)  # pixels a frame, of a thing that crosses the picture
JUMP = 0.15  # by which the light of a time-lapse differs from frame to frame, up or down
HORIZON = 0.5  # share of a time-lapse's height that is sky
SURE = 0.02  # share of a pixel; what belongs to two things by more than this is left out of judgements


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame, and where everything in it was one frame before."""

    image: Tensor  # [3, H, W] 0..1, in steps of 1/255
    flow: Tensor  # [2, H, W] pixels, to the right and down, from this frame to the one before; exact
    visible: Tensor  # [1, H, W] 0 or 1: could be seen in the frame before
    sure: Tensor  # [1, H, W] 0 or 1: belongs to one thing alone, in both frames


def load_photo(name: str, height: int, width: int, package: str = "skimage", folder: str = "data") -> Tensor:
    """A photo that a package's wheel carries, as [3, height, width] 0..1, its middle; the package is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"the photo {name} of {package} is missing: pip install --no-deps scikit-{package[2:]}")
    with Image.open(Path(spec.origin).parent / folder / name) as opened:
        picture = opened.convert("RGB")
    scale = max(height / picture.height, width / picture.width)
    size = math.ceil(picture.width * scale), math.ceil(picture.height * scale)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    picture = picture.resize(size, Image.Resampling.LANCZOS).crop((left, top, left + width, top + height))
    data = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return data.view(height, width, 3).permute(2, 0, 1).float() / 255


def as_taken(image: Tensor, chance: torch.Generator, noise: float = NOISE) -> Tensor:
    """The image as a camera would hand it on: with noise, in steps of 1/255."""
    noisy = image + noise * torch.randn(image.shape, generator=chance) if noise else image
    return (noisy * 255).round().clamp(0, 255) / 255


def still(photo: Tensor, frames: int, noise: float = NOISE, seed: int = 0) -> Iterator[Tensor]:
    """A photo [3, H, W], taken again and again: nothing differs but the noise."""
    chance = torch.Generator().manual_seed(seed)
    for _ in range(frames):
        yield as_taken(photo, chance, noise)


def pan(
    photo: Tensor,
    frames: int,
    size: tuple[int, int],
    step: tuple[float, float] = STEP,
    zoom: float = ZOOM,
    noise: float = NOISE,
    seed: int = 0,
) -> Iterator[Moment]:
    """A camera of `size` (height, width) that goes over a larger photo by parts of a pixel, and towards it."""
    chance = torch.Generator().manual_seed(seed)
    here = places(*size)
    everything = torch.ones(1, *size)
    for number in range(frames):
        there = _looking(here, number, photo.shape, step, zoom)
        before = _looked(there, number - 1, photo.shape, size, step, zoom)
        image = as_taken(_seen(photo, there), chance, noise)
        yield Moment(image, before - here, _inside(before), everything)


def crossing(
    photo: Tensor,
    thing: Tensor,
    frames: int,
    size: tuple[int, int],
    radius: float = 0.16,
    speed: tuple[float, float] = SPEED,
    noise: float = NOISE,
    seed: int = 0,
) -> Iterator[Moment]:
    """An ellipse cut out of the photo `thing`, `radius` of the width wide, that crosses what `pan` shows of `photo`."""
    chance = torch.Generator().manual_seed(seed)
    height, width = size
    here = places(height, width)
    way = torch.tensor(speed).view(2, 1, 1)
    start = torch.tensor([width / 2, height / 2]).view(2, 1, 1) - way * (frames / 2)
    axes = torch.tensor([1.0, 0.8]).view(2, 1, 1) * radius * width

    def cover(points: Tensor, number: int) -> Tensor:  # [1, H, W] share of the thing in pixels at these places
        away = ((points - start - way * number) / axes).norm(dim=0, keepdim=True)
        return ((1 - away) * axes.min() + 0.5).clamp(0, 1)

    for number in range(frames):
        there = _looking(here, number, photo.shape, STEP, 1.0)
        ground_before = _looked(there, number - 1, photo.shape, size, STEP, 1.0)
        share = cover(here, number)
        middle = torch.tensor([thing.shape[2] / 2, thing.shape[1] / 2]).view(2, 1, 1)
        texture = _seen(thing, here - start - way * number + middle)
        image = as_taken(torch.lerp(_seen(photo, there), texture, share), chance, noise)
        before = torch.where(share > 0.5, here - way, ground_before)
        share_before = cover(before, number - 1)
        hidden = (share <= 0.5) & (share_before > 0.5)
        sure = ((share - 0.5).abs() >= 0.5 - SURE) & ((share_before - 0.5).abs() >= 0.5 - SURE)
        yield Moment(image, before - here, _inside(before) * ~hidden, sure.float())


def time_lapse(photo: Tensor, frames: int, jump: float = JUMP, noise: float = NOISE, seed: int = 0) -> Iterator[Tensor]:
    """Clouds that move and change above the lower part of a photo [3, H, W], in light that jumps."""
    chance = torch.Generator().manual_seed(seed)
    _, height, width = photo.shape
    down = torch.arange(height).view(1, height, 1) / height
    sky = ((HORIZON - down) * 40 + 0.5).clamp(0, 1)  # [1, H, 1]
    blue = torch.tensor([0.25, 0.45, 0.75]).view(3, 1, 1) + 0.5 * down  # paler towards the horizon
    layers = [torch.rand(2, 1, 4 * 2**octave, 12 * 2**octave, generator=chance) for octave in range(5)]
    for number in range(frames):
        clouds = _clouds(layers, number, height, width)
        scene = torch.lerp(photo, torch.lerp(blue.clamp(0, 1), torch.tensor(0.95), clouds), sky)
        gain = 1 + jump * (2 * torch.rand((), generator=chance) - 1)
        yield as_taken((scene * gain).clamp(0, 1), chance, noise)


def _clouds(layers: list[Tensor], number: int, height: int, width: int) -> Tensor:
    """How thick clouds are [1, H, W] 0..1: noise in octaves, each of which drifts, and changes into another one."""
    here = places(height, width)
    total = torch.zeros(1, height, width)
    for octave, (one, other) in enumerate(layers):
        grain = width / (4 * 2**octave)  # pixels
        drift = torch.tensor([number * (2.0 + 0.7 * octave), 0.0]).view(2, 1, 1)
        share = 0.5 + 0.5 * math.sin(0.06 * number * (octave + 1))
        total += _seen(torch.lerp(one, other, share), (here + drift) / grain) / 2**octave
    return ((total / 1.94 - 0.42) * 4).clamp(0, 1)  # 1.94: the octaves' weights


def places(height: int, width: int) -> Tensor:
    """Where each pixel is [2, H, W]: to the right, then down."""
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([across, down]).float()


def _looking(points: Tensor, number: int, photo: torch.Size, step: tuple[float, float], zoom: float) -> Tensor:
    """Where on the photo the camera sees these points [2, H, W] of its `number`th picture."""
    middle, target = _middles(points.shape[1:], number, photo, step)
    return target + (points - middle) / zoom**number


def _looked(
    there: Tensor, number: int, photo: torch.Size, size: tuple[int, int], step: tuple[float, float], zoom: float
) -> Tensor:
    """Where in its `number`th picture the camera sees these places of the photo; undoes `_looking`."""
    middle, target = _middles(size, number, photo, step)
    return middle + (there - target) * zoom**number


def _middles(size: tuple[int, ...], number: int, photo: torch.Size, step: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The middle of a picture, and where on the photo it is, [2, 1, 1] each."""
    middle = torch.tensor([size[1] - 1, size[0] - 1]).view(2, 1, 1) / 2
    start = torch.tensor([photo[2] - 1, photo[1] - 1]).view(2, 1, 1) / 2
    return middle, start + torch.tensor(step).view(2, 1, 1) * (number - 12)


def _seen(photo: Tensor, points: Tensor) -> Tensor:
    """The photo [C, h, w] at these places [2, H, W], in its pixels; mirrored beyond its borders."""
    sizes = torch.tensor([photo.shape[2] - 1, photo.shape[1] - 1]).view(2, 1, 1)
    grid = (points * 2 / sizes - 1).permute(1, 2, 0)[None]
    return F.grid_sample(photo[None], grid, "bicubic", "reflection", align_corners=True)[0]


def _inside(points: Tensor) -> Tensor:
    """Whether points [2, H, W] lie in a picture of their own size, [1, H, W] 0 or 1."""
    limits = torch.tensor([points.shape[2] - 1, points.shape[1] - 1]).view(2, 1, 1)
    return ((points >= 0) & (points <= limits)).all(dim=0, keepdim=True).float()
