"""Paint every frame in the manner of a preset's painting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Style:
    """Paint each frame like a painting: the preset's painter network at the frame's own size."""

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
        shape = (1, *image.shape)
        if shape not in engines:
            engines[shape] = build_engine(painter, [shape], device)
        return engines[shape](image.unsqueeze(0)).squeeze(0)

    return paint
