"""Clips to practise on: photos that move, with things that cross them, and the exact motion of all of it."""

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

_STILL = 0.15  # share of the clips in which nothing moves but the camera's noise
_CROSSED = 0.5  # of those that move, by a thing in front
_LIT = 0.25  # share of the clips whose light wanders
_SLOWEST, _FASTEST = 0.1, 8.0  # pixels a frame
_ZOOM, _TURN = 0.015, math.radians(1.5)  # a frame, at most
_WANDER = 0.08  # of the light, a frame, at most
_ERROR = 0.25  # pixels; what a measured flow is off by, here and there
_DOUBT = 0.3  # share of the clips that are trusted less than they might be
_RIM = 7  # pixels; at the edges of what moves no measured flow is trusted


@dataclass(frozen=True, slots=True)
class Clip:
    """Some clips of as many frames side by side; their pictures lie where the photos do, the few numbers on the CPU."""

    given: Sequence[Tensor]  # [N, 3, H, W] 0..1, each frame as a camera sees it
    wanted: Sequence[Tensor]  # [N, 3, H, W] 0..1, without its noise
    light: Tensor  # [frames, N, 1, 1, 1], the gain of each frame
    ground: Tensor  # [frames, N, 3, 3], from a frame's coordinates (-1..1) to those of the photo
    thing: Tensor  # [frames, N, 3, 3], to those of the thing in front
    shape: Tensor  # [N, 1, H, W], 1 where the thing is

    def motion(self, at: int, before: int) -> tuple[Tensor, Tensor]:
        """(flow [N, 2, H, W] pixels, trust [N, 1, H, W] 0 or 1), exact, from frame `at` back to frame `before`."""
        by_ground = torch.linalg.solve(self.ground[before], self.ground[at])
        by_thing = torch.linalg.solve(self.thing[before], self.thing[at])
        size, device = self.shape.shape, self.shape.device
        covered = _seen(self.shape, self.thing[at], "zeros") > 0.5
        on_ground, on_thing = (_places(by, size, device) for by in (by_ground, by_thing))
        there = torch.where(covered.movedim(1, -1), on_thing, on_ground)  # [N, H, W, 2]
        hidden = (_seen(self.shape, self.thing[before] @ by_ground, "zeros") > 0.5) & ~covered
        inside = (there.abs() <= 1).all(-1).unsqueeze(1)
        here = _places(torch.eye(3).expand_as(by_ground), size, device)
        flow = ((there - here) * (size[-1] / 2)).movedim(-1, 1)
        return flow, (inside & ~hidden).to(flow)

    def brightened(self, at: int, before: int) -> Tensor:
        """By how much the luma [N, 1, H, W] of frame `at` has risen since `before`, the motion aside."""
        return luma(self.wanted[at]) * (1 - self.light[before] / self.light[at]).to(self.shape.device)


def build_clip(photos: list[Tensor], crop: int, batch: int, frames: int, chance: random.Random) -> Clip:
    """`batch` clips of `frames` frames of `crop` pixels a side; photos as `load_photos` gives them."""
    given, clean = build_batch(photos, crop, batch, chance)
    nothing = clean.new_zeros(batch, 1, crop, crop)
    if frames == 1:
        still = torch.eye(3).expand(1, batch, 3, 3)
        return Clip([given], [clean], torch.ones(1, batch, 1, 1, 1), still, still, nothing)
    noise = (given - clean).std((1, 2, 3), keepdim=True)
    maker = torch.Generator(clean.device).manual_seed(chance.getrandbits(32))
    moving = [chance.random() >= _STILL for _ in range(batch)]
    ground = _paths(moving, frames, crop, chance)
    crossed = [moves and chance.random() < _CROSSED for moves in moving]
    thing = _paths(crossed, frames, crop, chance)
    shape = torch.stack([_blob(crop, chance, maker) if crosses else none for crosses, none in zip(crossed, nothing)])
    lit = torch.tensor([float(chance.random() < _LIT) for _ in range(batch)])
    wander = torch.rand(frames, batch, generator=maker, device=clean.device).cpu()
    light = (1 + _WANDER * lit * (2 * wander - 1)).cumprod(0)
    light = light.view(frames, batch, 1, 1, 1)
    wanted = []
    for at in range(frames):
        image = _seen(clean, ground[at], "reflection")
        if any(crossed):
            front = _seen(clean.flip(0), thing[at], "reflection")
            image = torch.lerp(image, front, _seen(shape, thing[at], "zeros"))
        wanted.append((image * light[at].to(image.device)).clamp(0, 1))
    grains = (torch.randn(clean.shape, generator=maker, device=clean.device) for _ in wanted)
    seen = [(image + noise * grain).clamp(0, 1) for image, grain in zip(wanted, grains)]
    return Clip(seen, wanted, light, ground, thing, shape)


