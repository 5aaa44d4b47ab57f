"""An effect that shows the source and the result of a chain side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

from streamfx.chain import chain_text
from streamfx.effects import defaults
from streamfx.frame import Effect, Frame, Memory, Step
from streamfx.pipeline import apply_steps, flush_steps

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Compare:
    """The source at the left and the result of `chain` at the right, at the times of the result.

    A source of another size is scaled to that of the result. Source frames that the chain has not answered yet are
    kept in memory.
    """

    chain: tuple[Effect, ...]

    @property
    def segment_length(self) -> int:
        return min(map(defaults.segment_length, self.chain), default=300)

    @property
    def working_pixels(self) -> float | None:
        known = [pixels for pixels in map(defaults.working_pixels, self.chain) if pixels is not None]
        return max(known) if known and len(known) == len(self.chain) else None

    @property
    def uses_all_cores(self) -> bool:
        return any(map(defaults.uses_all_cores, self.chain))

    @property
    def prefers_speed(self) -> bool:
        return any(map(defaults.prefers_speed, self.chain))

    def describe(self) -> str:
        """The chain as text, for the settings that are written to the file."""
        return f"compare({chain_text(self.chain)})"

    def input_files(self) -> list[Path]:
        return [file for effect in self.chain for file in defaults.input_files(effect)]

    def resolve(self, device: torch.device, start: Fraction) -> Compare:
        return Compare(tuple(defaults.resolve(effect, device, start) for effect in self.chain))

    def at_rate(self, rate: Fraction) -> Compare:
        return Compare(tuple(defaults.at_rate(effect, rate) for effect in self.chain))

    def build(self, device: torch.device) -> Step:
        """A step that runs the steps of the chain, each with its part of the memory."""
        steps = [effect.build(device) for effect in self.chain]

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            parts = [_Part(memory, f"{number}: ") for number in range(len(steps))]
            sources = _Sources(memory)
            if frame is not None:
                sources.append(frame)
            results = flush_steps(steps, parts) if frame is None else apply_steps(steps, parts, frame)
            for result in results:
                yield _beside(*sources.at(result.pts), result)

        return step


class _Part(MutableMapping[str, "Tensor | int | Fraction | str"]):
    """The entries of a memory whose keys begin with `prefix`."""

    def __init__(self, memory: Memory, prefix: str) -> None:
        self._memory, self._prefix = memory, prefix

    def __getitem__(self, key: str) -> Tensor | int | Fraction | str:
        return self._memory[self._prefix + key]

    def __setitem__(self, key: str, value: Tensor | int | Fraction | str) -> None:
        self._memory[self._prefix + key] = value

    def __delitem__(self, key: str) -> None:
        del self._memory[self._prefix + key]

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return iter([key[start:] for key in self._memory if key.startswith(self._prefix)])

    def __len__(self) -> int:
        return sum(key.startswith(self._prefix) for key in self._memory)


class _Sources:
    """Source frames in a memory, in the order of their times."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._first, self._end = cast(int, memory.get("first", 0)), cast(int, memory.get("end", 0))

    def append(self, frame: Frame) -> None:
        number = self._end
        self._memory.update({f"image {number}": frame.image, f"pts {number}": frame.pts})
        if frame.alpha is not None:
            self._memory[f"alpha {number}"] = frame.alpha
        self._end = self._memory["end"] = number + 1

    def at(self, pts: Fraction) -> tuple[Tensor, Tensor | None]:
        """Image and alpha of the frame shown at `pts`; earlier frames are dropped."""
        memory = self._memory
        while self._first + 1 < self._end and cast(Fraction, memory[f"pts {self._first + 1}"]) <= pts:
            for key in ("image", "pts", "alpha"):
                memory.pop(f"{key} {self._first}", None)
            self._first = memory["first"] = self._first + 1
        alpha = memory.get(f"alpha {self._first}")
        return cast("Tensor", memory[f"image {self._first}"]), cast("Tensor | None", alpha)


def _beside(source: Tensor, source_alpha: Tensor | None, result: Frame) -> Frame:
    """The frame [3, H, 2 W] with the source at the left of the result."""
    import torch

    size = (result.image.shape[1], result.image.shape[2])
    image = torch.cat([_resized(source, size), result.image], dim=2)
    if source_alpha is None and result.alpha is None:
        return result.with_image(image)
    opaque = torch.ones_like(result.image[:1])
    left = opaque if source_alpha is None else _resized(source_alpha, size)
    right = opaque if result.alpha is None else result.alpha
    return replace(result, image=image, alpha=torch.cat([left, right], dim=2))


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    from torch.nn.functional import interpolate

    if tuple(image.shape[1:]) == size:
        return image
    return interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
