"""Paint every frame in the manner of a preset's painting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SMALLEST_CANVAS = 960 * 540  # pixels; smaller frames are painted at this area and scaled back
LARGEST_SCALE = 4.0  # for the sake of frames that are tiny or a line


@dataclass(frozen=True, slots=True)
class Style:
    """Paint each frame like a painting, with the preset's painter network."""

    preset: str = "vangogh"  # name of a preset, or its FILE.toml
    strength: float = 1.0  # share of the painting in the mix with the source, 0..1
    preserve_color: bool = False  # take only the light from the painting, the colours from the source

    def __post_init__(self) -> None:
        if not isinstance(self.preset, str) or not self.preset:
            raise StreamfxError(f"style: preset is {self.preset!r}, but must be a preset's name or FILE.toml")
        if isinstance(self.strength, bool) or not isinstance(self.strength, int | float) or not 0 <= self.strength <= 1:
            raise StreamfxError(f"style: strength is {self.strength!r}, but must be a number from 0 to 1")
        if not isinstance(self.preserve_color, bool):
            raise StreamfxError(f"style: preserve_color is {self.preserve_color!r}, but must be true or false")

    def build(self, device: torch.device) -> Step:
        """The step that paints; reads the preset now, and readies the network when the first frame of a size comes."""
        paint = _build_paint(self.preset, device)

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            yield frame if self.strength == 0 else frame.with_image(self._mix(frame.image, paint(frame.image)))

        return step

    def _mix(self, source: Tensor, painted: Tensor) -> Tensor:
        from streamfx.ops.color import keep_color

        if self.preserve_color:
            painted = keep_color(source, painted)
        return painted if self.strength == 1 else source.lerp(painted, self.strength)


def _build_paint(preset: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Image [3, H, W] -> painting [3, H, W], with one engine for each size met."""
    from streamfx.nets.engine import Engine, build_engine
    from streamfx.nets.painter import load_painter
    from streamfx.preset import load_preset

    painter = load_painter(load_preset(preset).weights)
    engines: dict[tuple[int, ...], Engine] = {}

    def paint(image: Tensor) -> Tensor:
        seen = _resized(image, _working_size(*image.shape[1:]))
        shape = (1, *seen.shape)
        if shape not in engines:
            engines[shape] = build_engine(painter, [shape], device)
        return _resized(engines[shape](seen.unsqueeze(0)).squeeze(0), tuple(image.shape[1:]))

    return paint


def _working_size(height: int, width: int) -> tuple[int, int]:
    """The size to paint at: strokes as large as those of a small frame would cover what it shows."""
    larger = min(LARGEST_SCALE, math.sqrt(SMALLEST_CANVAS / (height * width)))
    return (height, width) if larger <= 1 else (round(height * larger), round(width * larger))


def _resized(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """The image [3, H, W] at another size, 0..1."""
    from torch.nn.functional import interpolate

    if tuple(image.shape[1:]) == size:
        return image
    smaller = size[0] < image.shape[1]
    return interpolate(image[None], size, mode="bicubic", antialias=smaller)[0].clamp_(0, 1)
