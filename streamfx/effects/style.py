"""Neural style transfer on each frame, in the style of a preset."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from annotated_types import Ge, Le
from typing_extensions import Doc

from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step
from streamfx.settings import SCHEDULABLE, Quality, check

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from streamfx.media.input.mask import Mask
    from streamfx.motion.temporal import WarpedFrame
    from streamfx.presets import Preset
    from streamfx.styletransfer.optimizer import PixelOptimizer

# image [3, H, W] at the working resolution, previous stylized frame, sharpness to aim at -> stylized image [3, H, W]
_Stylize: TypeAlias = "Callable[[Tensor, WarpedFrame | None, float], Tensor]"
# memory, source image for motion estimation, working size, names of the parts -> previous stylized frame of each part
_WarpPrevious: TypeAlias = "Callable[[Memory, Tensor, tuple[int, int], Sequence[str]], dict[str, WarpedFrame | None]]"

BLACK, WHITE = 0.25 / 255, 1 - 0.25 / 255  # a mask that is all below or above them needs only one stylized image
DARK, BRIGHT = 0.1, 0.92  # mean luma of a frame; beyond them the stylized frame fades with the source
SHARPNESS = 1.06  # to aim at when blending with the previous frame, relative to the new stylized image
WARM_UP = 10  # frames; see tests/bench/cluster.py
REDUCED_SHARPNESS = 0.78  # where the stylized image is scaled down at the end, which sharpens it


@dataclass(frozen=True, slots=True)
class Style:
    """Stylize each frame like a painting, with the preset's network."""

    preset: Annotated[
        str, Doc("Name of a preset ('streamfx presets' lists them), a FILE.toml, or a blend: vangogh:0.6,munch:0.4")
    ] = "vangogh"
    strength: Annotated[float, Ge(0), Le(1), Doc("Opacity of the stylized frame")] = 1.0
    preserve_color: Annotated[bool, Doc("Keep the source's colors and take only brightness from the style")] = False
    detail: Annotated[float, Ge(0), Le(1), Doc("How much of the source's structure is kept; 0 is bold")] = 0.0
    stroke: Annotated[float, Ge(0.5), Le(2), Doc("Size of the strokes, relative to the frame")] = 1.0
    quality: Annotated[Quality, Doc("fast takes a smaller network")] = "fine"
    mask: Annotated[str, Doc("Picture, or video of the whole source: stylize where it is white")] = ""
    mask_preset: Annotated[str, Doc("Preset where the mask is black; by default the source stays")] = ""
    mask_start: Annotated[Fraction, Ge(0), Le(10**7), Doc("Second of a mask video at which the video begins")] = (
        Fraction(0)
    )
    mask_rate: Annotated[
        Fraction, Ge(0), Le(1000), Doc("Frames per second of numbered mask images; 0: as the source")
    ] = Fraction(0)
    coherence: Annotated[
        Literal["off", "warp", "full"],
        Doc("off: each frame alone; warp: mixes in the previous one, warped; full: also feeds it to networks of 0.1"),
    ] = "warp"
    motion: Annotated[
        Literal["dis", "lk", "raft"], Doc("Motion estimation: dis, lk (Lucas-Kanade), raft (a network, slow)")
    ] = "dis"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "int8"],
        Doc("Data type of the network on the CPU; auto is the fastest one, measured once"),
    ] = "auto"
    method: Annotated[
        Literal["network", "optimise"], Doc("optimise improves the pixels step by step: minutes per frame, for stills")
    ] = "network"
    iterations: Annotated[int, Ge(1), Le(10000), SCHEDULABLE, Doc("Steps of the method optimise")] = 100
    passes: Annotated[
        int, Ge(1), Le(100), Doc("Passes over each shot, forward and backward, that share the iterations")
    ] = 1
    blend: Annotated[str, Doc("Another preset to fade to by blend_share; both networks run while they are mixed")] = ""
    blend_share: Annotated[float, Ge(0), Le(1), Doc("Share of the preset in blend")] = 0.5
    working: Annotated[
        float, Ge(0.02), Le(1), Doc("Pixels to stylize, as a share of 1280x720; fewer are faster, with larger strokes")
    ] = 1.0

    def __post_init__(self) -> None:
        check(self)
        if not self.preset:
            raise StreamfxError("style: preset is '', but must be a preset's name or FILE.toml")
        if self.passes > 1 and (self.method != "optimise" or self.mask or self.coherence == "off"):
            raise StreamfxError("style: several passes need method=optimise, coherence, and no mask")
        if self.mask_preset and not self.mask:
            raise StreamfxError("style: mask_preset is for the black part of a mask; give mask as well")
        if self.blend and self.passes > 1:
            raise StreamfxError("style: several passes work with one preset; leave out blend or passes")

    @property
    def segment_length(self) -> int:
        """Frames between two checkpoints."""
        return 5 if self.method == "optimise" else 300

    @property
    def warm_up(self) -> float | None:
        """Frames after which the previous stylized frames no longer show, as measured in docs/how-to/cluster.md."""
        if self.passes > 1:
            return None  # passes over the shot run backward, too
        if self.coherence == "off":
            return 0
        return WARM_UP if self.method == "network" else math.inf

    @property
    def working_pixels(self) -> float | None:
        """Pixels of the working resolution."""
        from streamfx.styletransfer.working_resolution import AREA

        return AREA * self.working / self.stroke**2

    @property
    def prefers_speed(self) -> bool:
        """Whether the output should be encoded fast rather than small."""
        return self.quality == "fast"

    def resolve(self, device: torch.device, start: Fraction) -> Style:
        """A copy with the precision chosen, and a mask video moved to the `start` of the video."""
        from streamfx.inference.precision import rates

        precision = self.precision
        if self.method == "network" and precision == "auto" and device.type == "cpu":
            precision = rates().best
        return replace(self, precision=precision, mask_start=self.mask_start + (start if self.mask else 0))

    def at_rate(self, rate: Fraction) -> Style:
        """A copy whose numbered mask images have the frame rate of the source."""
        from streamfx.media.input.image_sequence import is_pattern

        return replace(self, mask_rate=rate) if self.mask and is_pattern(self.mask) and not self.mask_rate else self

    def build(self, device: torch.device) -> Step:
        """A step that stylizes each frame; reads the presets now, and compiles the networks for each size it meets."""
        if self.passes > 1:
            return self._build_passes(device)
        networks = {"white": self._build_stylize(self.preset, device)}
        if self.blend:
            second = self._build_stylize(self.blend, device)
            networks["white"] = _mixed(networks["white"], second, lambda: self.blend_share)
        if self.mask_preset:
            networks["black"] = self._build_stylize(self.mask_preset, device)
        warp_previous = self._build_warp_previous(device)
        mask = self._open_mask()

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            if self.strength == 0:
                yield frame
                return
            if frame.cut:
                memory.clear()
            opacity = None if mask is None else mask.at(frame.pts + self.mask_start, frame.image)
            used = {name: networks[name] for name in _visible_parts(opacity) if name in networks}
            stylized = self._stylize_parts(frame, used, warp_previous, memory)
            yield frame.with_image(_composite(frame.image, stylized, opacity))

        return step

    def _stylize_parts(
        self, frame: Frame, networks: dict[str, _Stylize], warp_previous: _WarpPrevious, memory: Memory
    ) -> dict[str, Tensor]:
        """The frame stylized by each network, at the source's size."""
        from streamfx.motion.temporal import remember

        image = frame.image
        working = self._to_working_size(image)
        enlarged = image.shape[1] < working.shape[1]
        reference = image if enlarged else working  # for motion estimation; enlarging adds nothing to see
        size = (working.shape[1], working.shape[2])
        previous = warp_previous(memory, reference, size, list(networks))
        sharpness = REDUCED_SHARPNESS if enlarged else SHARPNESS
        stylized = {name: stylize(working, previous[name], sharpness) for name, stylize in networks.items()}
        if self.coherence != "off":
            remember(memory, reference, stylized, frame.pts)
        return {name: self._finish(image, result) for name, result in stylized.items()}

    def input_files(self) -> list[Path]:
        """Files that determine the result: presets, their weights, and the mask."""
        from streamfx.presets import load_preset, parse_blend

        texts = [text for text in (self.preset, self.mask_preset, self.blend) if text]
        presets = [load_preset(name) for text in texts for name, _ in parse_blend(text)]
        network = self.method == "network"
        weights = [preset.weights(self.quality) if network else preset.targets for preset in presets]
        return [*(preset.path for preset in presets), *weights, *([Path(self.mask)] if self.mask else [])]

    def _build_passes(self, device: torch.device) -> Step:
        """A step that collects the frames of a shot, and stylizes them when the shot has ended."""
        from streamfx.motion.flow import build_motion
        from streamfx.styletransfer.multipass import store_frame, stored_frames, stylize_shot

        optimizer = self._build_optimizer(self._blend(self.preset), device)
        motion = build_motion(self.motion, device)

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None or frame.cut:
                shot = list(stored_frames(memory))
                memory.clear()
                images = [self._to_working_size(stored.image) for stored in shot]
                optimizer.iterations = self._iterations_per_pass()
                for stored, stylized in zip(shot, stylize_shot(images, optimizer, motion, self.passes)):
                    yield stored.with_image(self._finish(stored.image, stylized))
            if frame is not None:
                store_frame(memory, frame)

        return step

    def _open_mask(self) -> Mask | None:
        from streamfx.media.input.mask import Mask

        return Mask(self.mask, rate=self.mask_rate or None) if self.mask else None

    def _to_working_size(self, image: Tensor) -> Tensor:
        from streamfx.styletransfer.working_resolution import working_size

        return _resize(image, working_size(image.shape[1], image.shape[2], self.stroke, self.working))

    def _finish(self, source: Tensor, stylized: Tensor) -> Tensor:
        """The stylized image at the source's size, faded and mixed with the source as the settings say."""
        from streamfx.ops.color import keep_color

        if stylized.shape[1] < source.shape[1]:
            stylized = _smooth_pixels(stylized)
        stylized = _match_exposure(source, _resize(stylized, (source.shape[1], source.shape[2])))
        if self.preserve_color:
            stylized = keep_color(source, stylized)
        return stylized if self.strength == 1 else source.lerp(stylized, self.strength)

    def _build_stylize(self, preset: str, device: torch.device) -> _Stylize:
        blend = self._blend(preset)
        if self.method == "network":
            return self._build_network(blend, device)
        optimizer = self._build_optimizer(blend, device)

        def stylize(image: Tensor, previous: WarpedFrame | None, sharpness: float) -> Tensor:
            optimizer.iterations = self._iterations_per_pass()  # which a schedule may change
            return optimizer(image, previous)

        return stylize

    def _blend(self, preset: str) -> list[tuple[Preset, float]]:
        from streamfx.presets import load_preset, parse_blend

        return [(load_preset(name), share) for name, share in parse_blend(preset)]

    def _build_optimizer(self, blend: Sequence[tuple[Preset, float]], device: torch.device) -> PixelOptimizer:
        from streamfx.styletransfer.optimizer import PixelOptimizer
        from streamfx.styletransfer.targets import load_targets

        parts = [(load_targets(preset.targets, preset.name), share) for preset, share in blend]
        return PixelOptimizer(parts, blend[0][0].style.training, self._iterations_per_pass(), device)

    def _iterations_per_pass(self) -> int:
        return max(1, self.iterations // self.passes)

    def _build_network(self, blend: Sequence[tuple[Preset, float]], device: torch.device) -> _Stylize:
        from streamfx.styletransfer.blend import build_blend

        sees_previous = self.coherence == "full"
        stylize = build_blend(blend, self.quality, self.precision, device, sees_previous=sees_previous)

        def at_detail(image: Tensor, previous: WarpedFrame | None, sharpness: float) -> Tensor:
            return stylize(image, previous, sharpness, self.detail)  # which a schedule may change

        return at_detail

    def _build_warp_previous(self, device: torch.device) -> _WarpPrevious:
        if self.coherence == "off":
            return lambda memory, image, size, names: dict.fromkeys(names)

        from streamfx.motion import temporal
        from streamfx.motion.flow import build_motion

        motion = build_motion(self.motion, device)

        def warp_previous(
            memory: Memory, image: Tensor, size: tuple[int, int], names: Sequence[str]
        ) -> dict[str, WarpedFrame | None]:
            motions = temporal.estimate_motions(memory, image, size, motion)
            return {name: temporal.warp_previous(memory, name, motions) for name in names}

        return warp_previous


def _mixed(first: _Stylize, second: _Stylize, share: Callable[[], float]) -> _Stylize:
    """Mix the images of both, with the share of the second; one with a share of 0 does not run."""

    def stylize(image: Tensor, previous: WarpedFrame | None, sharpness: float) -> Tensor:
        part = share()
        images = [run(image, previous, sharpness) for run, used in ((first, part < 1), (second, part > 0)) if used]
        return images[0] if len(images) == 1 else images[0].lerp(images[1], part)

    return stylize


def _visible_parts(opacity: Tensor | None) -> list[str]:
    """Which parts of the mask [1, H, W] are to be seen: white, black, or both."""
    if opacity is None:
        return ["white"]
    if opacity.device.type != "cpu":
        return ["white", "black"]  # to look would make the CPU wait for the device
    return ["white"] * bool(opacity.max() > BLACK) + ["black"] * bool(opacity.min() < WHITE)


def _composite(source: Tensor, stylized: dict[str, Tensor], opacity: Tensor | None) -> Tensor:
    """The parts [3, H, W] over each other; the source where there is no black part."""
    below = stylized.get("black", source)
    if "white" not in stylized:
        return below
    if opacity is None or "black" not in _visible_parts(opacity):
        return stylized["white"]
    return below.lerp(stylized["white"], opacity)


def _smooth_pixels(stylized: Tensor) -> Tensor:
    """Without patterns that alternate from pixel to pixel [3, H, W]; enlarged, they would cover the strokes."""
    from torch.nn.functional import avg_pool2d, pad

    return avg_pool2d(avg_pool2d(pad(stylized[None], (1, 1, 1, 1), mode="replicate"), 2, 1), 2, 1)[0]  # 1 2 1 both ways


def _match_exposure(source: Tensor, stylized: Tensor) -> Tensor:
    """Fade to black or white with the source: a network with instance normalization does not see the exposure."""
    from streamfx.ops.color import luma

    light = luma(source[:, ::4, ::4]).mean()
    if light.device.type == "cpu" and DARK <= light <= BRIGHT:  # on other devices, looking would take longer
        return stylized
    not_black, not_white = (light / DARK).clamp(max=1), ((1 - light) / (1 - BRIGHT)).clamp(max=1)
    return 1 - (1 - stylized * not_black) * not_white


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The image [3, H, W] at another size, 0..1."""
    from torch.nn.functional import interpolate

    from streamfx.ops.resize import enlarge

    if tuple(image.shape[1:]) == size:
        return image
    if size[0] < image.shape[1]:
        return interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp_(0, 1)
    return enlarge(image, size, "bicubic").clamp_(0, 1)
