"""Dream on every frame: what a network sees in it is made to be there."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from streamfx.errors import StreamfxError, check_numbers, unknown
from streamfx.frame import Count, Frame, Memory, Step

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
LATEST = 10**7  # seconds
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

    layer: str = ""  # block10, mixed4a:83 (a channel), a+b, 0.7*a - 0.3*b; else the network's best
    model: str = "auto"  # lite0, inceptionv1, googlenet, ..., timm:NAME; auto takes what is here and has the layer
    weights: str = ""  # file of the model's weights, instead of the fetched one
    guide: str = ""  # picture or video whose features are to appear
    strength: float = 1.0  # how far to dream, 0..4
    octaves: Count = 3  # sizes of pattern, 1..12
    octave_scale: float = 1.4  # from one octave's size to the next's, 1.1..4
    steps: Count = 6  # in each octave, 1..1000
    step: float = 0.0  # size of a step, 0..1, where the gradient has its mean size; 0: what the strength asks for
    smooth: float = 0.5  # how far coarse and fine detail pull alike, 0..1
    tile: Count = 640  # longest side that the network is shown at once, 128..4096; less takes less memory
    seed: Count = 0  # of the random shifts, 0..1000000000
    preserve_color: bool = False  # take only the light from the dream, the colours from the source
    mask: str = ""  # picture or video: dream where it is white
    mask_start: Fraction = Fraction(0)  # second of mask and guide videos at which the film begins
    coherence: str = "warp"  # off: each frame alone; warp: the last dream goes on where it can be followed
    motion: str = "dis"  # how motion is found: dis; lk, quick on a GPU; raft, a network, slow
    blend: float = 0.9  # share of the last dream that goes on, 0..0.99

    def __post_init__(self) -> None:
        _check(self)

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


def _check(dream: Dream) -> None:
    """Raise StreamfxError for a setting that is out of its range."""
    for name in ("layer", "model", "weights", "guide", "mask"):
        text = getattr(dream, name)
        if not isinstance(text, str) or (name == "model" and not text):
            raise StreamfxError(f"dream: {name} is {text!r}, but must be a text")
    numbers: tuple[tuple[str, type, float, float], ...] = (
        ("strength", float, 0, 4),
        ("octaves", int, 1, 12),
        ("octave_scale", float, 1.1, 4),
        ("steps", int, 1, 1000),
        ("step", float, 0, 1),
        ("smooth", float, 0, 1),
        ("tile", int, 128, 4096),
        ("seed", int, 0, 10**9),
        ("blend", float, 0, 0.99),
    )
    check_numbers("dream", dream, numbers)
    if not isinstance(dream.preserve_color, bool):
        raise StreamfxError(f"dream: preserve_color is {dream.preserve_color!r}, but must be true or false")
    for name, word, known in (
        ("coherence", dream.coherence, ("off", "warp")),
        ("motion", dream.motion, ("dis", "lk", "raft")),
    ):
        if word not in known:
            raise unknown(f"{name} of dream", str(word), known)
    if not isinstance(dream.mask_start, int | Fraction) or not 0 <= dream.mask_start <= LATEST:
        raise StreamfxError(f"dream: mask_start is {dream.mask_start}, but must be seconds from 0 to {LATEST}")
    if dream.layer.strip():
        dream.parts()
