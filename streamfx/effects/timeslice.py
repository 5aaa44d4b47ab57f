"""Slit-scan: one image composed of slices of successive frames."""

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
    """Delay one side of the image against the other, which bends and stretches moving content (slit-scan).

    The image is divided into slices, each one frame older than its neighbor, with a fade between them. Memory use is
    half of `frames` float16 images (5.5 MB each at 1280x720), or all of them if `frames` has a schedule.
    """

    frames: Annotated[int, Ge(2), Le(1000), SCHEDULABLE, Doc("Age of the oldest slice, frames")] = 40
    past: Annotated[
        Literal["left", "right", "top", "bottom"], Doc("Side of the oldest slice; the newest is opposite")
    ] = "right"

    def __post_init__(self) -> None:
        check(self)

    @property
    def warm_up(self) -> int:
        """Frames that the oldest slice lags behind."""
        return self.frames

    def build(self, device: torch.device) -> Step:
        """The step that slices; slices older than the shot show its first frame."""
        return _step(self._slice)

    def build_scheduled(self, device: torch.device) -> Step:
        """The same step for a `frames` with a schedule: it keeps whole images, as many as the largest value so far."""
        return _step(self._slice_whole)

    def _slice_whole(self, frame: Frame, memory: Memory) -> Frame:
        import torch

        now, first = cast(int, memory.get("now", 0)), cast(int, memory.get("first", 0))  # frames since the cut
        largest = max(cast(int, memory.get("largest", 0)), self.frames)
        image, slices, axis, backwards = self._split(frame)
        memory[f"frame {now}"] = image.to(torch.float16, copy=True)
        at = image.shape[axis] if backwards else 0
        for age, present in enumerate(slices):
            size = present.shape[axis]
            start, at = (at - size, at - size) if backwards else (at, at + size)
            newer, older = (
                cast("Tensor", memory[f"frame {max(first, now - lag)}"]).narrow(axis, start, size).to(image.dtype)
                for lag in (age, age + 1)
            )
            slices[age] = torch.lerp(present if age == 0 else newer, older, _ramp(present, axis, backwards))
        while now - first >= largest:
            del memory[f"frame {first}"]
            first += 1
        memory.update({"now": now + 1, "first": first, "largest": largest})
        return _join(frame, slices, axis, backwards)

    def _split(self, frame: Frame) -> tuple[Tensor, list[Tensor], int, bool]:
        """(image [3 or 4, H, W], its slices from newest to oldest, their axis, whether the newest is at the end)."""
        import torch

        image = frame.image if frame.alpha is None else torch.cat([frame.image, frame.alpha])
        axis = 2 if self.past in ("left", "right") else 1
        backwards = self.past in ("left", "top")
        slices = list(image.tensor_split(min(self.frames, image.shape[axis]), axis))
        return image, slices[::-1] if backwards else slices, axis, backwards

    def _slice(self, frame: Frame, memory: Memory) -> Frame:
        import torch

        now = cast(int, memory.get("now", 0))  # frames since the cut
        memory["now"] = now + 1
        image, slices, axis, backwards = self._split(frame)
        for age, present in enumerate(slices):
            memory[f"{age} {now}"] = present.to(torch.float16, copy=True)  # a view would keep the whole frame
            newer = present if age == 0 else cast("Tensor", memory[f"{age} {max(0, now - age)}"])
            older = cast("Tensor", memory[f"{age} {max(0, now - age - 1)}"])
            if now > age:
                del memory[f"{age} {now - age - 1}"]
            slices[age] = torch.lerp(newer.to(image.dtype), older.to(image.dtype), _ramp(present, axis, backwards))
        return _join(frame, slices, axis, backwards)


def _step(process: Callable[[Frame, Memory], Frame]) -> Step:
    def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
        if frame is None:
            return
        if frame.cut:
            memory.clear()
        yield process(frame, memory)

    return step


def _join(frame: Frame, slices: list[Tensor], axis: int, backwards: bool) -> Frame:
    """The frame with the image [3 or 4, H, W] joined from the slices."""
    import torch

    whole = torch.cat(slices[::-1] if backwards else slices, axis)
    return replace(frame, image=whole[:3], alpha=None if frame.alpha is None else whole[3:])


def _ramp(part: Tensor, axis: int, backwards: bool) -> Tensor:
    """Weights 0..1 of the older frame in a slice, per row or column."""
    import torch

    size = part.shape[axis]
    ramp = (torch.arange(size, device=part.device, dtype=part.dtype) + 0.5) / size
    ramp = ramp.flip(0) if backwards else ramp
    return ramp if axis == 2 else ramp[:, None]
