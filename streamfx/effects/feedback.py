"""A film out of one picture: each frame is the last one, moved by a camera and dreamed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from streamfx.animation.loop import pull, turning_frames
from streamfx.animation.schedule import Context, parse_schedule
from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step
from streamfx.settings import check

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from streamfx.deepdream.ascent import Gradient
    from streamfx.deepdream.objective_syntax import Part

Array: TypeAlias = NDArray[np.float64]

SCENE = 12  # seconds that a layer is dreamed of at most, where there are several
FADE = 1.5  # seconds in which the next one takes over
WIDTH, HEIGHT = 1280, 720  # pixels, of the film that sizes are told for
RATE = 30  # frames a second that the moves below are told for
SCENES = {  # network -> the layers that take turns where none is asked for
    "lite0": "block10, block7, block4, block8",
    "inceptionv1": "mixed4c, mixed3b, mixed4d, mixed4a",
}
MOVES = {  # where no song is
    "zoom": "(1.008 + 0.005*noise(t/fps/3, 1))**(30/fps)",
    "angle": "0.35*noise(t/fps/4, 2)*30/fps",
    "shift_x": "1.5*noise(t/fps/3, 3)*30/fps",
    "shift_y": "1.0*noise(t/fps/3, 4)*30/fps",
    "step": "0.014*min(1, 0.4 + t/fps/2)",
}
SONG_MOVES = {
    "zoom": "(1.003 + 0.008*bass + 0.02*beat)**(30/fps)",
    "angle": "(where(section % 2 == 0, 1, -1)*(0.08 + 0.5*beat) + 0.25*noise(t/fps/4, 2))*30/fps",
    "shift_x": "(1.5*noise(t/fps/3, 3) + 3*mid*noise(t/fps/2, 5))*30/fps",
    "shift_y": "(1.0*noise(t/fps/3, 4) + 3*high*noise(t/fps/2, 6))*30/fps",
    "step": "(0.010 + 0.010*rms + 0.006*onset)*min(1, 0.4 + t/fps/2)",
}
USUAL = 0.015  # a step whose detail has to be softened in whole
LEAST = 32  # pixels, a side of a film


@dataclass(frozen=True, slots=True)
class Feedback:
    """Dream on from the last dream; the frames that come in are what it begins with, and its colours' model.

    What it remembers is its canvas, a little larger than the film, so that no border is seen.
    """

    context: Context  # of the film: what its schedules speak of
    size: tuple[int, int] = (HEIGHT, WIDTH)  # pixels
    zoom: Annotated[str, Doc("Schedule of a factor per frame; by default it follows the audio")] = ""
    angle: Annotated[str, Doc("Schedule of degrees per frame; by default it follows the audio")] = ""
    shift_x: Annotated[str, Doc("Schedule of pixels per frame to the right; by default it follows the audio")] = ""
    shift_y: Annotated[str, Doc("Schedule of pixels per frame down; by default it follows the audio")] = ""
    step: Annotated[str, Doc("Schedule of the size of a step, 0..1; by default it follows the audio")] = ""
    layer: Annotated[str, Doc("What to dream; several, separated by commas, take turns with the audio's parts")] = ""
    model: Annotated[str, Doc("The network to dream with; auto takes an installed one with the layer")] = "auto"
    weights: Annotated[str, Doc("File of the model's weights, instead of the downloaded one")] = ""
    strength: Annotated[float, Ge(0), Le(4), Doc("How far to dream; at 0 only the camera moves")] = 1.0
    octaves: Annotated[int, Ge(1), Le(12), Doc("Number of pattern sizes")] = 3
    octave_scale: Annotated[float, Ge(1.1), Le(4), Doc("Ratio of one octave's size to the next")] = 1.5
    finest: Annotated[int, Ge(1), Le(100), Doc("The finest octave, the most costly, runs every so many frames")] = 3
    steps: Annotated[int, Ge(1), Le(1000), Doc("Steps in each octave")] = 1
    smooth: Annotated[float, Ge(0), Le(1), Doc("Smoothing of the gradient across scales")] = 0.5
    tile: Annotated[int, Ge(128), Le(4096), Doc("Longest side in pixels that the network gets at once")] = 640
    seed: Annotated[int, Ge(0), Le(10**9), Doc("Seed of moves and shifts")] = 0
    margin: Annotated[int, Ge(0), Le(1000), Doc("Pixels computed around a video of 1280x720")] = 60
    border: Annotated[Literal["reflect", "replicate", "wrap"], Doc("What lies beyond the canvas")] = "reflect"
    guide: Annotated[float, Ge(0), Le(1), Doc("Share of the start's colors mixed into each frame")] = 0.003
    view: Annotated[float, Ge(0), Le(1), Doc("Share of the start, as the camera sees it now, in each frame")] = 0.0
    hold: Annotated[float, Ge(0), Le(1), Doc("Share of drifted brightness, contrast and color undone per frame")] = 0.2
    soften: Annotated[float, Ge(0), Le(1), Doc("Share of the finest detail removed per frame at the usual step")] = 0.08
    loop: Annotated[bool, Doc("Let the end run into the start")] = False

    def __post_init__(self) -> None:
        _check(self)

    def reads(self) -> list[Path]:
        """The files that the dream comes from."""
        return [Path(self.weights)] if self.weights else []

    def settled(self) -> Feedback:
        """The same with model, layers and schedules that are meant. Raises StreamfxError."""
        from streamfx.deepdream.networks import choose_network, list_layers
        from streamfx.deepdream.objective_syntax import check_channels

        parts = [part for scene in self.scenes() for part in scene]
        network = choose_network(self.model, [part.layer for part in parts])
        if not parts and not network.default:
            raise StreamfxError(f"give a layer of {network.name}: 'streamfx models layers {network.name}' lists them")
        if any(part.channel is not None for part in parts):
            check_channels(parts, {each.name: each.channels for each in list_layers(network.name)}, network.name)
        moves = SONG_MOVES if self.context.music else MOVES
        given: dict[str, Any] = {name: getattr(self, name) or text for name, text in moves.items()}
        layer = self.layer if parts else SCENES.get(network.name, network.default)
        return replace(self, model=network.name, layer=layer, **given)

    def scenes(self) -> list[tuple[Part, ...]]:
        """The objectives that take turns."""
        from streamfx.deepdream.objective_syntax import parse_objective

        return [parse_objective(text) for text in self.layer.split(",")] if self.layer.strip() else []

    def tracks(self) -> dict[str, Array]:
        """Name -> its value for each frame: the schedules, and `layer`, the number of the one dreamed of.

        Raises StreamfxError for schedules that cannot be read or that leave their range, with the frame.
        """
        count = self.context.last + 1
        made = {}
        for name in MOVES:
            schedule = parse_schedule(getattr(self, name), name)
            made[name] = schedule.values(count, self.context)
        for name, low, high in (("zoom", 0.01, 100.0), ("step", 0.0, 1.0)):
            wrong = np.flatnonzero((made[name] < low) | (made[name] > high))
            if len(wrong):
                frame = int(wrong[0])
                value = made[name][frame]
                raise StreamfxError(f"{name} is {value:g} at frame {frame}, but must be from {low:g} to {high:g}")
        made["layer"] = self._turns(count)
        return made

    def build(self, device: torch.device) -> Step:
        """The step that dreams on; reads the networks now."""
        meant = self.settled()
        tracks = meant.tracks()
        gradients = meant._gradients(tracks["layer"], device)

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            number = memory.get("number", 0)
            assert isinstance(number, int)
            now = _at(tracks, number)
            if number == 0:
                meant._begin(frame.image, memory)
                if meant.loop:
                    meant._run_up(frame.image, memory, tracks, gradients)
            else:
                canvas, share = meant._moved(frame.image, memory, now), 0.0
                if meant.loop:
                    canvas, share = meant._drawn(canvas, memory, number)
                if now["step"] * meant.strength > 0 and share < 1:
                    climbed = meant._climb(canvas, gradients(number), now["step"], number)
                    canvas = meant._governed(climbed, memory, now["step"] * meant.strength)
                memory["canvas"] = canvas
            memory["number"] = number + 1
            top, left = meant.margins
            height, width = meant.size
            yield frame.with_image(_tensor(memory, "canvas")[:, top : top + height, left : left + width])

        return step

    @property
    def margins(self) -> tuple[int, int]:
        """Pixels of the canvas above and below the film, and on its sides."""
        each = round(self.margin * min(self.size[0] / HEIGHT, self.size[1] / WIDTH))
        return each, each

    def _begin(self, start: Tensor, memory: Memory) -> None:
        """The first canvas: the start, cropped to the canvas' shape, of which the film shows all but the margin."""
        import torch

        from streamfx.ops.camera import reference
        from streamfx.ops.color_statistics import traits

        still = torch.eye(3, dtype=torch.float64)
        (height, width), (top, left) = self.size, self.margins
        canvas = reference(start, still, height + 2 * top, width + 2 * left).clamp(0, 1)
        memory.update({"canvas": canvas, "start": canvas, "moved": still, "aim": traits(canvas)})

    def _run_up(
        self, start: Tensor, memory: Memory, tracks: Mapping[str, Array], gradients: Callable[[int], Gradient]
    ) -> None:
        """What comes before the start, dreamed backwards: what the film's last frames are to become."""
        count = self.context.last + 1
        begun = dict(memory)
        for back in range(1, turning_frames(self.context.fps, count) + 1):
            now = _at(tracks, (1 - back) % count)  # how the one before comes to the one behind
            canvas = self._moved(start, memory, now, back=True)
            if now["step"] * self.strength > 0:
                climbed = self._climb(canvas, gradients(count - back), now["step"], -back)
                canvas = self._governed(climbed, memory, now["step"] * self.strength)
            memory["canvas"] = canvas
            begun[f"before.{back}"] = (canvas.clamp(0, 1) * 255).round().byte()
        memory.update(begun)

    def _drawn(self, canvas: Tensor, memory: Memory, number: int) -> tuple[Tensor, float]:
        """The canvas drawn to what comes before the start, and how far: all of it in the last frame."""
        count = self.context.last + 1
        share = pull(count - number, turning_frames(self.context.fps, count))
        if not share:
            return canvas, 0.0
        return canvas.lerp(_tensor(memory, f"before.{count - number}").to(canvas) / 255, share), share

    def _moved(self, start: Tensor, memory: Memory, now: Mapping[str, float], *, back: bool = False) -> Tensor:
        """The canvas as the camera sees it after one more move, or `back` before it."""
        from streamfx.ops.camera import View, flow_of, reference
        from streamfx.ops.warp import warp

        canvas = _tensor(memory, "canvas")
        size = canvas.shape[1], canvas.shape[2]
        view = View(now["zoom"], now["angle"], now["shift_x"], now["shift_y"])
        if view != View():
            move = view.matrix(*size)
            move = move.inverse() if back else move
            canvas = warp(canvas, flow_of(move, *size, canvas.device), "bicubic", self.border)
            memory["moved"] = move @ _tensor(memory, "moved")
        if self.view:
            canvas = canvas.lerp(reference(start, _tensor(memory, "moved"), *size, border=self.border), self.view)
        return canvas

    def _climb(self, canvas: Tensor, gradient: Gradient, step: float, number: int) -> Tensor:
        """The canvas dreamed on: all octaves in every `finest`-th frame, in the others all but the finest."""
        from streamfx.deepdream.ascent import Ascent, ascend, octave_sizes, resized

        settings = Ascent(
            self.octaves, self.octave_scale, self.steps, step * self.strength, self.smooth, self.tile, self.seed
        )
        sizes = octave_sizes(canvas.shape[1], canvas.shape[2], settings)
        if len(sizes) == 1 or number % self.finest == 0:
            return ascend(canvas, gradient, settings, number=number)
        less = replace(settings, octaves=len(sizes) - 1)
        small = resized(canvas[None], sizes[-2])[0]
        gained = ascend(small, gradient, less, number=number) - small
        return canvas + resized(gained[None], sizes[-1])[0]

    def _governed(self, canvas: Tensor, memory: Memory, step: float) -> Tensor:
        """The canvas kept from burning out, from going grey, and from getting ever finer."""
        from streamfx.ops.color import luma
        from streamfx.ops.color_statistics import hold, soften

        if self.guide:
            start = _tensor(memory, "start")
            canvas = canvas.lerp(start + (luma(canvas) - luma(start)), self.guide)
        if self.soften:
            canvas = soften(canvas, self.soften * min(1.0, step / USUAL))  # as detail comes, so it goes
        return hold(canvas, _tensor(memory, "aim"), self.hold)

    def _gradients(self, turns: Array, device: torch.device) -> Callable[[int], Gradient]:
        """The number of a frame -> the gradient to climb."""
        from streamfx.deepdream.crossfade import Objectives, taking_turns

        objectives = Objectives(self.model, self.weights, device)
        return taking_turns(objectives, self.scenes(), turns, FADE * self.context.fps)

    def _turns(self, count: int) -> Array:
        """For each frame the number of its scene: the next one where a part of the song begins, and after a while."""
        scenes = max(1, len(self.scenes()))
        parts = self.context.music.get("section", np.zeros(1))
        begins = [0, *(np.flatnonzero(np.diff(parts[:count])) + 1), count]
        longest = max(1, round(SCENE * self.context.fps))
        turns: list[int] = []
        turn = 0
        for begin, end in pairwise(begins):
            for _ in range(begin, end, longest):
                turns += [turn] * min(longest, end - len(turns))
                turn = (turn + 1) % scenes
        return np.array(turns, np.float64)


def _at(tracks: Mapping[str, Array], number: int) -> dict[str, float]:
    return {name: float(track[min(number, len(track) - 1)]) for name, track in tracks.items()}


def _tensor(memory: Memory, name: str) -> Tensor:
    import torch

    kept = memory[name]
    assert isinstance(kept, torch.Tensor)
    return kept


def _check(feedback: Feedback) -> None:
    """Raise StreamfxError for a setting that is out of its range, and for schedules and layers that make no sense."""
    check(feedback)
    if min(feedback.size) < LEAST:
        height, width = feedback.size
        raise StreamfxError(f"a film of {width}x{height} is too small to dream on; give {LEAST}x{LEAST} or more")
    for name in MOVES:
        if getattr(feedback, name):
            parse_schedule(getattr(feedback, name), name).check(feedback.context)
    feedback.scenes()
