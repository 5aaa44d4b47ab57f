"""How one section becomes another where both have pictures: by passes there and back, or by blending."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from streamfx.animation.timeline.scene import Studio, value_at
from streamfx.animation.timeline.schema import Merge
from streamfx.animation.timeline.section import Keeper, Moves, chance
from streamfx.deepdream.ascent import ascend
from streamfx.motion.flow import build_motion
from streamfx.ops.color_statistics import traits
from streamfx.ops.pyramid import blend_pyramid, clouds
from streamfx.ops.warp import warp

OWN = 0.99  # share of its own picture that a pass keeps where it begins
_EDGE = 0.35  # of 0..1, how softly clouds open
_CLOUDS = 5  # across the picture's height


class Merger:
    """A merge at work.

    By passes, after the film of 2016: a pass runs from the first section's last canvas forward, another from the second
    one's first canvas backward, each dreaming on and mixed with the picture of the other one's pass before it, ever
    more towards its own end. So the film changes from the one to the other while it never stops dreaming.
    """

    def __init__(self, studio: Studio, number: int, section: Merge) -> None:
        place = ("section", number)
        self.studio, self.section, self.span = studio, section, studio.plan.spans[number]
        self.moves = Moves(studio, place, section, self.span)
        self._keeper = Keeper(studio, place, section, self.span)
        self._step = studio.track((*place, "step"), section.step, self.span, 0, 1)
        self._climb = studio.climbing(place, section, self.span)
        self._parts = studio.parts(section.layer)
        self._clouds: Tensor | None = None

    def advance(self, canvas: Tensor, other: Tensor, before: int, frame: int, which: int) -> Tensor:
        """One frame of a pass on: `other` is what the pass from the other side, before this one, shows there."""
        last = len(self.section.passes)
        end = self.section.passes[min(which, last) - 1]
        start = 1 - (1 - OWN) * (1 - end)
        along = self._along(frame)
        own = start + (end - start) * (along if frame > before else 1 - along)
        own = own**self.studio.plan.every if own > 0 else 0.0
        canvas = self.moves.shown(canvas, self.moves.between(before, frame))
        aim = traits(other).lerp(traits(canvas), own)
        canvas = other.lerp(canvas, own)
        return self._keeper.keep(self._dreamed(canvas, frame, 2 * which + (frame > before)), aim, frame)

    def mixed(self, first: Tensor, second: Tensor, frame: int) -> Tensor:
        """A picture between those of the two sections."""
        share = self._along(frame)
        if self.section.method == "fade":
            made = first.lerp(second, share)
        elif self.section.method == "flow":
            made = morphed(first, second, share)
        else:
            made = self._opened(first, second, share)
        aim = traits(first).lerp(traits(second), share)
        return self._keeper.keep(self._dreamed(made, frame, 0), aim, frame)

    def _along(self, frame: int) -> float:
        """0..1: how far it has come."""
        return (frame - self.span.start + 1) / (len(self.span) + 1)

    def _opened(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """The second seen through clouds that open, each size of detail with an edge as soft as it is large."""
        if self._clouds is None:
            self._clouds = clouds(self.studio.canvas, _CLOUDS, self.studio.seed).to(first.device)
        mask = ((share * (1 + _EDGE) - self._clouds) / _EDGE).clamp(0, 1)
        return blend_pyramid(first, second, mask)

    def _dreamed(self, canvas: Tensor, frame: int, which: int) -> Tensor:
        climb = self._climb(frame, self.studio.whole(value_at(self._step, self.span, frame)))
        if not climb.step or not climb.steps:
            return canvas
        gradient = self.studio.objectives.gradient(self._parts)
        return ascend(canvas, gradient, climb, number=chance(frame, 10 + which))


def morphed(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Both pictures [3, H, W], moved towards each other along the motion between them, and mixed."""
    find = build_motion("dis", first.device)
    there = find(second.clamp(0, 1), first.clamp(0, 1)).flow  # of the first's pixels -> their places in the second
    back = find(first.clamp(0, 1), second.clamp(0, 1)).flow
    forward = warp(first, share * _smooth(back))
    backward = warp(second, (1 - share) * _smooth(there))
    return forward.lerp(backward, share)


def _smooth(flow: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(flow[None], (8, 8, 8, 8), mode="replicate"), 17, stride=1)[0]
