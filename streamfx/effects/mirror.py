"""Flip the image horizontally."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from streamfx.frame import Frame, Memory, Step

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Mirror:
    """Flip the image horizontally."""

    warm_up: ClassVar = 0

    def build(self, device: torch.device) -> Step:
        """The step that mirrors image and alpha."""

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            alpha = None if frame.alpha is None else frame.alpha.flip(-1)
            yield replace(frame, image=frame.image.flip(-1), alpha=alpha)

        return step
