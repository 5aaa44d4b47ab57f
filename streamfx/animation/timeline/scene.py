"""What all sections of a timeline share: the canvas, the pictures on it, and what can be dreamed of."""

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
from streamfx.animation.timeline.schema import CLIMBS, Climb, Dreamed, Merge, Picture, Script
from streamfx.animation.timeline.source_location import Place
from streamfx.deepdream.ascent import Ascent, ascend
from streamfx.deepdream.crossfade import Objectives
from streamfx.deepdream.networks import NETWORKS, Network, choose_network, find_network, list_layers
from streamfx.deepdream.objective_syntax import Part, check_channels, parse_objective
from streamfx.errors import StreamfxError
from streamfx.ops.camera import reference

Track: TypeAlias = NDArray[np.float64]  # a schedule's value for each frame of a section

SHARED = 0.65  # power of the number of frames by which a step is larger that stands for all of them
WIDEST_STEP = 0.05  # of 0..1, of such a step


class Studio:
    """Reads pictures and networks when they are first needed; what it gives for a name is always the same."""

    def __init__(
        self, plan: Plan, size: tuple[int, int], network: Network, weights: str, seed: int, device: torch.device
    ) -> None:
        self.plan, self.size, self.network, self.seed, self.device = plan, size, network, seed, device
        script = plan.timeline.script
        self.scale = scale_of(script, size)
        self.margin = round(script.margin * self.scale)
        self.canvas = size[0] + 2 * self.margin, size[1] + 2 * self.margin
        self.objectives = Objectives(network.name, weights, device)
        self._pictures: dict[str, Tensor] = {}

    def parts(self, layer: str) -> tuple[Part, ...]:
        """What is meant by a layer's name here; the network's best by none."""
        return parts_of(self.plan.timeline.script, layer, self.network)

    def picture(self, name: str) -> Tensor:
        """[3, H, W]: a picture of the timeline on the canvas, dreamed on where it is to be."""
        if name not in self._pictures:
            self._pictures[name] = self._load(name)
        return self._pictures[name]

    def _load(self, name: str) -> Tensor:
        from streamfx.media.input.reader import Reader

        timeline = self.plan.timeline
        told = timeline.script.pictures[name]
        with Reader(picture_file(timeline, name)) as reader:
            frame = next(iter(reader))
        image = frame.image if frame.alpha is None else frame.image * frame.alpha
        made = reference(image.to(self.device), torch.eye(3, dtype=torch.float64), *self.canvas).clamp(0, 1)
        if isinstance(told, Picture) and told.layer:
            step = self.number(("pictures", name, "step"), told.step, 0, 1)
            climb = self.climbing(("pictures", name), told, range(1))(0, step)
            if climb.steps:
                made = ascend(made, self.objectives.gradient(self.parts(told.layer)), climb).clamp(0, 1)
        return made

    def climbing(self, place: Place, climb: Climb, frames: range) -> Callable[[int, float], Ascent]:
        """(a frame of the film, the size of a step) -> how to climb there.

        Patterns are as large as the network's, in pixels, so that fewer octaves look the same in a smaller film.
        """
        tracks = {name: self.track((*place, name), getattr(climb, name), frames, *CLIMBS[name]) for name in CLIMBS}

        def at(frame: int, step: float) -> Ascent:
            now = {name: value_at(track, frames, frame) for name, track in tracks.items()}
            scale = now["octave_scale"]
            octaves = max(1, round(now["octaves"] + math.log(self.scale, scale)))
            steps, tile = round(now["steps"]), round(now["tile"])
            return Ascent(octaves, scale, steps, step, now["smooth"], tile, self.seed)

        return at

    def whole(self, step: float) -> float:
        """The size of a step that stands for all the frames from one that is made to the next."""
        every = self.plan.every
        return step if every == 1 else min(max(step, WIDEST_STEP), step * every**SHARED)

    def compound(self, share: float) -> float:
        """A share of each frame as one of all the frames from one that is made to the next."""
        return 1 - (1 - share) ** self.plan.every

    def number(self, place: Place, value: float | str, low: float, high: float) -> float:
        """A setting that is the same all the time."""
        return float(self.track(place, value, range(self.plan.context.last + 1), low, high)[0])

    def track(
        self, place: Place, value: float | str, frames: range, low: float = -np.inf, high: float = np.inf
    ) -> NDArray[np.float64]:
        """The values of a schedule for these frames. Raises StreamfxError with the line, key and frame of a mistake."""
        timeline, key = self.plan.timeline, str(place[-1])
        try:
            made = parse_schedule(value, key).between(frames.start, frames.stop, self.plan.context)
        except StreamfxError as error:
            raise timeline.error(place, str(error)) from error
        wrong = np.flatnonzero((made < low) | (made > high))
        if len(wrong):
            at = int(wrong[0])
            reason = f"{key} is {made[at]:g} at frame {frames[at]}, but must be from {low:g} to {high:g}"
            raise timeline.error(place, reason)
        return made


