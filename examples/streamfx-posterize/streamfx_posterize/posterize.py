"""Posterize: few levels of each color, held steady over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le
from typing_extensions import Doc

from streamfx.frame import Frame, Memory, Step, memory_tensor
from streamfx.settings import SCHEDULABLE, check

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Posterize:
    """Reduce each color to a few levels."""

    levels: Annotated[int, Ge(2), Le(64), SCHEDULABLE, Doc("Levels of each color")] = 4
    hold: Annotated[float, Ge(0), Le(0.95), Doc("Share of the previous frame, against flicker")] = 0.0

    def __post_init__(self) -> None:
        check(self)

    def build(self, device: torch.device) -> Step:
        """A step that keeps the previous frame in its memory."""

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:  # the end: nothing is left to return
                return
            if frame.cut:
                memory.clear()
            image = frame.image
            if "previous" in memory:
                image = image.lerp(memory_tensor(memory, "previous"), self.hold)
            memory["previous"] = image
            yield frame.with_image((image * (self.levels - 1)).round() / (self.levels - 1))

        return step
