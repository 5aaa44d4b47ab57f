"""Motion trails: everything that moves leaves a fading trail."""

from __future__ import annotations

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
    """Mix each frame with a fading memory of the frames before it."""

    decay: Annotated[float, Ge(0), Le(1), Doc("Share of the memory kept per frame; 1 stays with the first frame")] = 0.9

    def __post_init__(self) -> None:
        check(self)

    def build(self, device: torch.device) -> Step:
        """The step that mixes; it remembers its last image, and forgets it at a cut."""

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            last = None if frame.cut else cast("Tensor | None", memory.get("last"))
            mixed = frame.image if last is None else frame.image.lerp(last, self.decay)
            memory["last"] = mixed
            yield frame.with_image(mixed)

        return step
