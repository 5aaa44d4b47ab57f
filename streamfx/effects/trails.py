"""Let everything that moves draw a fading trail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Trails:
    """Mix each frame with a fading memory of the ones before it."""

    decay: float = 0.9  # share of the memory kept per frame, 0..1; 0 keeps nothing, 1 stays with the first frame

    def __post_init__(self) -> None:
        if isinstance(self.decay, bool) or not isinstance(self.decay, int | float) or not 0 <= self.decay <= 1:
            raise StreamfxError(f"trails: decay is {self.decay!r}, but must be a number from 0 to 1")

    def build(self, device: torch.device) -> Step:
        """The step that mixes; it remembers its last picture, and forgets it at a cut."""

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            last = None if frame.cut else cast("Tensor | None", memory.get("last"))
            mixed = frame.image if last is None else frame.image.lerp(last, self.decay)
            memory["last"] = mixed
            yield frame.with_image(mixed)

        return step
