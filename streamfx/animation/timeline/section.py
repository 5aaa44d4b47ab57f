"""One section of a timeline at work: its moves, guides, rings, circles and dreams, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from streamfx.animation.timeline.scene import Studio, Track, value_at
from streamfx.animation.timeline.schema import CLIMBS, MOVES, Camera, Clear, Dreamed, Fade, Grown, Kept, Ring, Section
from streamfx.animation.timeline.source_location import Place
from streamfx.animation.timeline.timing import frame_of
from streamfx.deepdream.ascent import Ascent, ascend
from streamfx.deepdream.objective_syntax import Part
from streamfx.frame import Memory
from streamfx.ops.camera import View, flow_of, reference
from streamfx.ops.color import luma
from streamfx.ops.color_statistics import hold, soften, traits
from streamfx.ops.mix import circle, ring
from streamfx.ops.warp import blend, warp

FURTHEST = 100_000  # pixels
SIZES = ("small", "large", "width", "soft")  # of what grows: its outer radius at first and at last, and its edge
_COLORS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}
_RANGES = {"zoom": (0.01, 100.0), "tilt_x": (-80.0, 80.0), "tilt_y": (-80.0, 80.0)}


@dataclass(frozen=True, slots=True)
class Turned:
    """From a frame on, what is dreamed of, and in how many frames it takes over."""

    at: int
    parts: tuple[Part, ...]
    fade: int


@dataclass(frozen=True, slots=True)
class Growth:
    """A circle or ring that grows from the frame `at` on."""

    at: int
    frames: int
    told: Grown
    after: int  # frames, of a circle
    tracks: Mapping[str, Track]  # its sizes, in pixels of the timeline's; a ring's step, a circle's share


class Moves:
    """The camera of a section."""

    def __init__(self, studio: Studio, place: Place, camera: Camera, span: range) -> None:
        self._studio, self._span, self.border = studio, span, camera.border
        self._tracks = {
            name: studio.track((*place, name), getattr(camera, name), span, *_RANGES.get(name, ())) for name in MOVES
        }

    def between(self, before: int, frame: int) -> Tensor:
        """[3, 3]: how the canvas goes from one frame of the film to another, which may come earlier."""
        made = torch.eye(3, dtype=torch.float64)
        for number in range(min(before, frame) + 1, max(before, frame) + 1):
            made = self._one(number) @ made
        return made if before < frame else torch.linalg.inv(made)

    def shown(self, canvas: Tensor, move: Tensor) -> Tensor:
        """The canvas, moved."""
        if torch.equal(move, torch.eye(3, dtype=torch.float64)):
            return canvas
        return warp(canvas, flow_of(move, *self._studio.canvas, canvas.device), "bicubic", self.border)

    def _one(self, frame: int) -> Tensor:
        now = {name: value_at(track, self._span, frame) for name, track in self._tracks.items()}
        now["shift_x"] *= self._studio.scale
        now["shift_y"] *= self._studio.scale
        return View(**now).matrix(*self._studio.canvas)


class Keeper:
    """Keeps a canvas that is fed back from burning out."""

    def __init__(self, studio: Studio, place: Place, kept: Kept, span: range) -> None:
        self._compound, self._span = studio.compound, span
        self._hold = studio.track((*place, "hold"), kept.hold, span, 0, 1)
        self._soften = studio.track((*place, "soften"), kept.soften, span, 0, 1)

    def keep(self, canvas: Tensor, aim: Tensor, frame: int) -> Tensor:
        if softer := self._compound(value_at(self._soften, self._span, frame)):
            canvas = soften(canvas, softer)
        held = self._compound(value_at(self._hold, self._span, frame))
        return hold(canvas, aim, held) if held else canvas.clamp(0, 1)


class Dreamer:
    """A dreamed section. What it remembers is the canvas, and what it began with, as far as that has moved by now."""

    def __init__(self, studio: Studio, number: int, section: Dreamed) -> None:
        self.studio, self.section, self._place = studio, section, ("section", number)
        self.span = studio.plan.spans[number]
        self.moves = Moves(studio, self._place, section, self.span)
        self._keeper = Keeper(studio, self._place, section, self.span)
        self._view = self._track("view", section.view, 0, 1)
        self._step = self._track("step", section.step, 0, 1)
        self._climb = studio.climbing(self._place, section, self.span)
        self._guides = [
            self._track("guide", guide.share, 0, 1, number, "share") for number, guide in enumerate(section.guide)
        ]
        self._each = [max(1, self._frames("guide", i, "each")) for i in range(len(section.guide))]
        self.turns = list(self._turns())
        self._rings = [each for i, told in enumerate(section.ring) for each in self._growths("ring", i, told)]
        self._clears = [each for i, told in enumerate(section.clear) for each in self._growths("clear", i, told)]

    def begin(self, memory: Memory, canvas: Tensor) -> None:
        """Start from a picture."""
        still = torch.eye(3, dtype=torch.float64)
        memory.update({"canvas": canvas, "still": canvas, "moved": still, "aim": traits(canvas)})

    def advance(self, memory: Memory, before: int, frame: int, goal: Tensor | None = None, share: float = 0.0) -> None:
        """From the canvas of one frame to that of another: the next one that is made, later or earlier.

        `share` 0..1 of the canvas becomes `goal`; all of which is not dreamed on.
        """
        move = self.moves.between(before, frame)
        memory["moved"] = move @ tensor(memory, "moved")
        canvas = self._mixed(self.moves.shown(tensor(memory, "canvas"), move), memory, frame)
        canvas = self._grown(canvas, memory, frame)
        if goal is not None and share >= 1:
            memory["canvas"] = goal
            return
        canvas = canvas if goal is None else canvas.lerp(goal, share)
        climb = self._ascent(self._now(self._step, frame), frame)
        if climb.step and climb.steps:
            gradient = self.studio.objectives.gradient(*self._parts(frame))
            canvas = ascend(canvas, gradient, climb, number=chance(frame, 0))
        memory["canvas"] = self._keeper.keep(canvas, tensor(memory, "aim"), frame)

    def _mixed(self, canvas: Tensor, memory: Memory, frame: int) -> Tensor:
        """With its shares of guides, and of what it began with."""
        compound = self.studio.compound
        if share := compound(self._now(self._view, frame)):
            canvas = canvas.lerp(self._seen(memory), share)
        for guide, track, each in zip(self.section.guide, self._guides, self._each):
            if share := compound(self._now(track, frame)):
                picture = self.studio.picture(guide.pictures[frame // each % len(guide.pictures)])
                memory["aim"] = tensor(memory, "aim").lerp(traits(picture), share)
                if guide.colors:
                    picture = picture + (luma(canvas) - luma(picture))
                canvas = canvas.lerp(picture, share)
        return canvas

    def _grown(self, canvas: Tensor, memory: Memory, frame: int) -> Tensor:
        """With what dreams in its rings, and what comes back in its circles."""
        for each in self._rings:
            age = frame - each.at
            if 0 <= age < each.frames:
                assert isinstance(each.told, Ring)
                told = each.told
                parts = self.studio.parts(told.layer) if told.layer else self._parts(frame)[1]
                step, steps = (self._now(each.tracks[name], frame) for name in ("step", "steps"))
                climb = replace(self._ascent(step, frame), steps=round(steps))
                gradient = self.studio.objectives.gradient(parts)
                dream = ascend(canvas, gradient, climb, number=chance(frame, 1)).clamp(0, 1)
                canvas = blend(canvas, dream, self._ring(each, age))
        for each in self._clears:
            age = frame - each.at
            if 0 <= age < each.frames + each.after:
                assert isinstance(each.told, Clear)
                share = self.studio.compound(self._now(each.tracks["share"], frame))
                mask = self._circle(each, age) if age < each.frames else canvas.new_ones(1, *canvas.shape[1:])
                canvas = blend(canvas, self._seen(memory), mask * share)
        return canvas

    def _seen(self, memory: Memory) -> Tensor:
        """What it began with, as the camera sees it by now."""
        return reference(
            tensor(memory, "still"), tensor(memory, "moved"), *self.studio.canvas, border=self.moves.border
        )

    def _ascent(self, step: float, frame: int) -> Ascent:
        return self._climb(frame, self.studio.whole(step))

    def _parts(self, frame: int) -> tuple[tuple[Part, ...], tuple[Part, ...], float]:
        """What was dreamed of, what is, and how far that has taken over."""
        now = max((n for n, turn in enumerate(self.turns) if turn.at <= frame), default=0)
        turn = self.turns[now]
        age = frame - turn.at
        if now == 0 or age >= turn.fade:
            return turn.parts, turn.parts, 1.0
        return self.turns[now - 1].parts, turn.parts, age / turn.fade

    def _turns(self) -> Iterator[Turned]:
        layer = self.section.layer
        if isinstance(layer, str):
            yield Turned(0, self.studio.parts(layer), 0)
            return
        last = None
        for number, turn in enumerate(layer):
            at = self._frames("layer", number, "at")
            if last is not None and at <= last:
                place = (*self._place, "layer", number, "at")
                raise self.studio.plan.timeline.error(place, f"this turn, at frame {at}, must come behind {last}")
            last = at
            yield Turned(at, self.studio.parts(turn.layer), self._frames("layer", number, "fade"))

    def _growths(self, key: str, number: int, told: Grown) -> Iterator[Growth]:
        at, every = self._frames(key, number, "at"), self._frames(key, number, "every")
        until = self.span.stop - 1 if told.until is None else self._frames(key, number, "until")
        after = self._frames(key, number, "after") if isinstance(told, Clear) else 0
        small, large = told.radius
        tracks = {
            "small": self._track(key, small, -FURTHEST, FURTHEST, number, "radius"),
            "large": self._track(key, large, -FURTHEST, FURTHEST, number, "radius"),
            "width": self._track(key, told.width, -FURTHEST, FURTHEST, number, "width"),
            "soft": self._track(key, told.soft, 0, 1000, number, "soft"),
        }
        if isinstance(told, Ring):
            tracks["step"] = self._track(key, told.step, 0, 1, number, "step")
            tracks["steps"] = self._track(key, told.steps, *CLIMBS["steps"], number, "steps")
        if isinstance(told, Clear):
            tracks["share"] = self._track(key, told.share, 0, 1, number, "share")
        while at <= until:
            yield Growth(at, max(1, self._frames(key, number, "frames")), told, after, tracks)
            if every < 1:
                return
            at += every

    def _ring(self, growth: Growth, age: int) -> Tensor:
        outer, width, soft = self._sizes(growth, age)
        return ring(self.studio.canvas, self._centre(), outer - width, outer, soft, self.studio.device)

    def _circle(self, growth: Growth, age: int) -> Tensor:
        outer, width, soft = self._sizes(growth, age)
        return circle(self.studio.canvas, self._centre(), outer - width, soft, self.studio.device)

    def _sizes(self, growth: Growth, age: int) -> tuple[float, float, float]:
        """Outer radius, width and softness of the edge, in pixels."""
        frame, scale = growth.at + age, self.studio.scale
        small, large, width, soft = (self._now(growth.tracks[name], frame) * scale for name in SIZES)
        return small + (age + 1) / growth.frames * (large - small), width, soft

    def _centre(self) -> tuple[float, float]:
        height, width = self.studio.canvas
        return (width - 1) / 2, (height - 1) / 2

    def _frames(self, *key: str | int) -> int:
        """The frames that a setting tells."""
        told: object = self.section
        for each in key:
            told = told[each] if isinstance(each, int) else getattr(told, each)  # type: ignore[index]
        assert isinstance(told, int | str)
        plan = self.studio.plan
        return frame_of(plan.timeline, (*self._place, *key), told, plan.context, bool(plan.context.music))

    def _track(self, key: str, value: float | str, low: float, high: float, *more: str | int) -> Track:
        return self.studio.track((*self._place, key, *more), value, self.span, low, high)

    def _now(self, track: Track, frame: int) -> float:
        return value_at(track, self.span, frame)


class Fader:
    """What is shown of a canvas: without its margin, and with the section's fades."""

    def __init__(self, studio: Studio, number: int, section: Section) -> None:
        self._studio, self._span = studio, studio.plan.spans[number]
        self._fades = [
            (fade, studio.track(("section", number, "fade", at, "share"), fade.share, self._span, 0, 1))
            for at, fade in enumerate(section.fade)
        ]

    def show(self, canvas: Tensor, frame: int) -> Tensor:
        """[3, H, W]: the film's picture."""
        margin, (height, width) = self._studio.margin, self._studio.size
        picture = canvas[:, margin : margin + height, margin : margin + width]
        for fade, track in self._fades:
            if share := float(track[frame - self._span.start]):
                other = self._other(fade)[:, margin : margin + height, margin : margin + width]
                picture = picture.lerp(other, share)
        return picture

    def _other(self, fade: Fade) -> Tensor:
        if fade.to not in _COLORS and not fade.to.startswith("#"):
            return self._studio.picture(fade.to)
        values = _COLORS.get(fade.to) or [int(fade.to[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        return torch.tensor(values, device=self._studio.device)[:, None, None].expand(3, *self._studio.canvas)


def chance(frame: int, which: int) -> int:
    """The number of what is left to chance in a frame: `which` of the dreams in it, below 1000."""
    return frame * 1000 + which


def tensor(memory: Memory, name: str) -> Tensor:
    kept = memory[name]
    assert isinstance(kept, Tensor)
    return kept
