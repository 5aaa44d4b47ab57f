"""Synthetic training clips: moving photos, some with a moving object in front, and their exact optical flow."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops.color import luma
from streamfx.styletransfer.training.dataset import build_batch

_STILL_SHARE = 0.15  # of the clips, in which only the camera noise changes
_OBJECT_SHARE = 0.5  # of the other clips, in which an object moves in front
_FLICKER_SHARE = 0.25  # of the clips, whose brightness varies
_MIN_SPEED, _MAX_SPEED = 0.1, 8.0  # pixels per frame
_MAX_ZOOM, _MAX_ROTATION = 0.015, math.radians(1.5)  # per frame
_MAX_GAIN = 0.08  # relative change of brightness per frame


@dataclass(frozen=True, slots=True)
class Clip:
    """A batch of N clips of equal length. Images are on the device of the photos, gains and matrices on the CPU."""

    inputs: Sequence[Tensor]  # per frame, [N, 3, H, W] 0..1, with camera noise
    targets: Sequence[Tensor]  # the same without noise
    gain: Tensor  # [frames, N, 1, 1, 1], brightness
    background_motion: Tensor  # [frames, N, 3, 3], from coordinates in a frame (-1..1) to those in the photo
    object_motion: Tensor  # [frames, N, 3, 3], from coordinates in a frame to those in `object_mask`
    object_mask: Tensor  # [N, 1, H, W] 0 or 1

    def motion(self, current: int, previous: int) -> tuple[Tensor, Tensor]:
        """(flow [N, 2, H, W] pixels, visibility [N, 1, H, W] 0 or 1), exact, from frame `current` to `previous`.

        Visibility is 0 where a pixel of `current` is hidden or outside the image in `previous`.
        """
        background = torch.linalg.solve(self.background_motion[previous], self.background_motion[current])
        foreground = torch.linalg.solve(self.object_motion[previous], self.object_motion[current])
        size, device = self.object_mask.shape, self.object_mask.device
        is_object = _transform(self.object_mask, self.object_motion[current], "zeros") > 0.5
        background_grid, object_grid = (_grid(matrix, size, device) for matrix in (background, foreground))
        source = torch.where(is_object.movedim(1, -1), object_grid, background_grid)  # [N, H, W, 2]
        hidden = (_transform(self.object_mask, self.object_motion[previous] @ background, "zeros") > 0.5) & ~is_object
        inside = (source.abs() <= 1).all(-1).unsqueeze(1)
        identity = _grid(torch.eye(3).expand_as(background), size, device)
        flow = ((source - identity) * (size[-1] / 2)).movedim(-1, 1)
        return flow, (inside & ~hidden).to(flow)

    def luma_change(self, current: int, previous: int) -> Tensor:
        """Change of luma [N, 1, H, W] from frame `previous` to `current` that the gain causes, along the motion."""
        return luma(self.targets[current]) * (1 - self.gain[previous] / self.gain[current]).to(self.object_mask.device)


def build_clip(photos: list[Tensor], crop: int, batch: int, frames: int, rng: random.Random) -> Clip:
    """A batch of random clips of `crop` x `crop` pixels; `photos` as `load_photos` returns them."""
    noisy, clean = build_batch(photos, crop, batch, rng)
    empty = clean.new_zeros(batch, 1, crop, crop)
    if frames == 1:
        identity = torch.eye(3).expand(1, batch, 3, 3)
        return Clip([noisy], [clean], torch.ones(1, batch, 1, 1, 1), identity, identity, empty)
    sigma = (noisy - clean).std((1, 2, 3), keepdim=True)
    generator = torch.Generator(clean.device).manual_seed(rng.getrandbits(32))
    is_moving = [rng.random() >= _STILL_SHARE for _ in range(batch)]
    background = _random_motion(is_moving, frames, crop, rng)
    has_object = [moving and rng.random() < _OBJECT_SHARE for moving in is_moving]
    foreground = _random_motion(has_object, frames, crop, rng)
    mask = torch.stack([_blob(crop, rng, generator) if there else zeros for there, zeros in zip(has_object, empty)])
    flickers = torch.tensor([float(rng.random() < _FLICKER_SHARE) for _ in range(batch)])
    variation = torch.rand(frames, batch, generator=generator, device=clean.device).cpu()
    gain = (1 + _MAX_GAIN * flickers * (2 * variation - 1)).cumprod(0).view(frames, batch, 1, 1, 1)
    targets = []
    for index in range(frames):
        image = _transform(clean, background[index], "reflection")
        if any(has_object):
            texture = _transform(clean.flip(0), foreground[index], "reflection")
            image = torch.lerp(image, texture, _transform(mask, foreground[index], "zeros"))
        targets.append((image * gain[index].to(image.device)).clamp(0, 1))
    noises = (torch.randn(clean.shape, generator=generator, device=clean.device) for _ in targets)
    inputs = [(image + sigma * noise).clamp(0, 1) for image, noise in zip(targets, noises)]
    return Clip(inputs, targets, gain, background, foreground, mask)


def _random_motion(is_moving: Sequence[bool], frames: int, crop: int, rng: random.Random) -> Tensor:
    """Matrices [frames, N, 3, 3] of steady translation, rotation and zoom about the center, in coordinates -1..1."""
    matrices = torch.eye(3).repeat(frames, len(is_moving), 1, 1)
    for clip, moving in enumerate(is_moving):
        if not moving:
            continue
        direction = rng.uniform(0, 2 * math.pi)
        speed = math.exp(rng.uniform(math.log(_MIN_SPEED), math.log(_MAX_SPEED))) * 2 / crop
        zoom, rotation = (rng.choice((0.0, rng.uniform(-limit, limit))) for limit in (_MAX_ZOOM, _MAX_ROTATION))
        for index in range(frames):
            scale, angle = (1 + zoom) ** index, rotation * index
            cos, sin = scale * math.cos(angle), scale * math.sin(angle)
            x, y = index * speed * math.cos(direction), index * speed * math.sin(direction)
            matrices[index, clip] = torch.tensor([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])
    return matrices


def _blob(crop: int, rng: random.Random, generator: torch.Generator) -> Tensor:
    """Binary mask [1, crop, crop] of a random rounded shape, about 0.15 to 0.5 of the image wide."""
    radius = rng.uniform(0.15, 0.5)
    x, y = (torch.linspace(-1, 1, crop, device=generator.device) - rng.uniform(-0.5, 0.5) for _ in range(2))
    coarse = torch.rand(1, 1, 5, 5, generator=generator, device=generator.device)
    outline = F.interpolate(coarse, (crop, crop), mode="bicubic")[0]
    return (torch.hypot(x[None, :], y[:, None]) < radius * (0.5 + outline)).float()


def _grid(matrices: Tensor, size: Sequence[int], device: torch.device) -> Tensor:
    """Sampling grid [N, H, W, 2] of matrices [N, 3, 3] for images [N, C, H, W]; -1 and 1 are the image borders."""
    return F.affine_grid(matrices[:, :2].to(device), list(size), align_corners=False)


def _transform(images: Tensor, matrices: Tensor, padding: str) -> Tensor:
    """Images [N, C, H, W] warped by matrices [N, 3, 3], from output to input coordinates."""
    return F.grid_sample(images, _grid(matrices, images.shape, images.device), "bilinear", padding, align_corners=False)
