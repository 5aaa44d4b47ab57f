"""Rendering of merges between two sections that cover the same frames: by alternating passes, or by blending."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from streamfx.animation.timeline.scene import Scene, value_at
from streamfx.animation.timeline.schema import MergeSection
from streamfx.animation.timeline.section import CameraMotion, Stabilizer, ascent_number
from streamfx.deepdream.ascent import ascend
from streamfx.motion.flow import build_motion
from streamfx.ops.color_statistics import color_statistics
from streamfx.ops.pyramid import blend_pyramid, clouds
from streamfx.ops.warp import warp

_START_SHARE = 0.99  # weight of a pass's own canvas at its start, if its weight at the end is 0
_EDGE = 0.35  # softness of the clouds' edges, 0..1
_CLOUDS = 5  # across the image's height


class MergeRenderer:
    """Renders a merge.

    With the method "passes", forward passes start from the first section's canvas before the merge, and backward passes
    from the second section's canvas after it. Each frame of a pass is generated from its previous frame, blended with
    the same frame of the preceding opposite pass, whose share grows toward the end of the pass and from pass to pass.
    """

    def __init__(self, scene: Scene, number: int, section: MergeSection) -> None:
        location = ("section", number)
        self.scene, self.section, self.frames = scene, section, scene.plan.section_frames[number]
        self.camera = CameraMotion(scene, location, section, self.frames)
        self._stabilizer = Stabilizer(scene, location, section, self.frames)
        self._step = scene.track((*location, "step"), section.step, self.frames, 0, 1)
        self._ascent_at = scene.ascent(location, section, self.frames)
        self._objective = scene.objective(section.layer)
        self._clouds: Tensor | None = None

    def advance(self, canvas: Tensor, opposite: Tensor, previous: int, frame: int, number: int) -> Tensor:
        """The next canvas of pass `number`, counted from 1; `opposite` is the same frame of the preceding pass."""
        last = len(self.section.passes)
        end = self.section.passes[min(number, last) - 1]
        start = 1 - (1 - _START_SHARE) * (1 - end)
        progress = self._progress(frame)
        share = start + (end - start) * (progress if frame > previous else 1 - progress)
        share = share**self.scene.plan.stride if share > 0 else 0.0
        canvas = self.camera.apply(canvas, self.camera.matrix(previous, frame))
        target = color_statistics(opposite).lerp(color_statistics(canvas), share)
        canvas = opposite.lerp(canvas, share)
        return self._stabilizer.apply(self._ascend(canvas, frame, 2 * number + (frame > previous)), target, frame)

    def blend(self, first: Tensor, second: Tensor, frame: int) -> Tensor:
        """A blend of the canvases of both sections, by one of the other methods."""
        share = self._progress(frame)
        if self.section.method == "fade":
            canvas = first.lerp(second, share)
        elif self.section.method == "flow":
            canvas = morph(first, second, share)
        else:
            canvas = self._blend_clouds(first, second, share)
        target = color_statistics(first).lerp(color_statistics(second), share)
        return self._stabilizer.apply(self._ascend(canvas, frame, 0), target, frame)

    def _progress(self, frame: int) -> float:
        """0..1 over the merge."""
        return (frame - self.frames.start + 1) / (len(self.frames) + 1)

    def _blend_clouds(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """Blend through a mask of growing clouds, with edges as soft as each level of detail is coarse."""
        if self._clouds is None:
            self._clouds = clouds(self.scene.canvas_size, _CLOUDS, self.scene.seed).to(first.device)
        mask = ((share * (1 + _EDGE) - self._clouds) / _EDGE).clamp(0, 1)
        return blend_pyramid(first, second, mask)

    def _ascend(self, canvas: Tensor, frame: int, index: int) -> Tensor:
        settings = self._ascent_at(frame, self.scene.stride_step(value_at(self._step, self.frames, frame)))
        if not settings.step or not settings.steps:
            return canvas
        gradient = self.scene.objectives.gradient(self._objective)
        return ascend(canvas, gradient, settings, number=ascent_number(frame, 10 + index))


def morph(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Both images [3, H, W] warped toward each other along the flow between them, and blended."""
    estimate = build_motion("dis", first.device)
    to_second = estimate(second.clamp(0, 1), first.clamp(0, 1)).flow  # pixels of the first -> positions in the second
    to_first = estimate(first.clamp(0, 1), second.clamp(0, 1)).flow
    forward = warp(first, share * _blurred(to_first))
    backward = warp(second, (1 - share) * _blurred(to_second))
    return forward.lerp(backward, share)


def _blurred(flow: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(flow[None], (8, 8, 8, 8), mode="replicate"), 17, stride=1)[0]