def value_at(track: Track, span: range, frame: int) -> float:
    """The value at a frame of the film, of a track over `span`; those at its ends hold beyond them."""
    return float(track[min(max(frame - span.start, 0), len(track) - 1)])


def scale_of(script: Script, size: tuple[int, int]) -> float:
    """How large the film is, in sizes of the timeline."""
    return min(size[0] / script.size[1], size[1] / script.size[0])


def picture_file(timeline: Timeline, name: str) -> str:
    """The file of a picture. Raises StreamfxError where it is missing."""
    told = timeline.script.pictures[name]
    if isinstance(told, Picture):
        return timeline.file(told.file, ("pictures", name, "file"))
    return timeline.file(told, ("pictures", name))


def parts_of(script: Script, layer: str, network: Network) -> tuple[Part, ...]:
    """The parts of an objective in which layers have the timeline's names for this network."""
    names = script.layers.get(network.name, {})
    made: list[Part] = []
    for part in parse_objective(layer or network.default):
        known = names.get(part.layer) if part.channel is None else None
        meant = (part,) if known is None else parse_objective(known)
        made += meant if known is None else (replace(each, share=each.share * part.share) for each in meant)
    return tuple(made)


def choose_model(timeline: Timeline, model: str) -> Network:
    """The network to dream with: the one asked for, or the first one that the timeline speaks of and that is here.

    Raises StreamfxError, with line and key, for layers that it does not have.
    """
    told = timeline.script.layers
    for name in told:
        if name not in NETWORKS and not name.startswith("timm:"):
            raise timeline.error(("layers", name), f"'{name}' is no network; known: {', '.join(NETWORKS)}, timm:NAME")
    if not told:
        network = _choose(timeline, model)
    elif model == "auto":
        here = [name for name in told if find_network(name).cached]
        if not here:
            either, first = " or ".join(told), next(iter(told))
            raise StreamfxError(f"'{timeline.path.name}' dreams with {either}: streamfx models fetch {first}")
        network = find_network(here[0])
    elif model in told:
        network = find_network(model)
    else:
        raise StreamfxError(f"'{timeline.path.name}' names its layers for {', '.join(told)}; give one of these")
    channels = {each.name: each.channels for each in list_layers(network.name)}
    for place, text in _layers(timeline):
        try:
            check_channels(parts_of(timeline.script, text, network), channels, network.name)
        except StreamfxError as error:
            raise timeline.error(place, str(error)) from error
    return network


def _choose(timeline: Timeline, model: str) -> Network:
    """The network that has all the layers of a timeline which gives them no names of its own."""
    told = [(place, [part.layer for part in parse_objective(text)]) for place, text in _layers(timeline) if text]
    try:
        return choose_network(model, list(dict.fromkeys(layer for _, layers in told for layer in layers)))
    except StreamfxError:
        for place, layers in told:
            try:
                choose_network(model, layers)
            except StreamfxError as error:
                raise timeline.error(place, str(error)) from error
        raise


def _layers(timeline: Timeline) -> Iterator[tuple[Place, str]]:
    """All layers that a timeline names, and where."""
    for name, told in timeline.script.pictures.items():
        if isinstance(told, Picture) and told.layer:
            yield ("pictures", name, "layer"), told.layer
    for number, section in enumerate(timeline.sections):
        place: Place = ("section", number)
        if isinstance(section, Merge):
            yield (*place, "layer"), section.layer
        if not isinstance(section, Dreamed):
            continue
        if isinstance(section.layer, str):
            yield (*place, "layer"), section.layer
        else:
            for at, turn in enumerate(section.layer):
                yield (*place, "layer", at, "layer"), turn.layer
        for at, ring in enumerate(section.ring):
            if ring.layer:
                yield (*place, "ring", at, "layer"), ring.layer
