"""Previous stylized frames, warped to the current frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.frame import Memory
from streamfx.motion.occlusion import Estimate, Motion
from streamfx.ops.resize import enlarge
from streamfx.ops.warp import split_confidence, warp

_LOOK_BACK = Fraction(1)  # seconds; the older frame is one to two times that old
_CELLS = 18, 32  # rows and columns of cells; cells with low mean confidence count as disoccluded
_MIN_DISOCCLUDED = 3  # cells, from which an older frame is used
_SUBSAMPLING = 4  # pixels; shares vary slowly
_MARGIN = 0.3  # by which the confidence in the older frame must exceed that in the last


@dataclass(frozen=True, slots=True)
class WarpedFrame:
    """A previous stylized frame, warped to the current frame."""

    warped: Tensor  # [3, H, W] RGB 0..1
    confidence: Tensor  # [1, H, W] 0..1, of the flow
    share: Tensor  # [1, H, W] 0..1, share of `warped` to blend into the new stylized frame
    moving_small: Tensor  # [1, h, w], `moving` at reduced size

    @property
    def moving(self) -> Tensor:
        """[1, H, W] 0..1: the confidence where the content moves, 0 in still areas."""
        return enlarge(self.moving_small, (self.confidence.shape[1], self.confidence.shape[2]))


def estimate_motions(memory: Memory, frame: Tensor, size: tuple[int, int], estimate: Estimate) -> dict[str, Motion]:
    """Motions from `frame` [3, h, w] to the remembered frames, by age, scaled to stylized frames of `size` (H, W).

    An older frame is used only if the last one leaves disocclusions: areas that were hidden for a moment get their
    earlier strokes back (long-term consistency, Ruder et al. 2016).
    """
    last = memory.get("last.seen")
    if not isinstance(last, Tensor) or last.shape != frame.shape:
        memory.clear()
        return {}
    motion = estimate(last, frame)
    motions = {"last": _scaled(motion, size)}
    old = memory.get("old.seen")
    disoccluded = F.adaptive_avg_pool2d(_subsampled(motion.confidence), _CELLS) < 0.1
    needed = disoccluded.sum() >= _MIN_DISOCCLUDED
    if isinstance(old, Tensor) and (needed.device.type != "cpu" or needed):
        older = estimate(old, frame)  # on other devices than the CPU always: looking would take longer
        motions["old"] = _scaled(Motion(older.flow, older.confidence * needed), size)
    return motions


def warp_previous(memory: Memory, name: str, motions: Mapping[str, Motion]) -> WarpedFrame | None:
    """The previous stylized frame called `name`, warped along `motions`; None if there is none."""
    best: WarpedFrame | None = None
    for age, motion in motions.items():
        stylized = memory.get(f"{age}.{name}")
        if isinstance(stylized, Tensor):
            height, width = motion.confidence.shape[-2:]
            if stylized.shape[-2:] != (height, width):  # the working resolution has changed
                stylized = enlarge(stylized, (height, width))
            warped = warp_frame(stylized, motion)
            best = warped if best is None else _select(best, warped)
    return best


def remember(memory: Memory, frame: Tensor, stylized: Mapping[str, Tensor], pts: Fraction) -> None:
    """Store `frame` and its stylized frames by name, [3, H, W] each; drop those that are too old."""
    _put(memory, "last", frame, stylized)
    since = memory.get("candidate.pts")
    if not isinstance(since, Fraction):
        memory["candidate.pts"] = pts
        _put(memory, "candidate", frame, stylized)
    elif pts - since >= _LOOK_BACK:
        _put(memory, "old", *_get(memory, "candidate"))
        memory["candidate.pts"] = pts
        _put(memory, "candidate", frame, stylized)


def _put(memory: Memory, age: str, frame: Tensor, stylized: Mapping[str, Tensor]) -> None:
    for key in [key for key in memory if key.startswith(f"{age}.") and key != f"{age}.pts"]:
        del memory[key]
    memory[f"{age}.seen"] = frame
    for name, image in stylized.items():
        memory[f"{age}.{name}"] = image


def _get(memory: Memory, age: str) -> tuple[Tensor, dict[str, Tensor]]:
    values = {key.partition(".")[2]: value for key, value in memory.items() if key.startswith(f"{age}.")}
    images = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return images.pop("seen"), images


def warp_frame(stylized: Tensor, motion: Motion) -> WarpedFrame:
    """The stylized frame [3, H, W] of the previous frame, warped to the current one."""
    moving, share = split_confidence(_subsampled(motion.flow), _subsampled(motion.confidence))
    size = stylized.shape[1], stylized.shape[2]
    return WarpedFrame(warp(stylized, motion.flow), motion.confidence, enlarge(share, size), moving)


def _subsampled(field: Tensor) -> Tensor:
    """Every _SUBSAMPLING-th pixel of [C, H, W]."""
    return field[:, ::_SUBSAMPLING, ::_SUBSAMPLING].contiguous()


def _select(first: WarpedFrame, second: WarpedFrame) -> WarpedFrame:
    """`second` where its confidence is higher by _MARGIN, else `first`."""
    where = second.confidence > first.confidence + _MARGIN
    return WarpedFrame(
        torch.where(where, second.warped, first.warped),
        torch.where(where, second.confidence, first.confidence),
        torch.where(where, second.share, first.share),
        torch.where(_subsampled(where), second.moving_small, first.moving_small),
    )


def _scaled(motion: Motion, size: tuple[int, int]) -> Motion:
    """The motion resized for images of `size` (H, W)."""
    height, width = motion.confidence.shape[-2:]
    if (height, width) == size:
        return motion
    scale = motion.flow.new_tensor([size[1] / width, size[0] / height]).view(2, 1, 1)
    return Motion(enlarge(motion.flow, size).mul_(scale), enlarge(motion.confidence, size))
