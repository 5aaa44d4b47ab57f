"""`streamfx style`: stylize a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from streamfx.cli._options import EffectSettings, VideoOptions, video_command
from streamfx.cli._run import make_video
from streamfx.cli._style_image import fitted_preset, preset_with_style
from streamfx.effects.style import Style
from streamfx.errors import Misuse


@video_command
def style(
    source: Annotated[str, typer.Argument(help="Video, image, 'frames/%05d.png', URL, device, or - for stdin.")],
    output: Annotated[str, typer.Argument(help="Video or image to write, by its extension; - for stdout (nut).")],
    *,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Name of a preset ('streamfx presets' lists them), a FILE.toml, or a blend: vangogh:0.6,munch:0.4.",
            show_default="vangogh",
        ),
    ] = None,
    style_image: Annotated[
        Path | None,
        typer.Option(
            help="Painting to use instead of a preset, which trains for 3 minutes once, or by a --preset that was "
            "imported with a predictor."
        ),
    ] = None,
    settings: Annotated[dict[str, Any], EffectSettings(Style, skip=("preset", "mask_start"))],
    options: VideoOptions,
) -> None:
    """Stylize a video like a painting: streamfx style in.mp4 out.mp4 --preset vangogh"""
    if settings["mask_preset"] and not settings["mask"]:
        raise Misuse("--mask-preset is for the black part of a mask; give --mask as well")
    facts: dict[str, object] = {}
    if style_image is not None:
        if preset is None:
            preset = fitted_preset(style_image, settings["quality"], source, output, options)
        else:
            preset = preset_with_style(preset, style_image)
        facts["style_image"] = str(style_image)
    preset = "vangogh" if preset is None else preset
    make_video(source, output, [Style(preset=preset, **settings)], options, {"preset": preset, **facts})
