"""Run the networks of a blend of presets, of any kind, and mix their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.inference.cuda_graph import Engine
from streamfx.inference.engine import build_engine
from streamfx.ops.warp import blend_sharp
from streamfx.presets import Preset
from streamfx.settings import Quality
from streamfx.styletransfer.network import is_style_network
from streamfx.styletransfer.painter import mix_painters
from streamfx.styletransfer.stylizer import PrecisionChoice, Stylizer

if TYPE_CHECKING:
    from streamfx.motion.temporal import WarpedFrame

# image [3, H, W], previous stylized frame, sharpness to aim at, detail 0..1 -> stylized image [3, H, W]
Stylize: TypeAlias = "Callable[[Tensor, WarpedFrame | None, float, float], Tensor]"


def build_blend(
    blend: Sequence[tuple[Preset, float]],
    quality: Quality,
    precision: PrecisionChoice,
    device: torch.device,
    *,
    sees_previous: bool = False,
) -> Stylize:
    """The networks of presets and their shares, which sum to 1; one network is compiled for each size of images.

    Networks of one kind run as one where their weights can be mixed; the images of the others are mixed.
    `sees_previous` feeds the previous stylized frame to networks of the first release.
    """
    imported = [(preset, share) for preset, share in blend if preset.style.network is not None]
    shipped = [(preset, share) for preset, share in blend if preset.style.network is None]
    new = [(file, share) for file, share in _files(shipped, quality) if is_style_network(file)]
    old = [(preset, share) for preset, share in shipped if not is_style_network(preset.weights(quality))]
    networks: list[tuple[Stylize, float]] = [
        (_imported(preset, quality, precision, device), share) for preset, share in imported
    ]
    if new:
        total = sum(share for _, share in new)
        networks.append((_stylizer([(file, share / total) for file, share in new], precision, device), total))
    if old:
        total = sum(share for _, share in old)
        scaled = [(preset, share / total) for preset, share in old]
        networks.append((_painter(scaled, quality, device, sees_previous), total))
    if len(networks) == 1:
        return networks[0][0]

    def mixed(image: Tensor, previous: WarpedFrame | None, sharpness: float, detail: float) -> Tensor:
        first, *others = (network(image, previous, sharpness, detail).mul(share) for network, share in networks)
        for stylized in others:
            first += stylized
        return first

    return mixed


def _files(blend: Sequence[tuple[Preset, float]], quality: Quality) -> list[tuple[Path, float]]:
    return [(preset.weights(quality), share) for preset, share in blend]


def _stylizer(parts: list[tuple[Path, float]], precision: PrecisionChoice, device: torch.device) -> Stylize:
    stylize = Stylizer(parts, precision, device)

    def blended(image: Tensor, previous: WarpedFrame | None, sharpness: float, detail: float) -> Tensor:
        return _with_previous(stylize(image, detail), previous, sharpness)

    return blended


def _imported(preset: Preset, quality: Quality, precision: PrecisionChoice, device: torch.device) -> Stylize:
    from streamfx.styletransfer.importing.network import ImportedStylizer

    network = preset.style.network
    assert network is not None
    if network.predictor is not None and not network.style:
        raise StreamfxError(f"the preset {preset.name} takes its style from a picture; give --style-image PICTURE")
    stylize = ImportedStylizer(preset.weights(quality), network, precision, device)

    def blended(image: Tensor, previous: WarpedFrame | None, sharpness: float, detail: float) -> Tensor:
        return _with_previous(stylize(image), previous, sharpness)

    return blended


def _painter(
    blend: Sequence[tuple[Preset, float]], quality: Quality, device: torch.device, sees_previous: bool
) -> Stylize:
    """The network of the first release."""
    painter, style = mix_painters([(preset.weights(quality), preset.name, share) for preset, share in blend])
    style = style.to(device)
    engines: dict[tuple[int, ...], Engine] = {}

    def paint(image: Tensor, previous: WarpedFrame | None, sharpness: float, detail: float) -> Tensor:
        inputs = [image.unsqueeze(0), style]
        if sees_previous:
            shown = image.new_zeros(4, *image.shape[1:])
            if previous is not None:
                shown = torch.cat([previous.warped, previous.moving])
            inputs.append(shown.to(device).unsqueeze(0))
        if image.shape not in engines:
            engines[image.shape] = build_engine(painter, [tuple(x.shape) for x in inputs], device)
        return _with_previous(engines[image.shape](*inputs).squeeze(0), previous, sharpness)

    return paint


def _with_previous(stylized: Tensor, previous: WarpedFrame | None, sharpness: float) -> Tensor:
    """The stylized image [3, H, W] mixed with the previous one, warped, if there is one."""
    if previous is None:
        return stylized
    return blend_sharp(stylized, previous.warped, previous.share, sharpness)
