"""Synthetic clips made from photos, with the exact motion of every pixel."""

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

NOISE = 2.5 / 255  # standard deviation of sensor noise
STEP = (1.7, 0.6)  # pixels per frame by which the camera pans right and down
ZOOM = 1.002  # per frame
SPEED = (7.3, -2.4)  # pixels per frame, of an object that crosses the image
JUMP = 0.15  # largest relative change of the brightness of a time-lapse
HORIZON = 0.5  # share of a time-lapse's height that is sky
SURE = 0.02  # share of a pixel; pixels covered by both object and background by more are not evaluated


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame and its motion from the previous frame."""

    image: Tensor  # [3, H, W] 0..1, in steps of 1/255
    flow: Tensor  # [2, H, W] pixels, x and y, from this frame to the previous one; exact
    visible: Tensor  # [1, H, W] 0 or 1: visible in the previous frame
    sure: Tensor  # [1, H, W] 0 or 1: covered by either object or background only, in both frames


def load_photo(name: str, height: int, width: int, package: str = "skimage", folder: str = "data") -> Tensor:
    """The center [3, height, width] 0..1 of a photo in an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"the photo {name} of {package} is missing: pip install --no-deps scikit-{package[2:]}")
    with Image.open(Path(spec.origin).parent / folder / name) as opened:
        image = opened.convert("RGB")
    scale = max(height / image.height, width / image.width)
    size = math.ceil(image.width * scale), math.ceil(image.height * scale)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    image = image.resize(size, Image.Resampling.LANCZOS).crop((left, top, left + width, top + height))
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.view(height, width, 3).permute(2, 0, 1).float() / 255


def as_captured(image: Tensor, generator: torch.Generator, noise: float = NOISE) -> Tensor:
    """The image with sensor noise, in steps of 1/255."""
    noisy = image + noise * torch.randn(image.shape, generator=generator) if noise else image
    return (noisy * 255).round().clamp(0, 255) / 255


def still(photo: Tensor, frames: int, noise: float = NOISE, seed: int = 0) -> Iterator[Tensor]:
    """A still shot of a photo [3, H, W]: frames differ in their noise only."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(frames):
        yield as_captured(photo, generator, noise)


def pan(
    photo: Tensor,
    frames: int,
    size: tuple[int, int],
    step: tuple[float, float] = STEP,
    zoom: float = ZOOM,
    noise: float = NOISE,
    seed: int = 0,
) -> Iterator[Moment]:
    """A camera of `size` (height, width) that pans over a larger photo by fractions of a pixel, and zooms in."""
    generator = torch.Generator().manual_seed(seed)
    points = pixel_positions(*size)
    everything = torch.ones(1, *size)
    for number in range(frames):
        on_photo = _to_photo(points, number, photo.shape, step, zoom)
        before = _to_frame(on_photo, number - 1, photo.shape, size, step, zoom)
        image = as_captured(_sample(photo, on_photo), generator, noise)
        yield Moment(image, before - points, _inside(before), everything)


def crossing(
    photo: Tensor,
    object_photo: Tensor,
    frames: int,
    size: tuple[int, int],
    radius: float = 0.16,
    speed: tuple[float, float] = SPEED,
    noise: float = NOISE,
    seed: int = 0,
) -> Iterator[Moment]:
    """An ellipse cut from `object_photo`, with a radius of `radius` widths, that crosses a pan over `photo`."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    points = pixel_positions(height, width)
    velocity = torch.tensor(speed).view(2, 1, 1)
    start = torch.tensor([width / 2, height / 2]).view(2, 1, 1) - velocity * (frames / 2)
    axes = torch.tensor([1.0, 0.8]).view(2, 1, 1) * radius * width

    def cover(points: Tensor, number: int) -> Tensor:  # [1, H, W] share of the object in the pixels at these points
        away = ((points - start - velocity * number) / axes).norm(dim=0, keepdim=True)
        return ((1 - away) * axes.min() + 0.5).clamp(0, 1)

    for number in range(frames):
        on_photo = _to_photo(points, number, photo.shape, STEP, 1.0)
        ground_before = _to_frame(on_photo, number - 1, photo.shape, size, STEP, 1.0)
        share = cover(points, number)
        center = torch.tensor([object_photo.shape[2] / 2, object_photo.shape[1] / 2]).view(2, 1, 1)
        texture = _sample(object_photo, points - start - velocity * number + center)
        image = as_captured(torch.lerp(_sample(photo, on_photo), texture, share), generator, noise)
        before = torch.where(share > 0.5, points - velocity, ground_before)
        share_before = cover(before, number - 1)
        hidden = (share <= 0.5) & (share_before > 0.5)
        sure = ((share - 0.5).abs() >= 0.5 - SURE) & ((share_before - 0.5).abs() >= 0.5 - SURE)
        yield Moment(image, before - points, _inside(before) * ~hidden, sure.float())


