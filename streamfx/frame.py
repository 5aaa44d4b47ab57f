"""A picture in time, and the shapes of everything that makes, changes or takes one."""

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
    """One picture and its place in time. `image` is never written in place: steps may keep it."""

    image: Tensor  # [3, H, W] float, RGB, 0..1, display-referred, on the run's device
    pts: Fraction  # seconds, exact
    duration: Fraction  # seconds, exact
    cut: bool = False  # first frame of a new shot: pictures remembered from before it mean nothing now
    alpha: Tensor | None = None  # [1, H, W] float 0..1, where the source has it

    def with_image(self, image: Tensor) -> Frame:
        """The same moment with another picture [3, H, W]."""
        return replace(self, image=image)


# of one effect at one place in a chain; empty at the start
Memory: TypeAlias = "MutableMapping[str, Tensor | int | Fraction | str]"


class Step(Protocol):
    """An effect at work: called once per input frame, and once with None at the end; returns 0..n frames.

    What it remembers between calls lives in `memory`, which the run owns and which is empty at the start.
    """

    def __call__(self, frame: Frame | None, memory: Memory) -> Iterable[Frame]: ...


class Effect(Protocol):
    """A frozen description of settings."""

    def build(self, device: torch.device) -> Step:
        """The step that applies these settings to frames on `device`; captures what is costly and constant."""
        ...


class Sink(Protocol):
    """Anything that takes finished frames."""

    def write(self, frame: Frame) -> None: ...
