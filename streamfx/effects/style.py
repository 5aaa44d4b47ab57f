"""Paint every frame in the manner of a preset's painter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamfx.errors import StreamfxError, unknown
from streamfx.frame import Frame, Memory, Step

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CANVAS = 1280 * 720  # pixels; frames of every size are painted at this area, and so with strokes of one size
NEAR = 1.12  # of a frame's side to the canvas's; what is nearer is painted as it is
BLACK, WHITE = 0.25 / 255, 1 - 0.25 / 255  # of a mask; what is all beyond them needs only one painting
DUSK, GLARE = 0.1, 0.92  # mean luma of frames; what is darker or brighter fades, and its painting with it
LATEST = 10**7  # seconds
LARGEST_SCALE = 6.0  # for the sake of frames that are tiny or a line


@dataclass(frozen=True, slots=True)
class Style:
    """Paint each frame like a painting, with the preset's painter network."""

    preset: str = "vangogh"  # name of a preset, its FILE.toml, or a blend: vangogh:0.6,munch:0.4
    strength: float = 1.0  # share of the painting in the mix with the source, 0..1
    preserve_color: bool = False  # take only the light from the painting, the colours from the source
    stroke: float = 1.0  # size of the strokes, relative to the frame's, 0.5..2
    quality: str = "fine"  # fine, or fast: a smaller network
    mask: str = ""  # picture or video: paint where it is white
    mask_preset: str = ""  # the preset for where it is black; else the source stays
    mask_start: Fraction = Fraction(0)  # second of a mask video at which the film begins

    def __post_init__(self) -> None:
        for name, value in (("mask", self.mask), ("mask_preset", self.mask_preset)):
            if not isinstance(value, str):
                raise StreamfxError(f"style: {name} is {value!r}, but must be a text")
        if not isinstance(self.preset, str) or not self.preset:
            raise StreamfxError(f"style: preset is {self.preset!r}, but must be a preset's name or FILE.toml")
        for name, number, low, high in (("strength", self.strength, 0, 1), ("stroke", self.stroke, 0.5, 2)):
            if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
                raise StreamfxError(f"style: {name} is {number!r}, but must be a number from {low} to {high}")
        if not isinstance(self.preserve_color, bool):
            raise StreamfxError(f"style: preserve_color is {self.preserve_color!r}, but must be true or false")
        if self.quality not in ("fine", "fast"):
            raise unknown("quality of style", str(self.quality), ("fine", "fast"))
        if self.mask_preset and not self.mask:
            raise StreamfxError("style: mask_preset is for the black of a mask; give the mask as well")
        if not isinstance(self.mask_start, int | Fraction) or not 0 <= self.mask_start <= LATEST:
            raise StreamfxError(f"style: mask_start is {self.mask_start}, but must be seconds from 0 to {LATEST}")

    def build(self, device: torch.device) -> Step:
        """The step that paints; reads the presets now, and readies the network when the first frame of a size comes."""
        paint = self._build_paint(self.preset, device)
        paint_black = self._build_paint(self.mask_preset, device) if self.mask_preset else None
        if self.mask:
            from streamfx.media.mask import Mask

            mask = Mask(self.mask)
        else:
            mask = None

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            if self.strength == 0:
                yield frame
                return
            image = frame.image
            where = None if mask is None else mask.at(frame.pts + self.mask_start, image)
            if where is None or where.min() >= WHITE:
                yield frame.with_image(self._mix(image, paint(image)))
                return
            ground = image if paint_black is None else self._mix(image, paint_black(image))
            if where.max() > BLACK:
                ground = ground.lerp(self._mix(image, paint(image)), where)
            yield frame.with_image(ground)

        return step

    def _mix(self, source: Tensor, painted: Tensor) -> Tensor:
        from streamfx.ops.color import keep_color

        painted = _exposed(source, painted)
        if self.preserve_color:
            painted = keep_color(source, painted)
        return painted if self.strength == 1 else source.lerp(painted, self.strength)

    def _build_paint(self, preset: str, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Image [3, H, W] -> painting [3, H, W], with one engine for each size met."""
        from streamfx.nets.engine import Engine, build_engine
        from streamfx.nets.painter import mix_painters
        from streamfx.preset import load_preset, parse_blend

        blend = [(load_preset(name), share) for name, share in parse_blend(preset)]
        painter, numbers = mix_painters([(p.weights(self.quality), p.name, share) for p, share in blend])
        numbers = numbers.to(device)
        engines: dict[tuple[int, ...], Engine] = {}

        def paint(image: Tensor) -> Tensor:
            seen = _resized(image, canvas_size(image.shape[1], image.shape[2], self.stroke))
            shape = (1, *seen.shape)
            if shape not in engines:
                engines[shape] = build_engine(painter, [shape, tuple(numbers.shape)], device)
            painted = engines[shape](seen.unsqueeze(0), numbers).squeeze(0)
            if painted.shape[1] < image.shape[1]:
                painted = _without_grain(painted)
            return _resized(painted, tuple(image.shape[1:]))

        return paint


def canvas_size(height: int, width: int, stroke: float) -> tuple[int, int]:
    """The size to paint a frame at: strokes of `stroke` cover as much of what it shows at every size."""
    scale = min(LARGEST_SCALE, math.sqrt(CANVAS / (height * width)) / stroke)
    if 1 / NEAR < scale < NEAR:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def _without_grain(painted: Tensor) -> Tensor:
    """The painting [3, H, W] without what alternates from pixel to pixel: enlarged, it would lie over the strokes."""
    from torch.nn.functional import avg_pool2d, pad

    return avg_pool2d(avg_pool2d(pad(painted[None], (1, 1, 1, 1), mode="replicate"), 2, 1), 2, 1)[0]  # 1 2 1 both ways


def _exposed(source: Tensor, painted: Tensor) -> Tensor:
    """The painting, fading to black or white where the source does: a painter with norms cannot see that."""
    from streamfx.ops.color import luma

    light = luma(source[:, ::4, ::4]).mean().item()
    if light < DUSK:
        return painted * (light / DUSK)
    return painted if light <= GLARE else 1 - (1 - painted) * ((1 - light) / (1 - GLARE))


def _resized(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """The image [3, H, W] at another size, 0..1."""
    from torch.nn.functional import interpolate

    if tuple(image.shape[1:]) == size:
        return image
    smaller = size[0] < image.shape[1]
    return interpolate(image[None], size, mode="bicubic", antialias=smaller)[0].clamp_(0, 1)
