"""Deep dream on every frame: amplifies the patterns that a network recognizes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

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
_Continuation: TypeAlias = "Callable[[Memory, Tensor], tuple[Tensor, Tensor] | None]"

_CHANGE, _STEPS = 0.08, 6  # mean change of a pixel (0..1) per octave at strength 1, with this many steps
_STEP_POWER = 0.65  # steps shrink with this power of their number: many small ones change direction more often
_BLACK, _WHITE = 0.25 / 255, 1 - 0.25 / 255  # mask values: below is only source, above is only dream
_DARK = 0.1  # mean luma; in darker frames the dream fades
# step share where the previous dream continues: low, because frames add up; higher in motion, where warping blurs
_REFRESH_STILL, _REFRESH_MOVING = 0.15, 0.4
_GAIN_INTERVAL = 4  # frames between two adjustments of the gain
_MIN_GAIN, _MAX_GAIN = 0.2, 1.8  # factor of the step shares above
_SAVED_STEPS = 0.8  # share of the steps that are skipped where the whole frame continues the previous dream
_GUIDE_AREA = 384 * 384  # pixels; larger guides are scaled down

_steps_log = logging.getLogger("streamfx.iterations")


@dataclass(frozen=True, slots=True)
class Dream:
    """Deep dream: gradient ascent on the activation of a layer or a channel of a network (Mordvintsev et al. 2015)."""

    layer: Annotated[
        str, Doc("Layers or channels: block10, mixed4a:83 (a channel), a+b, 0.7*a - 0.3*b; default: by model")
    ] = ""
    model: Annotated[
        str, Doc("lite0, inceptionv1, googlenet, ..., timm:NAME; auto takes an installed one with the layer")
    ] = "auto"
    weights: Annotated[str, Doc("File of the model's weights, instead of the downloaded one")] = ""
    guide: Annotated[str, Doc("Image or video whose features appear in the dream")] = ""
    strength: Annotated[float, Ge(0), Le(4), Doc("Strength of the dream")] = 1.0
    octaves: Annotated[int, Ge(1), Le(12), SCHEDULABLE, Doc("Number of pattern sizes")] = 3
    octave_scale: Annotated[float, Ge(1.1), Le(4), Doc("Ratio of one octave's size to the next")] = 1.4
    steps: Annotated[int, Ge(1), Le(1000), SCHEDULABLE, Doc("Steps in each octave")] = 6
    step: Annotated[
        float, Ge(0), Le(1), Doc("Step size where the gradient has its mean magnitude; 0 derives it from strength")
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
    colors: Annotated[
        Literal["natural", "free"], Doc("natural: colors vary together, as in photos; free: each on its own")
    ] = "natural"
    preserve_color: Annotated[bool, Doc("Keep the source's colors and take only brightness from the dream")] = False
    mask: Annotated[str, Doc("Image or video; dreams only where it is white")] = ""
    mask_start: Annotated[
        Fraction, Ge(0), Le(10**7), Doc("Time in the mask and guide videos at which the input starts, seconds")
    ] = Fraction(0)
    mask_rate: Annotated[
        Fraction, Ge(0), Le(1000), Doc("Frames per second of numbered mask and guide images; 0: as the source")
    ] = Fraction(0)
    coherence: Annotated[
        Literal["off", "warp"], Doc("off treats every frame separately, warp continues the previous dream")
    ] = "warp"
    motion: Annotated[
        Literal["dis", "lk", "raft"], Doc("Motion estimation: dis, lk (fast on a GPU), raft (a network, slow)")
    ] = "dis"
    blend: Annotated[float, Ge(0), Le(0.99), Doc("Share of the previous dream that continues")] = 0.9

    segment_length: ClassVar = 60
    uses_all_cores: ClassVar = True

    def __post_init__(self) -> None:
        check(self)
        if not self.model:
            raise StreamfxError("dream: model is '', but must be the name of a model or auto")
        if self.layer.strip():
            self.parts()

    @property
    def warm_up(self) -> float:
        """All frames of the shot: a dream from its middle does not become the one from its start."""
        return 0 if self.coherence == "off" else math.inf

    def parts(self) -> tuple[Part, ...]:
        """The parsed layers; empty for the network's default."""
        from streamfx.deepdream.objective_syntax import parse_objective

        return parse_objective(self.layer) if self.layer.strip() else ()

    def input_files(self) -> list[Path]:
        """The files that the settings name."""
        return [Path(name) for name in (self.weights, self.guide, self.mask) if name]

    def with_network(self) -> Dream:
        """A copy with the default model and layer filled in; checks the channels. Raises StreamfxError."""
        from streamfx.deepdream.networks import choose_network, list_layers
        from streamfx.deepdream.objective_syntax import check_channels

        parts = self.parts()
        network = choose_network(self.model, [part.layer for part in parts])
        if not parts and not network.default:
            raise StreamfxError(f"give a layer of {network.name}: 'streamfx models layers {network.name}' lists them")
        if any(part.channel is not None for part in parts):
            check_channels(parts, {layer.name: layer.channels for layer in list_layers(network.name)}, network.name)
        return replace(self, model=network.name, layer=self.layer if parts else network.default)

    def resolve(self, device: torch.device, start: Fraction) -> Dream:
        """A copy with the network chosen, and mask and guide videos shifted by `start` seconds."""
        follows = self.mask or self.guide
        return replace(self.with_network(), mask_start=self.mask_start + (start if follows else 0))

    def at_rate(self, rate: Fraction) -> Dream:
        """A copy whose numbered mask and guide images have the frame rate of the source."""
        from streamfx.media.input.image_sequence import is_pattern

        follows = any(name and is_pattern(name) for name in (self.mask, self.guide))
        return replace(self, mask_rate=rate) if follows and not self.mask_rate else self

    def build(self, device: torch.device) -> Step:
        """The step that dreams. Loads the network, the guide and the mask now."""
        from streamfx.motion.temporal import remember
        from streamfx.ops.color_statistics import limit_statistics

        objective = self._build_objective(device)
        guide_at = self._build_guide(objective, device)
        continue_dream = self._build_continuation(device)
        mask = self._open_mask()

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            image = frame.image
            weight = None if mask is None else mask.at(frame.pts + self.mask_start, image)
            if frame.cut:
                memory.clear()
            if self.strength == 0 or (weight is not None and weight.max() <= _BLACK):
                memory.clear()
                yield frame
                return
            guide = guide_at(frame.pts + self.mask_start)
            continued = continue_dream(memory, image)
            start, step_share = (image, None) if continued is None else continued
            number = memory.get("number", 0)
            assert isinstance(number, int)
            once = "started" not in memory  # perhaps the only frame
            result = self._ascend(start, step_share, lambda x: objective.gradient(x, guide, once=once), image, number)
            memory["started"] = 1
            dream = limit_statistics(image, result)
            if self.coherence != "off":
                if number % _GAIN_INTERVAL == 0:
                    _adjust_gain(memory, *(objective.value(self._center(x), guide) for x in (dream, image)))
                remember(memory, image, {"dream": dream, "change": 0.5 + 0.5 * (dream - image)}, frame.pts)
                memory["number"] = number + 1
            yield frame.with_image(self._finish(image, dream, weight))

        return step

    def _build_objective(self, device: torch.device) -> Objective:
        import torch

        from streamfx.deepdream.networks import build_layers
        from streamfx.deepdream.objective import Objective

        resolved = self.with_network()
        parts = resolved.parts()
        network = build_layers(resolved.model, list(dict.fromkeys(part.layer for part in parts)), self.weights)
        return Objective(network.to(memory_format=torch.channels_last).to(device), parts, device)

    def _ascent_settings(self, continued: float = 0.0, mean_luma: float = 1.0) -> Ascent:
        """Settings for an image of this mean luma; the share `continued` of it starts from the previous dream."""
        from streamfx.deepdream.ascent import Ascent

        steps = max(min(2, self.steps), math.ceil(self.steps * (1 - _SAVED_STEPS * continued)))
        step = self.step * self.strength or _CHANGE / _STEPS * self.strength * (_STEPS / self.steps) ** _STEP_POWER
        step *= (self.steps / steps) ** _STEP_POWER * min(1.0, mean_luma / _DARK)
        natural = self.colors == "natural"
        return Ascent(self.octaves, self.octave_scale, steps, step, self.smooth, self.tile, self.seed, natural)

    def _ascend(
        self,
        start: Tensor,
        step_share: Tensor | None,
        gradient: Callable[[Tensor], Tensor],
        image: Tensor,
        number: int,
    ) -> Tensor:
        from streamfx.deepdream.ascent import ascend
        from streamfx.ops.color import luma

        continued = 0.0 if step_share is None else 1 - float(step_share.mean())
        settings = self._ascent_settings(continued, float(luma(image[:, ::4, ::4]).mean()))
        return ascend(
            start,
            gradient,
            settings,
            step_share=step_share,
            number=number,
            report=lambda done, total: _steps_log.info("step %d of %d", done, total),
        )

    def _center(self, image: Tensor) -> Tensor:
        """The central tile [1, 3, h, w] of an image [3, H, W]."""
        from streamfx.deepdream.ascent import center_crop

        return center_crop(image[None], self.tile)

    def _finish(self, source: Tensor, dream: Tensor, weight: Tensor | None) -> Tensor:
        """Apply `preserve_color` and the mask `weight` [1, H, W], which is 0 where the source shows."""
        from streamfx.ops.color import keep_color

        if self.preserve_color:
            dream = keep_color(source, dream)
        return dream if weight is None or weight.min() >= _WHITE else source.lerp(dream, weight)

    def _open_mask(self) -> Mask | None:
        if not self.mask:
            return None
        from streamfx.media.input.mask import Mask

        return Mask(self.mask, rate=self.mask_rate or None)

    def _build_guide(self, objective: Objective, device: torch.device) -> _Guide:
        """Time in seconds -> features of the guide's frame at that time; None without a guide."""
        if not self.guide:
            return lambda time: None
        from streamfx.media.input.mask import Mask
        from streamfx.ops.resize import resize

        guide = Mask(self.guide, "guide", self.mask_rate or None)
        cached: list[tuple[Frame, Mapping[str, Tensor]]] = []

        def features_at(time: Fraction) -> Mapping[str, Tensor]:
            frame = guide.frame_at(time)
            if not cached or cached[0][0] is not frame:
                height, width = frame.image.shape[1:]
                scale = min(1.0, math.sqrt(_GUIDE_AREA / (height * width)))
                size = max(96, round(height * scale)), max(96, round(width * scale))
                cached[:] = [(frame, objective.guide_features(resize(frame.image[None], size).to(device)))]
            return cached[0][1]

        features_at(self.mask_start)  # an unreadable guide raises before the first frame
        return features_at

    def _build_continuation(self, device: torch.device) -> _Continuation:
        """(memory, image) -> start [3, H, W] and step share [1, H, W] of the ascent; None without a previous dream.

        Still areas start from the previous dream, which averages noise. Moving areas start from the new frame plus the
        warped difference of dream and source: the dream itself would blur with every warp.
        """
        if self.coherence == "off":
            return lambda memory, image: None
        from streamfx.motion.flow import build_motion
        from streamfx.motion.temporal import estimate_motions, warp_previous

        motion = build_motion(self.motion, device)

        def continue_dream(memory: Memory, image: Tensor) -> tuple[Tensor, Tensor] | None:
            height, width = image.shape[1:]
            motions = estimate_motions(memory, image, (height, width), motion)
            dreamed, changed = (warp_previous(memory, name, motions) for name in ("dream", "change"))
            if dreamed is None or changed is None:
                return None
            kept = dreamed.confidence * self.blend  # [1, H, W]
            moving = (dreamed.moving / dreamed.confidence.clamp(min=1e-3)).clamp(0, 1)
            change = (dreamed.warped - image).lerp(2 * changed.warped - 1, moving)
            gain = memory.get("gain", Fraction(1))
            assert isinstance(gain, Fraction)
            refresh = ((_REFRESH_STILL + (_REFRESH_MOVING - _REFRESH_STILL) * moving) * float(gain)).clamp(max=1)
            return image + kept * change, (1 - kept) * (1 - dreamed.confidence * (1 - refresh))

        return continue_dream


def _adjust_gain(memory: Memory, dream: float, source: float) -> None:
    """Adjust the gain, so that the ratio of the objective's values of `dream` and `source` stays that of the start."""
    if min(dream, source) <= 0:  # possible with negative shares; the ratio has no meaning
        return
    target, gain = memory.get("ratio"), memory.get("gain", Fraction(1))
    assert isinstance(gain, Fraction)
    if isinstance(target, Fraction):
        memory["gain"] = Fraction(min(_MAX_GAIN, max(_MIN_GAIN, float(gain * target) * source / dream)))
    else:
        memory["ratio"] = Fraction(dream / source)
