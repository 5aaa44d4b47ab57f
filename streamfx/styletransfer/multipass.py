"""Stylize a shot in several passes, alternately forward and backward, so that early frames match later ones too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias

from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory
from streamfx.motion.occlusion import Estimate
from streamfx.motion.temporal import WarpedFrame, warp_frame

MAX_FRAMES = 250  # of a shot; all are kept in memory

# (frame, warped stylized neighbor, result of the pass before) -> stylized frame; all images [3, H, W]
StylizeFrame: TypeAlias = Callable[[Tensor, WarpedFrame | None, Tensor | None], Tensor]


def stylize_shot(frames: Sequence[Tensor], stylize: StylizeFrame, motion: Estimate, passes: int) -> list[Tensor]:
    """Stylize the `frames` [3, H, W] of one shot with the multi-pass algorithm (Ruder et al. 2016).

    Passes alternate in direction, and each one after the first refines the results of the previous pass.
    """
    results: list[Tensor | None] = [None] * len(frames)
    for number in range(passes):
        order = range(len(frames)) if number % 2 == 0 else reversed(range(len(frames)))
        previous: tuple[Tensor, Tensor] | None = None  # a frame and its stylized frame
        for index in order:
            warped = None if previous is None else warp_frame(previous[1], motion(previous[0], frames[index]))
            results[index] = result = stylize(frames[index], warped, results[index])
            previous = frames[index], result
    return [result for result in results if result is not None]


def store_frame(memory: Memory, frame: Frame) -> None:
    """Append a frame of the shot. Raises StreamfxError after MAX_FRAMES frames."""
    count = _count(memory)
    if count >= MAX_FRAMES:
        raise StreamfxError(
            f"a shot has more than {MAX_FRAMES} frames, the limit for several passes; use one pass, or a shorter part "
            "with --from and --to"
        )
    memory["count"] = count + 1
    for name in ("image", "pts", "duration"):
        memory[f"{count}.{name}"] = getattr(frame, name)
    if frame.alpha is not None:
        memory[f"{count}.alpha"] = frame.alpha


def stored_frames(memory: Memory) -> Iterator[Frame]:
    """The stored frames, in order."""
    for number in range(_count(memory)):
        image, alpha = memory[f"{number}.image"], memory.get(f"{number}.alpha")
        pts, duration = memory[f"{number}.pts"], memory[f"{number}.duration"]
        assert isinstance(image, Tensor)
        assert isinstance(pts, Fraction)
        assert isinstance(duration, Fraction)
        yield Frame(image, pts, duration, alpha=alpha if isinstance(alpha, Tensor) else None)


def _count(memory: Memory) -> int:
    count = memory.get("count", 0)
    assert isinstance(count, int)
    return count
