"""What all sections of a timeline share: canvas size, pictures, objectives and schedule values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamfx.animation.schedule import parse_schedule
from streamfx.animation.timeline.loader import Timeline
from streamfx.animation.timeline.planner import Plan
from streamfx.animation.timeline.schema import ASCENT_RANGES, AscentTable, Document, DreamSection, MergeSection, Picture
from streamfx.animation.timeline.source_location import SourceLocation
from streamfx.deepdream.ascent import Ascent, ascend
from streamfx.deepdream.crossfade import ObjectiveGradients
from streamfx.deepdream.networks import NETWORKS, Network, choose_network, find_network, list_layers
from streamfx.deepdream.objective_syntax import Part, check_channels, parse_objective
from streamfx.errors import StreamfxError
from streamfx.ops.camera import render_still

Track: TypeAlias = NDArray[np.float64]  # a schedule's value for each frame of a section

STRIDE_EXPONENT = 0.65  # with a stride of n frames, the step is n ** this times as large
MAX_STRIDE_STEP = 0.05  # upper limit of that step (pixels are 0..1), unless the step itself is larger


class Scene:
    """Loads pictures and networks on first use and caches them."""

    def __init__(
        self,
        plan: Plan,
        size: tuple[int, int],
        network: Network,
        weights: str,
        seed: int,
        natural_colors: bool,
        device: torch.device,
    ) -> None:
        self.plan, self.size, self.network, self.seed, self.device = plan, size, network, seed, device
        self.natural_colors = natural_colors
        self.scale = scale_factor(plan.timeline.document, size)
        self.margin = round(plan.timeline.document.margin * self.scale)
        self.canvas_size = size[0] + 2 * self.margin, size[1] + 2 * self.margin
        self.objectives = ObjectiveGradients(network.name, weights, device)
        self._pictures: dict[str, Tensor] = {}

    def objective(self, layer: str) -> tuple[Part, ...]:
        """The parts of an objective, with the timeline's aliases resolved; "" is the network's default layer."""
        return objective_parts(self.plan.timeline.document, layer, self.network)

    def picture(self, name: str) -> Tensor:
        """[3, H, W]: a picture of the timeline cropped to the canvas, after its gradient ascent if it has a layer."""
        if name not in self._pictures:
            self._pictures[name] = self._load(name)
        return self._pictures[name]

    def _load(self, name: str) -> Tensor:
        from streamfx.media.input.reader import Reader

        timeline = self.plan.timeline
        picture = timeline.document.pictures[name]
        with Reader(picture_file(timeline, name)) as reader:
            frame = next(iter(reader))
        image = frame.image if frame.alpha is None else frame.image * frame.alpha
        image = render_still(image.to(self.device), torch.eye(3, dtype=torch.float64), *self.canvas_size).clamp(0, 1)
        if isinstance(picture, Picture) and picture.layer:
            step = self.constant(("pictures", name, "step"), picture.step, 0, 1)
            settings = self.ascent(("pictures", name), picture, range(1))(0, step)
            if settings.steps:
                image = ascend(image, self.objectives.gradient(self.objective(picture.layer)), settings).clamp(0, 1)
        return image

    def ascent(self, location: SourceLocation, table: AscentTable, frames: range) -> Callable[[int, float], Ascent]:
        """(frame of the video, step size) -> the ascent settings in that frame.

        Patterns have a fixed size in pixels, set by the network, so smaller videos use fewer octaves to look the same.
        """
        tracks = {
            key: self.track((*location, key), getattr(table, key), frames, *ASCENT_RANGES[key]) for key in ASCENT_RANGES
        }

        def settings(frame: int, step: float) -> Ascent:
            values = {name: value_at(track, frames, frame) for name, track in tracks.items()}
            scale = values["octave_scale"]
            octaves = max(1, round(values["octaves"] + math.log(self.scale, scale)))
            steps, tile = round(values["steps"]), round(values["tile"])
            return Ascent(octaves, scale, steps, step, values["smooth"], tile, self.seed, self.natural_colors)

        return settings

    def stride_step(self, step: float) -> float:
        """The step size that replaces those of all frames in one stride."""
        stride = self.plan.stride
        return step if stride == 1 else min(max(step, MAX_STRIDE_STEP), step * stride**STRIDE_EXPONENT)

    def stride_share(self, share: float) -> float:
        """A share per frame, compounded over one stride."""
        return 1 - (1 - share) ** self.plan.stride

    def constant(self, location: SourceLocation, value: float | str, low: float, high: float) -> float:
        """The value of a setting that does not change over time."""
        return float(self.track(location, value, range(self.plan.context.last + 1), low, high)[0])

    def track(
        self, location: SourceLocation, value: float | str, frames: range, low: float = -np.inf, high: float = np.inf
    ) -> Track:
        """The values of a schedule in `frames`. Raises StreamfxError, with line, key and frame, if one is invalid."""
        timeline, key = self.plan.timeline, str(location[-1])
        try:
            values = parse_schedule(value, key).between(frames.start, frames.stop, self.plan.context)
        except StreamfxError as error:
            raise timeline.error(location, str(error)) from error
        invalid = np.flatnonzero((values < low) | (values > high))
        if len(invalid):
            index = int(invalid[0])
            reason = f"{key} is {values[index]:g} at frame {frames[index]}, but must be from {low:g} to {high:g}"
            raise timeline.error(location, reason)
        return values


def value_at(track: Track, frames: range, frame: int) -> float:
    """The value of a track over `frames` at a frame of the video; outside `frames`, the nearest value is held."""
    return float(track[min(max(frame - frames.start, 0), len(track) - 1)])


def scale_factor(document: Document, size: tuple[int, int]) -> float:
    """The scale of a video of `size` (height, width) relative to the timeline's size."""
    return min(size[0] / document.size[1], size[1] / document.size[0])


