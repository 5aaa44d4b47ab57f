"""Show the past and the present side by side in one picture (slit-scan)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, cast

from annotated_types import Ge, Le
from typing_extensions import Doc

from streamfx.frame import Frame, Memory, Step
from streamfx.settings import SCHEDULABLE, check

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Timeslice:
    """Let one side of the picture lag behind the other, so that whatever moves is bent and stretched (slit-scan).

    The picture is cut into slices, each a frame older than its neighbour, with a fade between them. Memory stays
    at half of `frames` pictures of 16-bit numbers, 5.5 MB each at 1280x720, or at all of them where it has a schedule.
    """

    frames: Annotated[int, Ge(2), Le(1000), SCHEDULABLE, Doc("How many frames into the past the image reaches")] = 40
    past: Annotated[
        Literal["left", "right", "top", "bottom"], Doc("Side of the oldest slice; the newest is opposite")
    ] = "right"

    def __post_init__(self) -> None:
        check(self)

    def build(self, device: torch.device) -> Step:
        """The step that slices; where the film is too young for a slice, that shows the first frame of the shot."""
        return _step(self._sliced)

    def build_moving(self, device: torch.device) -> Step:
        """The same where `frames` may change: whole pictures are kept, as many as were ever asked for."""
        return _step(self._gathered)

    def _gathered(self, frame: Frame, memory: Memory) -> Frame:
        import torch

        now, first = cast(int, memory.get("now", 0)), cast(int, memory.get("first", 0))  # frames since the cut
        most = max(cast(int, memory.get("most", 0)), self.frames)
        picture, slices, axis, backwards = self._cut(frame)
        memory[f"whole {now}"] = picture.to(torch.float16, copy=True)
        at = picture.shape[axis] if backwards else 0
        for age, present in enumerate(slices):
            size = present.shape[axis]
            start, at = (at - size, at - size) if backwards else (at, at + size)
            newer, older = (
                cast("Tensor", memory[f"whole {max(first, now - late)}"]).narrow(axis, start, size).to(picture.dtype)
                for late in (age, age + 1)
            )
            slices[age] = torch.lerp(present if age == 0 else newer, older, _ramp(present, axis, backwards))
        while now - first >= most:
            del memory[f"whole {first}"]
            first += 1
        memory.update({"now": now + 1, "first": first, "most": most})
        return _joined(frame, slices, axis, backwards)

    def _cut(self, frame: Frame) -> tuple[Tensor, list[Tensor], int, bool]:
        """The picture [3 or 4, H, W], its slices from now to the past, along which axis, and whether from its end."""
        import torch

        picture = frame.image if frame.alpha is None else torch.cat([frame.image, frame.alpha])
        axis = 2 if self.past in ("left", "right") else 1
        backwards = self.past in ("left", "top")
        slices = list(picture.tensor_split(min(self.frames, picture.shape[axis]), axis))
        return picture, slices[::-1] if backwards else slices, axis, backwards

    def _sliced(self, frame: Frame, memory: Memory) -> Frame:
        import torch

        now = cast(int, memory.get("now", 0))  # frames since the cut
        memory["now"] = now + 1
        picture, slices, axis, backwards = self._cut(frame)
        for age, present in enumerate(slices):
            memory[f"{age} {now}"] = present.to(torch.float16, copy=True)  # a view would keep the whole frame
            newer = present if age == 0 else cast("Tensor", memory[f"{age} {max(0, now - age)}"])
            older = cast("Tensor", memory[f"{age} {max(0, now - age - 1)}"])
            if now > age:
                del memory[f"{age} {now - age - 1}"]
            slices[age] = torch.lerp(newer.to(picture.dtype), older.to(picture.dtype), _ramp(present, axis, backwards))
        return _joined(frame, slices, axis, backwards)


def _step(made: Callable[[Frame, Memory], Frame]) -> Step:
    def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
        if frame is None:
            return
        if frame.cut:
            memory.clear()
        yield made(frame, memory)

    return step


def _joined(frame: Frame, slices: list[Tensor], axis: int, backwards: bool) -> Frame:
    """The frame with the picture that the slices make."""
    import torch

    whole = torch.cat(slices[::-1] if backwards else slices, axis)
    return replace(frame, image=whole[:3], alpha=None if frame.alpha is None else whole[3:])


def _ramp(part: Tensor, axis: int, backwards: bool) -> Tensor:
    """How far each row or column of a slice is on its way from its own age to the next, 0..1."""
    import torch

    size = part.shape[axis]
    ramp = (torch.arange(size, device=part.device, dtype=part.dtype) + 0.5) / size
    ramp = ramp.flip(0) if backwards else ramp
    return ramp if axis == 2 else ramp[:, None]
