"""Paint every frame in the manner of a preset's painter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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

    from streamfx.motion.temporal import Prior
    from streamfx.presets import Preset
    from streamfx.styletransfer.optimizer import PixelOptimizer

_Paint: TypeAlias = "Callable[[Tensor, Prior | None, float], Tensor]"
_Follow: TypeAlias = "Callable[[Memory, Tensor, tuple[int, int], Sequence[str]], dict[str, Prior | None]]"

BLACK, WHITE = 0.25 / 255, 1 - 0.25 / 255  # of a mask; what is all beyond them needs only one painting
DUSK, GLARE = 0.1, 0.92  # mean luma of frames; what is darker or brighter fades, and its painting with it
CLEAR, HIDDEN = 1.04, 0.78  # times a painting's detail, to aim at in motion; less where it is made smaller in the end


@dataclass(frozen=True, slots=True)
class Style:
    """Paint each frame like a painting, with the preset's painter network."""

    preset: Annotated[
        str, Doc("Name of a preset ('streamfx presets' lists them), a FILE.toml, or a blend: vangogh:0.6,munch:0.4")
    ] = "vangogh"
    strength: Annotated[float, Ge(0), Le(1), Doc("Share of the stylized frame in the output")] = 1.0
    preserve_color: Annotated[bool, Doc("Keep the source's colors and take only brightness from the style")] = False
    detail: Annotated[float, Ge(0), Le(1), Doc("How much of the source's structure is kept; 0 is bold")] = 0.0
    stroke: Annotated[float, Ge(0.5), Le(2), Doc("Size of the strokes, relative to the frame")] = 1.0
    quality: Annotated[Literal["fine", "fast"], Doc("fast takes a smaller network")] = "fine"
    mask: Annotated[str, Doc("Picture, or video of the whole source: stylize where it is white")] = ""
    mask_preset: Annotated[str, Doc("Preset where the mask is black; by default the source stays")] = ""
    mask_start: Annotated[Fraction, Ge(0), Le(10**7), Doc("Second of a mask video at which the video begins")] = (
        Fraction(0)
    )
    coherence: Annotated[
        Literal["off", "warp", "full"],
        Doc("off: each frame alone; warp: mixed with the previous stylized frame; full: an input of old networks"),
    ] = "warp"
    motion: Annotated[
        Literal["dis", "lk", "raft"], Doc("Motion estimation: dis, lk (fast on a GPU), raft (a network, slow)")
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

    def __post_init__(self) -> None:
        check(self)
        if not self.preset:
            raise StreamfxError("style: preset is '', but must be a preset's name or FILE.toml")
        if self.passes > 1 and (self.method != "optimise" or self.mask or self.coherence == "off"):
            raise StreamfxError("style: several passes need method=optimise, coherence, and no mask")
        if self.mask_preset and not self.mask:
            raise StreamfxError("style: mask_preset is for the black part of a mask; give mask as well")

    def build(self, device: torch.device) -> Step:
        """The step that paints; reads the presets now, and readies the network when the first frame of a size comes."""
        from streamfx.motion.temporal import remember

        if self.passes > 1:
            return self._build_passes(device)
        paint = self._build_paint(self.preset, device)
        paint_black = self._build_paint(self.mask_preset, device) if self.mask_preset else None
        follow = self._build_follow(device)
        if self.mask:
            from streamfx.media.input.mask import Mask

            mask = Mask(self.mask)
        else:
            mask = None

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            if self.strength == 0:
                yield frame
                return
            image = frame.image
            where = None if mask is None else mask.at(frame.pts + self.mask_start, image)
            white = where is None or where.max() > BLACK
            black = where is not None and where.min() < WHITE
            seen = self._on_canvas(image)
            enlarged = image.shape[1] < seen.shape[1]
            watched = image if enlarged else seen  # enlarged, it would show no more
            detail = HIDDEN if enlarged else CLEAR
            painters = ({"white": paint} if white else {}) | ({"black": paint_black} if black and paint_black else {})
            if frame.cut:
                memory.clear()
            priors = follow(memory, watched, (seen.shape[1], seen.shape[2]), list(painters))
            paintings = {name: each(seen, priors[name], detail) for name, each in painters.items()}
            if self.coherence != "off":
                remember(memory, watched, paintings, frame.pts)
            finished = {name: self._finish(image, painted) for name, painted in paintings.items()}
            ground = finished.get("black", image)
            if not white:
                yield frame.with_image(ground)
            elif not black or where is None:
                yield frame.with_image(finished["white"])
            else:
                yield frame.with_image(ground.lerp(finished["white"], where))

        return step

    def reads(self) -> list[Path]:
        """The files that the painting comes from: presets and their weights, and the mask."""
        from streamfx.presets import load_preset, parse_blend

        texts = [text for text in (self.preset, self.mask_preset) if text]
        presets = [load_preset(name) for text in texts for name, _ in parse_blend(text)]
        network = self.method == "network"
        weights = [preset.weights(self.quality) if network else preset.targets for preset in presets]
        return [*(preset.path for preset in presets), *weights, *([Path(self.mask)] if self.mask else [])]

    def _build_passes(self, device: torch.device) -> Step:
        """The step that holds each shot, and paints it when it has ended."""
        from streamfx.motion.flow import build_motion
        from streamfx.styletransfer.multipass import held, hold, paint_shot

        painter, motion = self._build_pixels(self._blend(self.preset), device), build_motion(self.motion, device)

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None or frame.cut:
                shot = list(held(memory))
                memory.clear()
                seen = [self._on_canvas(each.image) for each in shot]
                painter.iterations = self._each_pass()
                for each, painted in zip(shot, paint_shot(seen, painter, motion, self.passes)):
                    yield each.with_image(self._finish(each.image, painted))
            if frame is not None:
                hold(memory, frame)

        return step

    def _on_canvas(self, image: Tensor) -> Tensor:
        """The image at the size at which it is painted."""
        from streamfx.styletransfer.working_resolution import working_size

        return _resized(image, working_size(image.shape[1], image.shape[2], self.stroke))

    def _finish(self, source: Tensor, painted: Tensor) -> Tensor:
        """The painting of the canvas as it is to be seen: at the source's size, in its light, mixed with it."""
        from streamfx.ops.color import keep_color

        if painted.shape[1] < source.shape[1]:
            painted = _without_grain(painted)
        painted = _exposed(source, _resized(painted, (source.shape[1], source.shape[2])))
        if self.preserve_color:
            painted = keep_color(source, painted)
        return painted if self.strength == 1 else source.lerp(painted, self.strength)

    def _build_paint(self, preset: str, device: torch.device) -> _Paint:
        """Canvas [3, H, W], what was painted before and the detail to keep of it, 0..1 -> painting [3, H, W]."""
        blend = self._blend(preset)
        if self.method == "network":
            return self._build_network(blend, device)
        painter = self._build_pixels(blend, device)

        def paint(seen: Tensor, prior: Prior | None, detail: float) -> Tensor:
            painter.iterations = self._each_pass()  # which a schedule may change
            return painter(seen, prior)

        return paint

    def _blend(self, preset: str) -> list[tuple[Preset, float]]:
        from streamfx.presets import load_preset, parse_blend

        return [(load_preset(name), share) for name, share in parse_blend(preset)]

    def _build_pixels(self, blend: Sequence[tuple[Preset, float]], device: torch.device) -> PixelOptimizer:
        from streamfx.styletransfer.losses import load_targets
        from streamfx.styletransfer.optimizer import PixelOptimizer

        parts = [(load_targets(p.targets, p.name), share) for p, share in blend]
        return PixelOptimizer(parts, blend[0][0].style.training, self._each_pass(), device)

    def _each_pass(self) -> int:
        """How many iterations there are for a frame, each time that it is painted."""
        return max(1, self.iterations // self.passes)

    def _build_network(self, blend: Sequence[tuple[Preset, float]], device: torch.device) -> _Paint:
        """Painting by the presets' network; one engine for each size met."""
        from streamfx.styletransfer.network import is_style_network

        files = [preset.weights(self.quality) for preset, _ in blend]
        new = [(file, share) for file, (_, share) in zip(files, blend) if is_style_network(file)]
        old = [part for file, part in zip(files, blend) if not is_style_network(file)]
        if not old:
            return self._build_stylizer(new, device)
        if not new:
            return self._build_painter(old, device)
        share = sum(share for _, share in new)  # networks of two kinds: both run, and their images are mixed
        first = self._build_stylizer([(file, part / share) for file, part in new], device)
        second = self._build_painter([(preset, part / (1 - share)) for preset, part in old], device)

        def mixed(seen: Tensor, prior: Prior | None, sharpness: float) -> Tensor:
            return second(seen, prior, sharpness).lerp(first(seen, prior, sharpness), share)

        return mixed

    def _build_stylizer(self, parts: list[tuple[Path, float]], device: torch.device) -> _Paint:
        from streamfx.ops.warp import renew
        from streamfx.styletransfer.stylizer import Stylizer

        stylize = Stylizer(parts, self.precision, device)

        def paint(seen: Tensor, prior: Prior | None, sharpness: float) -> Tensor:
            painted = stylize(seen, self.detail)
            return painted if prior is None else renew(painted, prior.warped, prior.share, sharpness)

        return paint

    def _build_painter(self, blend: Sequence[tuple[Preset, float]], device: torch.device) -> _Paint:
        """The network of the first release."""
        import torch

        from streamfx.inference.cuda_graph import Engine
        from streamfx.inference.engine import build_engine
        from streamfx.ops.warp import renew
        from streamfx.styletransfer.painter import mix_painters

        painter, numbers = mix_painters([(p.weights(self.quality), p.name, share) for p, share in blend])
        numbers = numbers.to(device)
        engines: dict[tuple[int, ...], Engine] = {}
        sees_prior = self.coherence == "full"

        def paint(seen: Tensor, prior: Prior | None, detail: float) -> Tensor:
            inputs = [seen.unsqueeze(0), numbers]
            if sees_prior:
                shown = torch.zeros(4, *seen.shape[1:]) if prior is None else torch.cat([prior.warped, prior.follow])
                inputs.append(shown.to(device).unsqueeze(0))
            if seen.shape not in engines:
                engines[seen.shape] = build_engine(painter, [tuple(x.shape) for x in inputs], device)
            painted = engines[seen.shape](*inputs).squeeze(0)
            return painted if prior is None else renew(painted, prior.warped, prior.share, detail)

        return paint

    def _build_follow(self, device: torch.device) -> _Follow:
        """(memory, frame, size of the canvas, names of paintings) -> the prior of each, by its name."""
        if self.coherence == "off":
            return lambda memory, watched, size, names: dict.fromkeys(names)

        from streamfx.motion.flow import build_motion
        from streamfx.motion.temporal import find_prior, follow_past

        motion = build_motion(self.motion, device)

        def follow(
            memory: Memory, watched: Tensor, size: tuple[int, int], names: Sequence[str]
        ) -> dict[str, Prior | None]:
            motions = follow_past(memory, watched, size, motion)
            return {name: find_prior(memory, name, motions) for name in names}

        return follow


def _without_grain(painted: Tensor) -> Tensor:
    """The painting [3, H, W] without what alternates from pixel to pixel: enlarged, it would lie over the strokes."""
    from torch.nn.functional import avg_pool2d, pad

    return avg_pool2d(avg_pool2d(pad(painted[None], (1, 1, 1, 1), mode="replicate"), 2, 1), 2, 1)[0]  # 1 2 1 both ways


def _exposed(source: Tensor, painted: Tensor) -> Tensor:
    """The painting, fading to black or white where the source does: a painter with norms cannot see that."""
    from streamfx.ops.color import luma

    light = luma(source[:, ::4, ::4]).mean().item()
    if light < DUSK:
        return painted * (light / DUSK)
    return painted if light <= GLARE else 1 - (1 - painted) * ((1 - light) / (1 - GLARE))


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The image [3, H, W] at another size, 0..1."""
    from torch.nn.functional import interpolate

    from streamfx.ops.warp import enlarge

    if tuple(image.shape[1:]) == size:
        return image
    if size[0] < image.shape[1]:
        return interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp_(0, 1)
    return enlarge(image, size, "bicubic").clamp_(0, 1)
