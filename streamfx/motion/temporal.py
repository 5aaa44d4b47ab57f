"""What was painted before, brought to where it belongs now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.frame import Memory
from streamfx.motion.flow import Motion
from streamfx.ops.warp import enlarge, split_trust, warp

_LOOK_BACK = Fraction(1)  # seconds; the older picture is one to two times that old
_CELLS = 18, 32  # rows and columns of parts of a frame; one that the last frame leaves nearly unexplained is a gap
_GAPS = 3  # parts, from how many on it is worth to look further back
_FINE = 4  # pixels, of the steps in which shares are told
_BETTER = 0.3  # by so much must an older picture be trusted more than the last

Follow = Callable[[Tensor, Tensor], Motion]  # previous image, current image [3, H, W]


@dataclass(frozen=True, slots=True)
class Prior:
    """A painting made before, in the places of the present frame."""

    warped: Tensor  # [3, H, W] RGB 0..1
    trust: Tensor  # [1, H, W] 0..1
    share: Tensor  # [1, H, W] 0..1, of it that stays as it is
    followed: Tensor  # [1, h, w] `follow`, smaller

    @property
    def follow(self) -> Tensor:
        """[1, H, W] 0..1, how far the painter is to follow it."""
        return enlarge(self.followed, (self.trust.shape[1], self.trust.shape[2]))


def follow_past(memory: Memory, seen: Tensor, size: tuple[int, int], follow: Follow) -> dict[str, Motion]:
    """Where the parts of the frame `seen` [3, h, w] were in the frames remembered, by the age of these.

    The motions are for paintings of `size` (H, W), whatever the size at which the frame is seen.
    Only where there are gaps, which the last frame does not explain, is an older one asked: what was hidden for a
    moment gets its strokes back (the long-term consistency of Ruder et al. 2016).
    """
    last = memory.get("last.seen")
    if not isinstance(last, Tensor) or last.shape != seen.shape:
        memory.clear()
        return {}
    motion = follow(last, seen)
    motions = {"last": _scaled(motion, size)}
    old = memory.get("old.seen")
    if isinstance(old, Tensor) and (F.adaptive_avg_pool2d(_finely(motion.trust), _CELLS) < 0.1).sum() >= _GAPS:
        motions["old"] = _scaled(follow(old, seen), size)
    return motions


def find_prior(memory: Memory, name: str, motions: Mapping[str, Motion]) -> Prior | None:
    """The painting called `name` as these motions bring it here; None where there is none to bring."""
    found: Prior | None = None
    for age, motion in motions.items():
        painted = memory.get(f"{age}.{name}")
        if isinstance(painted, Tensor):
            height, width = motion.trust.shape[-2:]
            if painted.shape[-2:] != (height, width):  # the canvas is another one since
                painted = enlarge(painted, (height, width))
            prior = bring(painted, motion)
            found = prior if found is None else _best(found, prior)
    return found


def remember(memory: Memory, seen: Tensor, paintings: Mapping[str, Tensor], pts: Fraction) -> None:
    """Keep the frame `seen` and the `paintings` of it, [3, H, W] each, by name; forget those that are too old."""
    _put(memory, "last", seen, paintings)
    since = memory.get("young.pts")
    if not isinstance(since, Fraction):
        memory["young.pts"] = pts
        _put(memory, "young", seen, paintings)
    elif pts - since >= _LOOK_BACK:
        _put(memory, "old", *_get(memory, "young"))
        memory["young.pts"] = pts
        _put(memory, "young", seen, paintings)


def _put(memory: Memory, age: str, seen: Tensor, paintings: Mapping[str, Tensor]) -> None:
    for key in [key for key in memory if key.startswith(f"{age}.") and key != f"{age}.pts"]:
        del memory[key]
    memory[f"{age}.seen"] = seen
    for name, painted in paintings.items():
        memory[f"{age}.{name}"] = painted


def _get(memory: Memory, age: str) -> tuple[Tensor, dict[str, Tensor]]:
    kept = {key.partition(".")[2]: value for key, value in memory.items() if key.startswith(f"{age}.")}
    pictures = {name: value for name, value in kept.items() if isinstance(value, Tensor)}
    return pictures.pop("seen"), pictures


def bring(painted: Tensor, motion: Motion) -> Prior:
    """The painting [3, H, W], of the previous frame, in the places of the present one."""
    followed, share = split_trust(_finely(motion.flow), _finely(motion.trust))  # small: shares are smooth
    size = painted.shape[1], painted.shape[2]
    return Prior(warp(painted, motion.flow), motion.trust, enlarge(share, size), followed)


def _finely(field: Tensor) -> Tensor:
    """Every so many pixels of [C, H, W]."""
    return field[:, ::_FINE, ::_FINE].contiguous()


def _best(first: Prior, second: Prior) -> Prior:
    """The first, but where the second is to be trusted more by far."""
    where = second.trust > first.trust + _BETTER
    return Prior(
        torch.where(where, second.warped, first.warped),
        torch.where(where, second.trust, first.trust),
        torch.where(where, second.share, first.share),
        torch.where(_finely(where), second.followed, first.followed),
    )


def _scaled(motion: Motion, size: tuple[int, int]) -> Motion:
    """The motion as pictures of `size` (H, W) show it."""
    height, width = motion.trust.shape[-2:]
    if (height, width) == size:
        return motion
    scale = motion.flow.new_tensor([size[1] / width, size[0] / height]).view(2, 1, 1)
    return Motion(enlarge(motion.flow, size).mul_(scale), enlarge(motion.trust, size))