def as_measured(flow: Tensor, trust: Tensor, chance: random.Random) -> tuple[Tensor, Tensor]:
    """Flow and trust as `Clip.motion` gives them with the faults of measured ones; what is still, stays so."""
    count, _, height, width = flow.shape
    maker = torch.Generator().manual_seed(chance.getrandbits(32))
    moves = (flow.abs().amax((1, 2, 3), keepdim=True) > 0).to(flow)
    coarse = torch.randn(count, 2, height // 24 + 2, width // 24 + 2, generator=maker)
    flow = flow + moves * _ERROR * F.interpolate(coarse.to(flow.device), (height, width), mode="bilinear")
    trust = -F.max_pool2d(-trust, _RIM, 1, _RIM // 2)
    doubts = torch.tensor([float(chance.random() < _DOUBT) for _ in range(count)]).view(-1, 1, 1, 1)
    coarse = torch.rand(count, 1, height // 16 + 2, width // 16 + 2, generator=maker)
    doubt = (2 * F.interpolate(coarse.to(flow.device), (height, width), mode="bilinear")).clamp(0, 1)
    return flow, trust * torch.lerp(torch.ones_like(doubt), doubt, doubts.to(flow.device))


def _paths(moving: Sequence[bool], frames: int, crop: int, chance: random.Random) -> Tensor:
    """Steady moves, turns and zooms about the middle [frames, N, 3, 3], in coordinates of -1..1."""
    paths = torch.eye(3).repeat(frames, len(moving), 1, 1)
    for number, moves in enumerate(moving):
        if not moves:
            continue
        way = chance.uniform(0, 2 * math.pi)
        speed = math.exp(chance.uniform(math.log(_SLOWEST), math.log(_FASTEST))) * 2 / crop
        zoom, turn = (chance.choice((0.0, chance.uniform(-most, most))) for most in (_ZOOM, _TURN))
        for at in range(frames):
            scale, angle = (1 + zoom) ** at, turn * at
            cos, sin = scale * math.cos(angle), scale * math.sin(angle)
            x, y = at * speed * math.cos(way), at * speed * math.sin(way)
            paths[at, number] = torch.tensor([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])
    return paths


def _blob(crop: int, chance: random.Random, maker: torch.Generator) -> Tensor:
    """A rounded shape [1, crop, crop] of 1 on 0, up to half as wide as the picture."""
    radius = chance.uniform(0.15, 0.5)
    x, y = (torch.linspace(-1, 1, crop, device=maker.device) - chance.uniform(-0.5, 0.5) for _ in range(2))
    coarse = torch.rand(1, 1, 5, 5, generator=maker, device=maker.device)
    wave = F.interpolate(coarse, (crop, crop), mode="bicubic")[0]
    return (torch.hypot(x[None, :], y[:, None]) < radius * (0.5 + wave)).float()


def _places(moved: Tensor, size: Sequence[int], device: torch.device) -> Tensor:
    """Where matrices [N, 3, 3] move the pixels of pictures [N, C, H, W]: [N, H, W, 2], -1 and 1 at the edges."""
    return F.affine_grid(moved[:, :2].to(device), list(size), align_corners=False)


def _seen(images: Tensor, moved: Tensor, beyond: str) -> Tensor:
    """Pictures [N, C, H, W] seen through matrices [N, 3, 3]."""
    return F.grid_sample(images, _places(moved, images.shape, images.device), "bilinear", beyond, align_corners=False)
