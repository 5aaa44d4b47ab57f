"""Dream on every frame: what a network sees in it is made to be there."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from annotated_types import Ge, Le
from typing_extensions import Doc

from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step
from streamfx.settings import SCHEDULABLE, check

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from streamfx.deepdream.ascent import Ascent
    from streamfx.deepdream.objective import Objective
    from streamfx.deepdream.objective_syntax import Part
    from streamfx.media.input.mask import Mask

_Guide: TypeAlias = "Callable[[Fraction], Mapping[str, Tensor] | None]"
_Past: TypeAlias = "Callable[[Memory, Tensor], tuple[Tensor, Tensor] | None]"

AMOUNT, AMONG = 0.08, 6  # of 0..1 that a pixel moves in an octave at strength 1, where the gradient has its mean size
SHARED = 0.65  # power of the number of steps by which one is smaller: many steps turn more often than few large ones
BLACK, WHITE = 0.25 / 255, 1 - 0.25 / 255  # of a mask; what is all beyond them is all source, or all dream
DUSK = 0.1  # mean luma of frames; what is darker fades, and its dream with it
# of a dream that is followed, what it has to gain anew: it climbs further each time, and what moves blurs
ANEW_STILL, ANEW_MOVING = 0.15, 0.4
JUDGED = 4  # frames from one to the next that is judged for it
LEAST_ANEW, MOST_ANEW = 0.2, 1.8  # times that
FEWER = 0.8  # share of the steps that a frame can do without, where all of it follows the last one
GUIDE_AREA = 384 * 384  # pixels; guides are looked at in this size

steps_log = logging.getLogger("streamfx.iterations")


@dataclass(frozen=True, slots=True)
class Dream:
    """Deep dream: climb to what excites a layer or a channel of a network."""

    layer: Annotated[
        str, Doc("What to dream: block10, mixed4a:83 (a channel), a+b, 0.7*a - 0.3*b; by default the model's best")
    ] = ""
    model: Annotated[
        str, Doc("lite0, inceptionv1, googlenet, ..., timm:NAME; auto takes an installed one with the layer")
    ] = "auto"
    weights: Annotated[str, Doc("File of the model's weights, instead of the downloaded one")] = ""
    guide: Annotated[str, Doc("Picture or video whose features appear")] = ""
    strength: Annotated[float, Ge(0), Le(4), Doc("How far to dream")] = 1.0
    octaves: Annotated[int, Ge(1), Le(12), SCHEDULABLE, Doc("Number of pattern sizes")] = 3
    octave_scale: Annotated[float, Ge(1.1), Le(4), Doc("Ratio of one octave's size to the next")] = 1.4
    steps: Annotated[int, Ge(1), Le(1000), SCHEDULABLE, Doc("Steps in each octave")] = 6
    step: Annotated[
        float, Ge(0), Le(1), Doc("Size of a step where the gradient has its mean size; 0 follows the strength")
    ] = 0.0
    smooth: Annotated[float, Ge(0), Le(1), Doc("Smoothing of the gradient across scales")] = 0.5
    tile: Annotated[
        int,
        Ge(128),
        Le(4096),
        SCHEDULABLE,
        Doc("Longest side in pixels per network run; less saves memory"),
    ] = 640
    seed: Annotated[int, Ge(0), Le(10**9), SCHEDULABLE, Doc("Seed of the random shifts")] = 0
    preserve_color: Annotated[bool, Doc("Keep the source's colors and take only brightness from the dream")] = False
    mask: Annotated[str, Doc("Picture or video: dream where it is white")] = ""
    mask_start: Annotated[
        Fraction, Ge(0), Le(10**7), Doc("Second of mask and guide videos at which the video begins")
    ] = Fraction(0)
    coherence: Annotated[
        Literal["off", "warp"], Doc("off dreams on each frame alone, warp continues the previous dream")
    ] = "warp"
    motion: Annotated[
        Literal["dis", "lk", "raft"], Doc("Motion estimation: dis, lk (fast on a GPU), raft (a network, slow)")
    ] = "dis"
    blend: Annotated[float, Ge(0), Le(0.99), Doc("Share of the previous dream that continues")] = 0.9

    def __post_init__(self) -> None:
        check(self)
        if not self.model:
            raise StreamfxError("dream: model is '', but must be the name of a model or auto")
        if self.layer.strip():
            self.parts()

    def parts(self) -> tuple[Part, ...]:
        """What is asked for; nothing where the network may choose."""
        from streamfx.deepdream.objective_syntax import parse_objective

        return parse_objective(self.layer) if self.layer.strip() else ()

    def reads(self) -> list[Path]:
        """The files that the dream comes from."""
        return [Path(name) for name in (self.weights, self.guide, self.mask) if name]

    def settled(self) -> Dream:
        """The same with the model and the layer that are meant; reads the layer's address. Raises StreamfxError."""
        from streamfx.deepdream.networks import choose_network, list_layers
        from streamfx.deepdream.objective_syntax import check_channels

        parts = self.parts()
        network = choose_network(self.model, [part.layer for part in parts])
        if not parts and not network.default:
            raise StreamfxError(f"give a layer of {network.name}: 'streamfx models layers {network.name}' lists them")
        if any(part.channel is not None for part in parts):
            check_channels(parts, {each.name: each.channels for each in list_layers(network.name)}, network.name)
        return replace(self, model=network.name, layer=self.layer if parts else network.default)

    def build(self, device: torch.device) -> Step:
        """The step that dreams; reads the network, the guide and the mask now."""
        import torch

        from streamfx.deepdream.networks import build_layers
        from streamfx.deepdream.objective import Objective
        from streamfx.motion.temporal import remember
        from streamfx.ops.color_statistics import govern

        settled = self.settled()
        parts = settled.parts()
        network = build_layers(settled.model, list(dict.fromkeys(part.layer for part in parts)), self.weights)
        objective = Objective(network.to(memory_format=torch.channels_last).to(device), parts, device)
        guide_at = self._build_guide(objective, device)
        past_of = self._build_past(device)
        mask = self._open_mask()

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            image = frame.image
            where = None if mask is None else mask.at(frame.pts + self.mask_start, image)
            if frame.cut:
                memory.clear()
            if self.strength == 0 or (where is not None and where.max() <= BLACK):
                memory.clear()
                yield frame
                return
            guide = guide_at(frame.pts + self.mask_start)
            past = past_of(memory, image)
            start, room = (image, None) if past is None else past
            number = memory.get("number", 0)
            assert isinstance(number, int)
            once = "met" not in memory  # the only frame, perhaps
            climbed = self._climb(start, room, lambda x: objective.gradient(x, guide, once=once), image, number)
            memory["met"] = 1
            dream = govern(image, climbed)
            if self.coherence != "off":
                if number % JUDGED == 0:
                    _judge(memory, *(objective.value(self._middle(each), guide) for each in (dream, image)))
                remember(memory, image, {"dream": dream, "change": 0.5 + 0.5 * (dream - image)}, frame.pts)
                memory["number"] = number + 1
            yield frame.with_image(self._finish(image, dream, where))

        return step

    def ascent(self, known: float = 0.0, light: float = 1.0) -> Ascent:
        """How to climb a picture of mean luma `light` of which the share `known` follows the last one."""
        from streamfx.deepdream.ascent import Ascent

        steps = max(min(2, self.steps), math.ceil(self.steps * (1 - FEWER * known)))
        step = self.step * self.strength or AMOUNT / AMONG * self.strength * (AMONG / self.steps) ** SHARED
        step *= (self.steps / steps) ** SHARED * min(1.0, light / DUSK)
        return Ascent(self.octaves, self.octave_scale, steps, step, self.smooth, self.tile, self.seed)

    def _climb(
        self, start: Tensor, room: Tensor | None, gradient: Callable[[Tensor], Tensor], image: Tensor, number: int
    ) -> Tensor:
        from streamfx.deepdream.ascent import ascend
        from streamfx.ops.color import luma

        known = 0.0 if room is None else 1 - float(room.mean())
        settings = self.ascent(known, float(luma(image[:, ::4, ::4]).mean()))
        return ascend(
            start,
            gradient,
            settings,
            room=room,
            number=number,
            report=lambda done, whole: steps_log.info("step %d of %d", done, whole),
        )

    def _middle(self, image: Tensor) -> Tensor:
        """What the network is shown at once of an image [3, H, W], as [1, 3, h, w]."""
        from streamfx.deepdream.ascent import middle

        return middle(image[None], self.tile)

    def _finish(self, source: Tensor, dream: Tensor, where: Tensor | None) -> Tensor:
        """The dream as it is to be seen: in its source's colours, and where the mask is white."""
        from streamfx.ops.color import keep_color

        if self.preserve_color:
            dream = keep_color(source, dream)
        return dream if where is None or where.min() >= WHITE else source.lerp(dream, where)

    def _open_mask(self) -> Mask | None:
        if not self.mask:
            return None
        from streamfx.media.input.mask import Mask

        return Mask(self.mask)

    def _build_guide(self, objective: Objective, device: torch.device) -> _Guide:
        """Moment -> what the guide shows then, as the network sees it; None without a guide."""
        if not self.guide:
            return lambda moment: None
        from streamfx.deepdream.ascent import resized
        from streamfx.media.input.mask import Mask

        guide = Mask(self.guide, "guide")
        kept: list[tuple[Frame, Mapping[str, Tensor]]] = []

        def at(moment: Fraction) -> Mapping[str, Tensor]:
            shown = guide.frame_at(moment)
            if not kept or kept[0][0] is not shown:
                height, width = shown.image.shape[1:]
                scale = min(1.0, math.sqrt(GUIDE_AREA / (height * width)))
                size = max(96, round(height * scale)), max(96, round(width * scale))
                kept[:] = [(shown, objective.see_guide(resized(shown.image[None], size).to(device)))]
            return kept[0][1]

        at(self.mask_start)  # what cannot be read is told before the first frame
        return at

    def _build_past(self, device: torch.device) -> _Past:
        """(memory, frame) -> where the climb starts, and the share of it left to do; None where nothing is known.

        What stands still goes on as it was dreamed, so that noise is averaged. Of what moves, the change that dreaming
        made goes on, upon the frame as it is now: the frame itself would blur from warp to warp.
        """
        if self.coherence == "off":
            return lambda memory, image: None
        from streamfx.motion.flow import build_motion
        from streamfx.motion.temporal import find_prior, follow_past

        motion = build_motion(self.motion, device)

        def past(memory: Memory, image: Tensor) -> tuple[Tensor, Tensor] | None:
            height, width = image.shape[1:]
            motions = follow_past(memory, image, (height, width), motion)
            dreamed, changed = (find_prior(memory, name, motions) for name in ("dream", "change"))
            if dreamed is None or changed is None:
                return None
            kept = dreamed.trust * self.blend  # [1, H, W]
            moving = (dreamed.follow / dreamed.trust.clamp(min=1e-3)).clamp(0, 1)
            gained = (dreamed.warped - image).lerp(2 * changed.warped - 1, moving)
            gain = memory.get("anew", Fraction(1))
            assert isinstance(gain, Fraction)
            anew = ((ANEW_STILL + (ANEW_MOVING - ANEW_STILL) * moving) * float(gain)).clamp(max=1)
            return image + kept * gained, (1 - kept) * (1 - dreamed.trust * (1 - anew))

        return past


def _judge(memory: Memory, dreamed: float, was: float) -> None:
    """Adjust what is gained anew, so that a followed dream excites the network by as many times as its first frame did.

    `dreamed` and `was` are what the objective says of the dream and of its source.
    """
    if min(dreamed, was) <= 0:  # of sums with minus signs nothing can be said
        return
    wanted, gain = memory.get("excited"), memory.get("anew", Fraction(1))
    assert isinstance(gain, Fraction)
    if isinstance(wanted, Fraction):
        memory["anew"] = Fraction(min(MOST_ANEW, max(LEAST_ANEW, float(gain * wanted) * was / dreamed)))
    else:
        memory["excited"] = Fraction(dreamed / was)
