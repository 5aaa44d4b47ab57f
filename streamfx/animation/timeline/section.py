"""Rendering of dream sections: camera motion, guides, rings, clear circles and gradient ascent, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from streamfx.animation.timeline.scene import Scene, Track, value_at
from streamfx.animation.timeline.schema import (
    ASCENT_RANGES,
    CAMERA_KEYS,
    Camera,
    Clear,
    DreamSection,
    Fade,
    GrowingCircle,
    Ring,
    Section,
    StabilizerTable,
)
from streamfx.animation.timeline.source_location import SourceLocation
from streamfx.animation.timeline.timing import frame_at
from streamfx.deepdream.ascent import Ascent, ascend
from streamfx.deepdream.objective_syntax import Part
from streamfx.frame import Memory, memory_tensor
from streamfx.ops.camera import View, matrix_flow, render_still
from streamfx.ops.color import luma
from streamfx.ops.color_statistics import color_statistics, correct_drift, soften
from streamfx.ops.mix import circle, ring
from streamfx.ops.warp import blend, warp

DREAM_KEYS = ("canvas", "start", "motion", "target")  # the memory of a dream section
_MAX_EXTENT = 100_000  # pixels, of radii and widths
_CIRCLE_TRACKS = ("first", "last", "width", "soft")  # outer radius at the start and end of the growth; edge
_COLORS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}
_CAMERA_RANGES = {"zoom": (0.01, 100.0), "tilt_x": (-80.0, 80.0), "tilt_y": (-80.0, 80.0)}


@dataclass(frozen=True, slots=True)
class ObjectiveChange:
    """A switch to another objective at frame `start`, crossfading over `fade` frames."""

    start: int
    parts: tuple[Part, ...]
    fade: int


@dataclass(frozen=True, slots=True)
class Growth:
    """A circle or ring that grows from frame `start` on."""

    start: int
    frames: int
    table: GrowingCircle
    after: int  # frames, for clear circles
    tracks: Mapping[str, Track]  # sizes in pixels at the timeline's size; step and steps of a ring, share of a circle


class CameraMotion:
    """The camera of a section."""

    def __init__(self, scene: Scene, location: SourceLocation, camera: Camera, frames: range) -> None:
        self._scene, self._frames, self.border = scene, frames, camera.border
        self._tracks = {
            key: scene.track((*location, key), getattr(camera, key), frames, *_CAMERA_RANGES.get(key, ()))
            for key in CAMERA_KEYS
        }

    def matrix(self, previous: int, frame: int) -> Tensor:
        """[3, 3]: the motion of the canvas from one frame of the video to another, which may be earlier."""
        matrix = torch.eye(3, dtype=torch.float64)
        for number in range(min(previous, frame) + 1, max(previous, frame) + 1):
            matrix = self._frame_matrix(number) @ matrix
        return matrix if previous < frame else torch.linalg.inv(matrix)

    def apply(self, canvas: Tensor, matrix: Tensor) -> Tensor:
        """The canvas moved by `matrix`."""
        if torch.equal(matrix, torch.eye(3, dtype=torch.float64)):
            return canvas
        return warp(canvas, matrix_flow(matrix, *self._scene.canvas_size, canvas.device), "bicubic", self.border)

    def _frame_matrix(self, frame: int) -> Tensor:
        values = {name: value_at(track, self._frames, frame) for name, track in self._tracks.items()}
        values["shift_x"] *= self._scene.scale
        values["shift_y"] *= self._scene.scale
        return View(**values).matrix(*self._scene.canvas_size)


class Stabilizer:
    """Limits the drift of brightness, contrast, color and detail in a feedback loop."""

    def __init__(self, scene: Scene, location: SourceLocation, table: StabilizerTable, frames: range) -> None:
        self._stride_share, self._frames = scene.stride_share, frames
        self._hold = scene.track((*location, "hold"), table.hold, frames, 0, 1)
        self._soften = scene.track((*location, "soften"), table.soften, frames, 0, 1)

    def apply(self, canvas: Tensor, target: Tensor, frame: int) -> Tensor:
        """The canvas with its color statistics moved toward `target` [5]."""
        if softening := self._stride_share(value_at(self._soften, self._frames, frame)):
            canvas = soften(canvas, softening)
        hold = self._stride_share(value_at(self._hold, self._frames, frame))
        return correct_drift(canvas, target, hold) if hold else canvas.clamp(0, 1)


class DreamRenderer:
    """Renders a dream section. Its memory: canvas, start image, camera motion since then, target color statistics."""

    def __init__(self, scene: Scene, number: int, section: DreamSection) -> None:
        self.scene, self.section, self._location = scene, section, ("section", number)
        self.frames = scene.plan.section_frames[number]
        self.camera = CameraMotion(scene, self._location, section, self.frames)
        self._stabilizer = Stabilizer(scene, self._location, section, self.frames)
        self._view = self._track("view", section.view, 0, 1)
        self._step = self._track("step", section.step, 0, 1)
        self._ascent_at = scene.ascent(self._location, section, self.frames)
        self._guides = [self._track("guide", guide.share, 0, 1, i, "share") for i, guide in enumerate(section.guide)]
        self._intervals = [max(1, self._frame_count("guide", i, "each")) for i in range(len(section.guide))]
        self.changes = list(self._objective_changes())
        self._rings = [growth for i, table in enumerate(section.ring) for growth in self._growths("ring", i, table)]
        self._clears = [growth for i, table in enumerate(section.clear) for growth in self._growths("clear", i, table)]

    def start(self, memory: Memory, image: Tensor) -> None:
        """Start from an image [3, H, W] of the canvas size."""
        motion = torch.eye(3, dtype=torch.float64)
        memory.update({"canvas": image, "start": image, "motion": motion, "target": color_statistics(image)})

    def advance(
        self, memory: Memory, previous: int, frame: int, goal: Tensor | None = None, weight: float = 0.0
    ) -> None:
        """Update the canvas from frame `previous` to `frame`, which may be earlier.

        The canvas is crossfaded into `goal` by `weight` 0..1 before the ascent; at 1 it becomes `goal` without ascent.
        """
        matrix = self.camera.matrix(previous, frame)
        memory["motion"] = matrix @ memory_tensor(memory, "motion")
        canvas = self._blend_guides(self.camera.apply(memory_tensor(memory, "canvas"), matrix), memory, frame)
        canvas = self._apply_circles(canvas, memory, frame)
        if goal is not None and weight >= 1:
            memory["canvas"] = goal
            return
        canvas = canvas if goal is None else canvas.lerp(goal, weight)
        settings = self._ascent(self._value(self._step, frame), frame)
        if settings.step and settings.steps:
            gradient = self.scene.objectives.gradient(*self._objective(frame))
            canvas = ascend(canvas, gradient, settings, number=ascent_number(frame, 0))
        memory["canvas"] = self._stabilizer.apply(canvas, memory_tensor(memory, "target"), frame)

    def _blend_guides(self, canvas: Tensor, memory: Memory, frame: int) -> Tensor:
        """The canvas with its shares of the start image and the guides."""
        stride_share = self.scene.stride_share
        if share := stride_share(self._value(self._view, frame)):
            canvas = canvas.lerp(self._start_image(memory), share)
        for guide, track, interval in zip(self.section.guide, self._guides, self._intervals):
            if share := stride_share(self._value(track, frame)):
                image = self.scene.picture(guide.pictures[frame // interval % len(guide.pictures)])
                memory["target"] = memory_tensor(memory, "target").lerp(color_statistics(image), share)
                if guide.colors:
                    image = image + (luma(canvas) - luma(image))
                canvas = canvas.lerp(image, share)
        return canvas

    def _apply_circles(self, canvas: Tensor, memory: Memory, frame: int) -> Tensor:
        """The canvas with ascent in its rings, and with the start image restored in its clear circles."""
        for growth in self._rings:
            age = frame - growth.start
            if 0 <= age < growth.frames:
                assert isinstance(growth.table, Ring)
                layer = growth.table.layer
                parts = self.scene.objective(layer) if layer else self._objective(frame)[1]
                step, steps = (self._value(growth.tracks[name], frame) for name in ("step", "steps"))
                settings = replace(self._ascent(step, frame), steps=round(steps))
                gradient = self.scene.objectives.gradient(parts)
                dream = ascend(canvas, gradient, settings, number=ascent_number(frame, 1)).clamp(0, 1)
                canvas = blend(canvas, dream, self._ring_mask(growth, age))
        for growth in self._clears:
            age = frame - growth.start
            if 0 <= age < growth.frames + growth.after:
                share = self.scene.stride_share(self._value(growth.tracks["share"], frame))
                mask = self._circle_mask(growth, age) if age < growth.frames else canvas.new_ones(1, *canvas.shape[1:])
                canvas = blend(canvas, self._start_image(memory), mask * share)
        return canvas

    def _start_image(self, memory: Memory) -> Tensor:
        """The start image, moved by the camera motion so far."""
        start, motion = memory_tensor(memory, "start"), memory_tensor(memory, "motion")
        return render_still(start, motion, *self.scene.canvas_size, border=self.camera.border)

    def _ascent(self, step: float, frame: int) -> Ascent:
        return self._ascent_at(frame, self.scene.stride_step(step))

    def _objective(self, frame: int) -> tuple[tuple[Part, ...], tuple[Part, ...], float]:
        """(previous objective, current objective, share of the current one)."""
        index = max((i for i, change in enumerate(self.changes) if change.start <= frame), default=0)
        change = self.changes[index]
        age = frame - change.start
        if index == 0 or age >= change.fade:
            return change.parts, change.parts, 1.0
        return self.changes[index - 1].parts, change.parts, age / change.fade

    def _objective_changes(self) -> Iterator[ObjectiveChange]:
        if isinstance(self.section.layer, str):
            yield ObjectiveChange(0, self.scene.objective(self.section.layer), 0)
            return
        last = None
        for index, change in enumerate(self.section.layer):
            start = self._frame_count("layer", index, "at")
            if last is not None and start <= last:
                location = (*self._location, "layer", index, "at")
                reason = f"layer changes must be in ascending order, but frame {start} comes after frame {last}"
                raise self.scene.plan.timeline.error(location, reason)
            last = start
            fade = self._frame_count("layer", index, "fade")
            yield ObjectiveChange(start, self.scene.objective(change.layer), fade)

    def _growths(self, key: str, index: int, table: GrowingCircle) -> Iterator[Growth]:
        start, interval = self._frame_count(key, index, "at"), self._frame_count(key, index, "every")
        until = self.frames.stop - 1 if table.until is None else self._frame_count(key, index, "until")
        after = self._frame_count(key, index, "after") if isinstance(table, Clear) else 0
        first, last = table.radius
        tracks = {
            "first": self._track(key, first, -_MAX_EXTENT, _MAX_EXTENT, index, "radius"),
            "last": self._track(key, last, -_MAX_EXTENT, _MAX_EXTENT, index, "radius"),
            "width": self._track(key, table.width, -_MAX_EXTENT, _MAX_EXTENT, index, "width"),
            "soft": self._track(key, table.soft, 0, 1000, index, "soft"),
        }
        if isinstance(table, Ring):
            tracks["step"] = self._track(key, table.step, 0, 1, index, "step")
            tracks["steps"] = self._track(key, table.steps, *ASCENT_RANGES["steps"], index, "steps")
        if isinstance(table, Clear):
            tracks["share"] = self._track(key, table.share, 0, 1, index, "share")
        while start <= until:
            yield Growth(start, max(1, self._frame_count(key, index, "frames")), table, after, tracks)
            if interval < 1:
                return
            start += interval

    def _ring_mask(self, growth: Growth, age: int) -> Tensor:
        outer, width, soft = self._sizes(growth, age)
        return ring(self.scene.canvas_size, self._center(), outer - width, outer, soft, self.scene.device)

    def _circle_mask(self, growth: Growth, age: int) -> Tensor:
        outer, width, soft = self._sizes(growth, age)
        return circle(self.scene.canvas_size, self._center(), outer - width, soft, self.scene.device)

    def _sizes(self, growth: Growth, age: int) -> tuple[float, float, float]:
        """Outer radius, width, and softness of the edge, in pixels."""
        frame, scale = growth.start + age, self.scene.scale
        first, last, width, soft = (self._value(growth.tracks[name], frame) * scale for name in _CIRCLE_TRACKS)
        return first + (age + 1) / growth.frames * (last - first), width, soft

    def _center(self) -> tuple[float, float]:
        height, width = self.scene.canvas_size
        return (width - 1) / 2, (height - 1) / 2

    def _frame_count(self, *keys: str | int) -> int:
        """A setting that is a position or a length, in frames."""
        value: object = self.section
        for key in keys:
            value = value[key] if isinstance(key, int) else getattr(value, key)  # type: ignore[index]
        assert isinstance(value, int | str)
        plan = self.scene.plan
        return frame_at(plan.timeline, (*self._location, *keys), value, plan.context, bool(plan.context.audio))

    def _track(self, key: str, value: float | str, low: float, high: float, *more: str | int) -> Track:
        return self.scene.track((*self._location, key, *more), value, self.frames, low, high)

    def _value(self, track: Track, frame: int) -> float:
        return value_at(track, self.frames, frame)


class OutputFades:
    """Crops the margin off a canvas and applies the section's fades."""

    def __init__(self, scene: Scene, number: int, section: Section) -> None:
        self._scene, self._frames = scene, scene.plan.section_frames[number]
        self._fades = [
            (fade, scene.track(("section", number, "fade", index, "share"), fade.share, self._frames, 0, 1))
            for index, fade in enumerate(section.fade)
        ]

    def apply(self, canvas: Tensor, frame: int) -> Tensor:
        """The output image [3, H, W]."""
        margin, (height, width) = self._scene.margin, self._scene.size
        image = canvas[:, margin : margin + height, margin : margin + width]
        for fade, track in self._fades:
            if share := float(track[frame - self._frames.start]):
                target = self._fade_target(fade)[:, margin : margin + height, margin : margin + width]
                image = image.lerp(target, share)
        return image

    def _fade_target(self, fade: Fade) -> Tensor:
        if fade.to not in _COLORS and not fade.to.startswith("#"):
            return self._scene.picture(fade.to)
        values = _COLORS.get(fade.to) or [int(fade.to[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return torch.tensor(values, device=self._scene.device)[:, None, None].expand(3, *self._scene.canvas_size)


def ascent_number(frame: int, index: int) -> int:
    """The `number` that seeds an ascent in a frame; `index`, below 1000, tells apart the ascents in one frame."""
    return frame * 1000 + index