def time_lapse(photo: Tensor, frames: int, jump: float = JUMP, noise: float = NOISE, seed: int = 0) -> Iterator[Tensor]:
    """Moving and changing clouds above the lower part of a photo [3, H, W], with jumps in brightness."""
    generator = torch.Generator().manual_seed(seed)
    _, height, width = photo.shape
    down = torch.arange(height).view(1, height, 1) / height
    sky = ((HORIZON - down) * 40 + 0.5).clamp(0, 1)  # [1, H, 1]
    blue = torch.tensor([0.25, 0.45, 0.75]).view(3, 1, 1) + 0.5 * down  # paler toward the horizon
    layers = [torch.rand(2, 1, 4 * 2**octave, 12 * 2**octave, generator=generator) for octave in range(5)]
    for number in range(frames):
        clouds = _clouds(layers, number, height, width)
        scene = torch.lerp(photo, torch.lerp(blue.clamp(0, 1), torch.tensor(0.95), clouds), sky)
        gain = 1 + jump * (2 * torch.rand((), generator=generator) - 1)
        yield as_captured((scene * gain).clamp(0, 1), generator, noise)


def _clouds(layers: list[Tensor], number: int, height: int, width: int) -> Tensor:
    """Opacity of clouds [1, H, W] 0..1: octaves of noise that drift and morph."""
    points = pixel_positions(height, width)
    total = torch.zeros(1, height, width)
    for octave, (one, other) in enumerate(layers):
        grain = width / (4 * 2**octave)  # pixels
        drift = torch.tensor([number * (2.0 + 0.7 * octave), 0.0]).view(2, 1, 1)
        share = 0.5 + 0.5 * math.sin(0.06 * number * (octave + 1))
        total += _sample(torch.lerp(one, other, share), (points + drift) / grain) / 2**octave
    return ((total / 1.94 - 0.42) * 4).clamp(0, 1)  # 1.94: the octaves' weights


def pixel_positions(height: int, width: int) -> Tensor:
    """The x and y of each pixel, [2, H, W]."""
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([across, down]).float()


def _to_photo(points: Tensor, number: int, photo: torch.Size, step: tuple[float, float], zoom: float) -> Tensor:
    """The positions on the photo of the points [2, H, W] of frame `number`."""
    center, target = _centers(points.shape[1:], number, photo, step)
    return target + (points - center) / zoom**number


def _to_frame(
    on_photo: Tensor, number: int, photo: torch.Size, size: tuple[int, int], step: tuple[float, float], zoom: float
) -> Tensor:
    """The positions in frame `number` of points of the photo: the inverse of `_to_photo`."""
    center, target = _centers(size, number, photo, step)
    return center + (on_photo - target) * zoom**number


def _centers(size: tuple[int, ...], number: int, photo: torch.Size, step: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The center of a frame, and its position on the photo, [2, 1, 1] each."""
    center = torch.tensor([size[1] - 1, size[0] - 1]).view(2, 1, 1) / 2
    start = torch.tensor([photo[2] - 1, photo[1] - 1]).view(2, 1, 1) / 2
    return center, start + torch.tensor(step).view(2, 1, 1) * (number - 12)


def _sample(photo: Tensor, points: Tensor) -> Tensor:
    """The photo [C, h, w] sampled at points [2, H, W] in pixels; mirrored beyond its borders."""
    sizes = torch.tensor([photo.shape[2] - 1, photo.shape[1] - 1]).view(2, 1, 1)
    grid = (points * 2 / sizes - 1).permute(1, 2, 0)[None]
    return F.grid_sample(photo[None], grid, "bicubic", "reflection", align_corners=True)[0]


def _inside(points: Tensor) -> Tensor:
    """Whether points [2, H, W] lie in an image of their own size, [1, H, W] 0 or 1."""
    limits = torch.tensor([points.shape[2] - 1, points.shape[1] - 1]).view(2, 1, 1)
    return ((points >= 0) & (points <= limits)).all(dim=0, keepdim=True).float()
