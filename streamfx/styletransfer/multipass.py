"""Paint a shot in several passes, to and fro, so that what was painted first follows what came later, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias

from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory
from streamfx.motion.flow import Estimate
from streamfx.motion.temporal import Prior, bring

LONGEST = 250  # frames of a shot, that are all kept in memory

# frame, the last painting brought here, and the painting of it that the pass before left -> painting, [3, H, W] all
Repaint: TypeAlias = Callable[[Tensor, Prior | None, Tensor | None], Tensor]


def paint_shot(frames: Sequence[Tensor], repaint: Repaint, motion: Estimate, passes: int) -> list[Tensor]:
    """Paintings of the `frames` of one shot, [3, H, W] each (Ruder et al. 2016, the multi-pass algorithm).

    Every pass but the first starts from the paintings that the one before left, and goes the other way.
    """
    painted: list[Tensor | None] = [None] * len(frames)
    for number in range(passes):
        order = range(len(frames)) if number % 2 == 0 else reversed(range(len(frames)))
        last: tuple[Tensor, Tensor] | None = None  # a frame and its painting
        for at in order:
            prior = None if last is None else bring(last[1], motion(last[0], frames[at]))
            painted[at] = made = repaint(frames[at], prior, painted[at])
            last = frames[at], made
    return [each for each in painted if each is not None]


def hold(memory: Memory, frame: Frame) -> None:
    """Keep a frame of the shot. Raises StreamfxError where there are too many."""
    count = _count(memory)
    if count >= LONGEST:
        raise StreamfxError(
            f"several passes keep a shot in memory, and this one has more than {LONGEST} frames; take one pass, or cut "
            "it shorter with --from and --to"
        )
    memory["count"] = count + 1
    for name in ("image", "pts", "duration"):
        memory[f"{count}.{name}"] = getattr(frame, name)
    if frame.alpha is not None:
        memory[f"{count}.alpha"] = frame.alpha


def held(memory: Memory) -> Iterator[Frame]:
    """The frames that are kept, in order."""
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
