"""Motion trails: moving content leaves a fading trail."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from annotated_types import Ge, Le
from typing_extensions import Doc

from streamfx.frame import Frame, Memory, Step
from streamfx.settings import check

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Trails:
    """Mix each frame with the previous output, so that moving content leaves a fading trail."""

    decay: Annotated[float, Ge(0), Le(1), Doc("Share of the previous output; 1 freezes the first frame")] = 0.9

    def __post_init__(self) -> None:
        check(self)

    @property
    def warm_up(self) -> float:
        """Frames after which an earlier frame's share is below half an 8-bit level."""
        return 0 if self.decay == 0 else math.inf if self.decay == 1 else math.ceil(math.log(1 / 510, self.decay))

    def build(self, device: torch.device) -> Step:
        """The step that mixes; a cut resets it."""

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            last = None if frame.cut else cast("Tensor | None", memory.get("last"))
            mixed = frame.image if last is None else frame.image.lerp(last, self.decay)
            memory["last"] = mixed
            yield frame.with_image(mixed)

        return step
