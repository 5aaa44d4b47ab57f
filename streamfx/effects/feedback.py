"""Feedback videos from one image: each frame is the previous one, moved by a camera, after gradient ascent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le
from typing_extensions import Doc

from streamfx.animation.context import Context
from streamfx.animation.feedback_schedules import AUDIO_SCHEDULES, DEFAULT_SCHEDULES, Array, check_schedules
from streamfx.animation.feedback_schedules import tracks as schedule_tracks
from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step, memory_tensor
from streamfx.presets import START_PALETTE
from streamfx.settings import check

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from streamfx.deepdream.ascent import Gradient
    from streamfx.deepdream.objective_syntax import Part

CROSSFADE = 1.5  # seconds, between layers
REFERENCE_SIZE = 720, 1280  # height and width in pixels that the margin refers to
DEFAULT_LAYERS = {  # network -> alternating layers
    "lite0": "block10, block7, block4, block8",
    "inceptionv1": "mixed4c, mixed3b, mixed4d, mixed4a",
}
REFERENCE_STEP = 0.015  # step at which `soften` applies fully; smaller steps soften less
MIN_SIDE = 32  # pixels
_CALM_STEP = 0.75  # share of the step that is left out in calm regions
_CALM_SOFTEN = 0.05  # share of fine detail that is removed there per frame


@dataclass(frozen=True, slots=True)
class Feedback:
    """Generate each frame from the previous one; the input frame is the start image and sets the colors.

    The canvas in its memory is larger than the output by a margin, which hides artifacts at the border.
    """

    context: Context  # of the schedules, for the whole video
    size: tuple[int, int] = REFERENCE_SIZE  # height and width, pixels
    zoom: Annotated[str, Doc("Schedule of a factor per frame; by default it follows the audio")] = ""
    angle: Annotated[str, Doc("Schedule of degrees per frame; by default it follows the audio")] = ""
    shift_x: Annotated[str, Doc("Schedule of pixels per frame to the right; by default it follows the audio")] = ""
    shift_y: Annotated[str, Doc("Schedule of pixels per frame down; by default it follows the audio")] = ""
    step: Annotated[str, Doc("Schedule of the size of a step, 0..1; by default it follows the audio")] = ""
    layer: Annotated[str, Doc("Layers or channels; those separated by commas alternate with the audio's sections")] = ""
    model: Annotated[str, Doc("Network, see 'streamfx models'; auto takes an installed one with the layer")] = "auto"
    weights: Annotated[str, Doc("File of the model's weights, instead of the downloaded one")] = ""
    strength: Annotated[float, Ge(0), Le(4), Doc("Strength of the dream; at 0 only the camera moves")] = 1.0
    octaves: Annotated[int, Ge(1), Le(12), Doc("Number of pattern sizes")] = 3
    octave_scale: Annotated[float, Ge(1.1), Le(4), Doc("Ratio of one octave's size to the next")] = 1.4
    finest: Annotated[int, Ge(1), Le(100), Doc("Frames between runs of the finest octave, which is the slowest")] = 3
    steps: Annotated[int, Ge(1), Le(1000), Doc("Steps in each octave")] = 1
    smooth: Annotated[float, Ge(0), Le(1), Doc("Smoothing of the gradient across scales")] = 0.5
    tile: Annotated[int, Ge(128), Le(4096), Doc("Longest side in pixels per network run; less saves memory")] = 640
    seed: Annotated[int, Ge(0), Le(10**9), Doc("Seed of the camera's noise and the random shifts")] = 0
    margin: Annotated[int, Ge(0), Le(1000), Doc("Pixels rendered around the frame, for 1280x720")] = 60
    border: Annotated[Literal["reflect", "replicate", "wrap"], Doc("Fill beyond the borders of the canvas")] = "reflect"
    start_colors: Annotated[float, Ge(0), Le(1), Doc("Share of the start image's colors mixed into each frame")] = 0.003
    view: Annotated[
        str, Doc("Schedule of the share of the start image in each frame; by default, high where audio is quiet")
    ] = ""
    hold: Annotated[float, Ge(0), Le(1), Doc("Share of drifted brightness, contrast and color removed per frame")] = 0.2
    soften: Annotated[float, Ge(0), Le(1), Doc("Share of finest detail removed per frame; less at small steps")] = 0.08
    colors: Annotated[
        Literal["natural", "free"], Doc("natural: colors vary together, as in photos; free: each on its own")
    ] = "natural"
    balance: Annotated[
        float, Ge(0), Le(1), Doc("Share of the change in contrast at each scale, fine to coarse, removed per frame")
    ] = 0.4
    palette: Annotated[
        str, Doc("Images whose colors the video takes, separated by commas, in turn with the layers; start: its own")
    ] = ""
    palette_share: Annotated[
        float, Ge(0), Le(1), Doc("Share of the difference from the palette removed per frame, along one color axis")
    ] = 0.2
    soften_color: Annotated[float, Ge(0), Le(1), Doc("Share of the finest color detail removed per frame")] = 0.4
    regions: Annotated[
        float, Ge(0), Le(1), Doc("Share of the frame, in drifting soft regions, that dreams the next layer")
    ] = 0.0
    calm: Annotated[
        float, Ge(0), Le(1), Doc("Share of the frame, in drifting soft regions, that dreams little and has less detail")
    ] = 0.35
    loop: Annotated[bool, Doc("Crossfade the end into the start")] = False

    segment_length: ClassVar = 60
    uses_all_cores: ClassVar = True

    def __post_init__(self) -> None:
        _check(self)

    def input_files(self) -> list[Path]:
        """Files that the result depends on."""
        return [Path(name) for name in (self.weights, *self._palettes()) if name and name != START_PALETTE]

    def describe(self) -> str:
        """The settings that differ from their defaults, for the comment of the video."""
        values = [(field, getattr(self, field.name)) for field in fields(self) if field.name != "context"]
        return "feedback " + " ".join(f"{field.name}={value!r}" for field, value in values if value != field.default)

    def resolve(self, device: torch.device, start: Fraction) -> Feedback:
        """A copy with network, layers and schedules set."""
        return self.with_network()

    def with_network(self) -> Feedback:
        """A copy with the defaults for model, layers and schedules filled in. Raises StreamfxError."""
        from streamfx.deepdream.networks import choose_network, list_layers
        from streamfx.deepdream.objective_syntax import check_channels

        parts = [part for scene in self.scenes() for part in scene]
        network = choose_network(self.model, [part.layer for part in parts])
        if not parts and not network.default:
            raise StreamfxError(f"give a layer of {network.name}: 'streamfx models layers {network.name}' lists them")
        if any(part.channel is not None for part in parts):
            check_channels(parts, {layer.name: layer.channels for layer in list_layers(network.name)}, network.name)
        defaults = AUDIO_SCHEDULES if self.context.audio else DEFAULT_SCHEDULES
        schedules: dict[str, Any] = {name: getattr(self, name) or text for name, text in defaults.items()}
        layer = self.layer if parts else DEFAULT_LAYERS.get(network.name, network.default)
        return replace(self, model=network.name, layer=layer, **schedules)

    def scenes(self) -> list[tuple[Part, ...]]:
        """The alternating objectives."""
        from streamfx.deepdream.objective_syntax import parse_objective

        return [parse_objective(text) for text in self.layer.split(",")] if self.layer.strip() else []

    def tracks(self) -> dict[str, Array]:
        """Name -> its value in each frame: the schedules, and `layer`, the index in `scenes`.

        Raises StreamfxError, with the frame, for schedules that are invalid or out of range.
        """
        return schedule_tracks(self._schedules(), self.context, max(1, len(self.scenes())))

    def _schedules(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in DEFAULT_SCHEDULES}

    def build(self, device: torch.device) -> Step:
        """The step that generates the frames. Loads the network now."""
        effect = self.with_network()
        tracks = effect.tracks()
        gradients = effect._gradients(tracks["layer"], device)

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            number = memory.get("number", 0)
            assert isinstance(number, int)
            values = _values_at(tracks, number)
            if number == 0:
                effect._start(frame.image, memory)
                if effect.loop:
                    effect._preroll(frame.image, memory, tracks, gradients)
            else:
                canvas, weight = effect._move(frame.image, memory, values), 0.0
                if effect.loop:
                    canvas, weight = effect._crossfade(canvas, memory, number)
                if values["step"] * effect.strength > 0 and weight < 1:
                    calm = effect._calm_regions(canvas, number)
                    canvas = effect._ascend(canvas, gradients, values["step"], number, calm)
                    canvas = effect._stabilize(canvas, memory, values, number, calm)
                memory["canvas"] = canvas
            memory["number"] = number + 1
            top, left = effect.margins
            height, width = effect.size
            yield frame.with_image(memory_tensor(memory, "canvas")[:, top : top + height, left : left + width])

        return step

    @property
    def margins(self) -> tuple[int, int]:
        """Pixels of the canvas above and below the output, and on each side."""
        margin = round(self.margin * min(self.size[0] / REFERENCE_SIZE[0], self.size[1] / REFERENCE_SIZE[1]))
        return margin, margin

    def _start(self, start: Tensor, memory: Memory) -> None:
        """Set the first canvas: the start image, scaled and cropped to the canvas size."""
        import torch

        from streamfx.ops.appearance import band_contrast, palette
        from streamfx.ops.camera import render_still
        from streamfx.ops.color_statistics import color_statistics

        motion = torch.eye(3, dtype=torch.float64)
        (height, width), (top, left) = self.size, self.margins
        canvas = render_still(start, motion, height + 2 * top, width + 2 * left).clamp(0, 1)
        memory.update({"canvas": canvas, "start": canvas, "motion": motion, "bands": band_contrast(canvas)})
        sources = [canvas if name == START_PALETTE else _first_frame(name).to(canvas) for name in self._palettes()]
        memory["palettes"] = torch.stack([palette(image) for image in sources])
        memory["targets"] = torch.stack([color_statistics(image) for image in sources])

    def _palettes(self) -> list[str]:
        """The images whose colors take turns with the layers."""
        return [name.strip() for name in self.palette.split(",") if name.strip()] or [START_PALETTE]

    def _preroll(
        self, start: Tensor, memory: Memory, tracks: Mapping[str, Array], gradients: Callable[[int, bool], Gradient]
    ) -> None:
        """Generate the frames before the first one, backward, for the last frames of a loop to crossfade into."""
        from streamfx.animation.loop import crossfade_frames

        count = self.context.last + 1
        restored = dict(memory)
        for back in range(1, crossfade_frames(self.context.fps, count) + 1):
            values = _values_at(tracks, (1 - back) % count)  # the motion from this frame to the one after it
            canvas = self._move(start, memory, values, reverse=True)
            if values["step"] * self.strength > 0:
                calm = self._calm_regions(canvas, -back)
                canvas = self._ascend(canvas, gradients, values["step"], count - back, calm)
                canvas = self._stabilize(canvas, memory, values, -back, calm)
            memory["canvas"] = canvas
            restored[f"preroll.{back}"] = (canvas.clamp(0, 1) * 255).round().byte()
        memory.update(restored)

    def _crossfade(self, canvas: Tensor, memory: Memory, number: int) -> tuple[Tensor, float]:
        """The canvas blended with the preroll, and the preroll's weight, which is 1 in the last frame."""
        from streamfx.animation.loop import crossfade_frames, crossfade_weight

        count = self.context.last + 1
        weight = crossfade_weight(count - number, crossfade_frames(self.context.fps, count))
        if not weight:
            return canvas, 0.0
        return canvas.lerp(memory_tensor(memory, f"preroll.{count - number}").to(canvas) / 255, weight), weight

    def _move(self, start: Tensor, memory: Memory, values: Mapping[str, float], *, reverse: bool = False) -> Tensor:
        """The canvas after one camera motion, or after its inverse, blended with its share of the start image."""
        import torch

        from streamfx.ops.camera import View, matrix_flow, render_still
        from streamfx.ops.warp import warp

        canvas = memory_tensor(memory, "canvas")
        size = canvas.shape[1], canvas.shape[2]
        view = View(values["zoom"], values["angle"], values["shift_x"], values["shift_y"])
        if view != View():
            matrix = view.matrix(*size)
            matrix = matrix.inverse() if reverse else matrix
            canvas = warp(canvas, matrix_flow(matrix, *size, canvas.device), "bicubic", self.border)
            memory["motion"] = matrix @ memory_tensor(memory, "motion")
        if values["view"]:
            still = render_still(start, memory_tensor(memory, "motion"), *size, border=self.border)
            canvas = canvas.lerp(still, values["view"])
        else:
            memory["motion"] = torch.eye(3, dtype=torch.float64)  # the start image returns as a whole
        return canvas

    def _ascend(
        self, canvas: Tensor, gradients: Callable[[int, bool], Gradient], step: float, number: int, calm: Tensor | None
    ) -> Tensor:
        """The canvas after gradient ascent; the finest octave is skipped except in every `finest`-th frame.

        The regions that dream the next layer and the rest of the frame take turns.
        """
        from streamfx.deepdream.ascent import Ascent, ascend, octave_sizes
        from streamfx.ops.regions import region_mask
        from streamfx.ops.resize import resize

        settings = Ascent(
            *(self.octaves, self.octave_scale, self.steps, step * self.strength, self.smooth, self.tile, self.seed),
            natural_colors=self.colors == "natural",
        )
        sizes = octave_sizes(canvas.shape[1], canvas.shape[2], settings)
        in_regions, step_share = False, None
        if self.regions:
            in_regions = number // self.finest % 2 == 1
            mask = region_mask(*sizes[-1], self.regions, number / self.context.fps, self.seed).to(canvas)
            step_share = 2 * (mask if in_regions else 1 - mask)
        if calm is not None:
            awake = 1 - _CALM_STEP * calm
            step_share = awake if step_share is None else step_share * awake
        gradient = gradients(number, in_regions)
        if len(sizes) == 1 or number % self.finest == 0:
            return ascend(canvas, gradient, settings, step_share=step_share, number=number)
        coarse_settings = replace(settings, octaves=len(sizes) - 1)
        coarse = resize(canvas, sizes[-2])
        if step_share is not None:
            step_share = resize(step_share, sizes[-2])
        change = ascend(coarse, gradient, coarse_settings, step_share=step_share, number=number) - coarse
        return resize(change, sizes[-1]).add_(canvas)

    def _calm_regions(self, canvas: Tensor, number: int) -> Tensor | None:
        """[1, H, W] 0..1, 1 where the canvas is calm; None if it is nowhere."""
        from streamfx.ops.regions import region_mask

        if not self.calm:
            return None
        time = number / self.context.fps
        return region_mask(canvas.shape[1], canvas.shape[2], self.calm, time, self.seed + 1).to(canvas)

    def _stabilize(
        self, canvas: Tensor, memory: Memory, values: Mapping[str, float], number: int, calm: Tensor | None
    ) -> Tensor:
        """The canvas with its drift in brightness, color and contrast at each scale limited."""
        from streamfx.ops.appearance import Corrections, hold_appearance, smoothed
        from streamfx.ops.color import luma
        from streamfx.ops.color_statistics import correct_drift

        if self.start_colors:
            start = memory_tensor(memory, "start")
            canvas = canvas.lerp(start + (luma(canvas) - luma(start)), self.start_colors)
        palettes = memory_tensor(memory, "palettes")
        current = int(values["layer"]) % len(palettes)
        shares = Corrections(
            balance=self.balance,
            palette=self.palette_share,
            soften=self.soften * min(1.0, values["step"] * self.strength / REFERENCE_STEP),
            soften_color=self.soften_color,
        )
        canvas = hold_appearance(canvas, memory_tensor(memory, "bands"), palettes[current], number, shares)
        if calm is not None:
            canvas = canvas.lerp(smoothed(canvas), _CALM_SOFTEN * calm)
        return correct_drift(canvas, memory_tensor(memory, "targets")[current], self.hold)

    def _gradients(self, indices: Array, device: torch.device) -> Callable[[int, bool], Gradient]:
        """(frame number, whether in the regions of the next layer) -> gradient of the objective."""
        from streamfx.deepdream.crossfade import ObjectiveGradients, crossfade_scenes

        objectives, scenes = ObjectiveGradients(self.model, self.weights, device), self.scenes()
        fade = CROSSFADE * self.context.fps
        here = crossfade_scenes(objectives, scenes, indices, fade)
        if not self.regions:
            return lambda number, in_regions: here(number)
        there = crossfade_scenes(objectives, scenes, (indices + 1) % len(scenes), fade)
        return lambda number, in_regions: (there if in_regions else here)(number)


def _first_frame(name: str) -> Tensor:
    from streamfx.media.input.reader import Reader

    with Reader(name) as reader:
        return next(iter(reader)).image


def _values_at(tracks: Mapping[str, Array], number: int) -> dict[str, float]:
    return {name: float(track[min(number, len(track) - 1)]) for name, track in tracks.items()}


def _check(feedback: Feedback) -> None:
    """Raise StreamfxError for settings out of range, and for invalid schedules and layers."""
    check(feedback)
    if min(feedback.size) < MIN_SIDE:
        height, width = feedback.size
        raise StreamfxError(f"{width}x{height} is too small for a feedback video; give {MIN_SIDE}x{MIN_SIDE} or more")
    check_schedules(feedback._schedules(), feedback.context, max(1, len(feedback.scenes())))