def picture_file(timeline: Timeline, name: str) -> str:
    """The file of a picture. Raises StreamfxError if it is missing."""
    picture = timeline.document.pictures[name]
    if isinstance(picture, Picture):
        return timeline.find_file(picture.file, ("pictures", name, "file"))
    return timeline.find_file(picture, ("pictures", name))


def objective_parts(document: Document, layer: str, network: Network) -> tuple[Part, ...]:
    """The parts of an objective, with the timeline's layer aliases for this network resolved."""
    aliases = document.layers.get(network.name, {})
    parts: list[Part] = []
    for part in parse_objective(layer or network.default):
        alias = aliases.get(part.layer) if part.channel is None else None
        resolved = (part,) if alias is None else parse_objective(alias)
        parts += resolved if alias is None else (replace(term, share=term.share * part.share) for term in resolved)
    return tuple(parts)


def choose_model(timeline: Timeline, model: str) -> Network:
    """The network called `model`; for "auto", the first one in the timeline whose weights are cached.

    Raises StreamfxError, with line and key, for layers that the network does not have.
    """
    aliases = timeline.document.layers
    for name in aliases:
        if name not in NETWORKS and not name.startswith("timm:"):
            reason = f"unknown network '{name}'; known: {', '.join(NETWORKS)}, timm:NAME"
            raise timeline.error(("layers", name), reason)
    if not aliases:
        network = _choose_by_layers(timeline, model)
    elif model == "auto":
        cached = [name for name in aliases if find_network(name).cached]
        if not cached:
            names, first = " or ".join(aliases), next(iter(aliases))
            raise StreamfxError(f"'{timeline.path.name}' needs {names}; run: streamfx models fetch {first}")
        network = find_network(cached[0])
    elif model in aliases:
        network = find_network(model)
    else:
        raise StreamfxError(f"'{timeline.path.name}' has no layers for {model}; use --model {' or '.join(aliases)}")
    channels = {layer.name: layer.channels for layer in list_layers(network.name)}
    for location, text in _layers(timeline):
        try:
            check_channels(objective_parts(timeline.document, text, network), channels, network.name)
        except StreamfxError as error:
            raise timeline.error(location, str(error)) from error
    return network


def _choose_by_layers(timeline: Timeline, model: str) -> Network:
    """The network that has all the layers of a timeline without aliases."""
    used = [(location, [part.layer for part in parse_objective(text)]) for location, text in _layers(timeline) if text]
    try:
        return choose_network(model, list(dict.fromkeys(layer for _, layers in used for layer in layers)))
    except StreamfxError:
        for location, layers in used:
            try:
                choose_network(model, layers)
            except StreamfxError as error:
                raise timeline.error(location, str(error)) from error
        raise


def _layers(timeline: Timeline) -> Iterator[tuple[SourceLocation, str]]:
    """All objectives in a timeline, with their locations."""
    for name, picture in timeline.document.pictures.items():
        if isinstance(picture, Picture) and picture.layer:
            yield ("pictures", name, "layer"), picture.layer
    for number, section in enumerate(timeline.sections):
        location: SourceLocation = ("section", number)
        if isinstance(section, MergeSection):
            yield (*location, "layer"), section.layer
        if not isinstance(section, DreamSection):
            continue
        if isinstance(section.layer, str):
            yield (*location, "layer"), section.layer
        else:
            for index, change in enumerate(section.layer):
                yield (*location, "layer", index, "layer"), change.layer
        for index, ring in enumerate(section.ring):
            if ring.layer:
                yield (*location, "ring", index, "layer"), ring.layer
