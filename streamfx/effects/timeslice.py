"""Show the past and the present side by side in one picture (slit-scan)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIDES = ("left", "right", "top", "bottom")


@dataclass(frozen=True, slots=True)
class Timeslice:
    """Cut the picture into slices, each one frame older than its neighbour, so that motion bends shapes (slit-scan).

    Memory stays at half of `frames` pictures of 16-bit numbers: 5.5 MB each at 1280x720.
    """

    frames: int = 40  # number of slices, and how many frames into the past the last one reaches, 2..1000
    past: str = "right"  # side where the past lies: left, right, top or bottom; now is at the other

    def __post_init__(self) -> None:
        if isinstance(self.frames, bool) or not isinstance(self.frames, int) or not 2 <= self.frames <= 1000:
            raise StreamfxError(f"timeslice: frames is {self.frames!r}, but must be a whole number from 2 to 1000")
        if self.past not in SIDES:
            raise StreamfxError(f"timeslice: past is {self.past!r}, but must be {', '.join(SIDES[:-1])} or {SIDES[-1]}")

    def build(self, device: torch.device) -> Step:
        """The step that slices; where the film is too young for a slice, that shows the first frame of the shot."""

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            if frame.cut:
                memory.clear()
            yield self._sliced(frame, memory)

        return step

    def _sliced(self, frame: Frame, memory: Memory) -> Frame:
        import torch

        now = cast(int, memory.get("now", 0))  # frames since the cut
        memory["now"] = now + 1
        picture = frame.image if frame.alpha is None else torch.cat([frame.image, frame.alpha])  # [3 or 4, H, W]
        axis = 2 if self.past in ("left", "right") else 1
        slices = list(picture.tensor_split(min(self.frames, picture.shape[axis]), axis))
        if self.past in ("left", "top"):
            slices.reverse()
        for age, present in enumerate(slices):
            if age == 0:
                continue
            memory[f"{age} {now}"] = present.to(torch.float16, copy=True)  # a view would keep the whole frame
            key = f"{age} {max(0, now - age)}"
            past = memory.pop(key) if now >= age else memory[key]
            slices[age] = cast("Tensor", past).to(picture.dtype)
        if self.past in ("left", "top"):
            slices.reverse()
        whole = torch.cat(slices, axis)
        return replace(frame, image=whole[:3], alpha=None if frame.alpha is None else whole[3:])
