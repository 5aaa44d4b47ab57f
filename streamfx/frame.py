"""The frame type, and the interfaces of effects, steps and sinks."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Frame:
    """One image with its time. `image` is never written in place: steps may keep a reference."""

    image: Tensor  # [3, H, W] float, RGB, 0..1, display-referred, on the run's device
    pts: Fraction  # seconds, exact
    duration: Fraction  # seconds, exact
    cut: bool = False  # first frame of a new shot: state from earlier frames must not be used
    alpha: Tensor | None = None  # [1, H, W] float 0..1, where the source has it

    def with_image(self, image: Tensor) -> Frame:
        """A copy with the same time and another image [3, H, W]."""
        return replace(self, image=image)

    def _repr_png_(self) -> bytes:
        """The image as a PNG file of 8 bits, with alpha if there is any: how notebooks show a frame."""
        import io

        import torch
        from PIL import Image

        planes = self.image if self.alpha is None else torch.cat([self.image, self.alpha])
        pixels = (planes.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()


# the state of one step in a chain; empty at the start
Memory: TypeAlias = "MutableMapping[str, Tensor | int | Fraction | str]"


def memory_tensor(memory: Memory, key: str) -> Tensor:
    """The tensor in `memory` under `key`."""
    import torch

    value = memory[key]
    assert isinstance(value, torch.Tensor)
    return value


class Step(Protocol):
    """A running effect: called once per input frame, and once with None at the end; returns 0..n frames.

    State between calls lives in `memory`, which the run owns and which is empty at the start.
    """

    def __call__(self, frame: Frame | None, memory: Memory) -> Iterable[Frame]: ...


class Effect(Protocol):
    """A frozen description of settings."""

    def build(self, device: torch.device) -> Step:
        """The step that applies these settings on `device`; it captures expensive constants such as weights."""
        ...


class Sink(Protocol):
    """Anything that accepts finished frames."""

    def write(self, frame: Frame) -> None: ...
