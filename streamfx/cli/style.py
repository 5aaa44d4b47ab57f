"""`streamfx style`: paint a film."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamfx.cli.film import FilmOptions, Misuse, film_command, make_film
from streamfx.cli.fitting import fitted_preset


@film_command
def style(
    source: Annotated[str, typer.Argument(help="Video, picture, 'frames/%05d.png', URL, device, or - for stdin.")],
    output: Annotated[str, typer.Argument(help="Film or picture to write, by its ending; - for stdout (nut).")],
    *,
    preset: Annotated[
        str | None, typer.Option(help="Whose manner: see 'streamfx presets'; or a FILE.toml.", show_default="vangogh")
    ] = None,
    style_image: Annotated[
        Path | None, typer.Option(help="A painting to paint after, instead of a preset: learned in 3 minutes, once.")
    ] = None,
    strength: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the painting, 0..1.")] = 1.0,
    preserve_color: Annotated[bool, typer.Option(help="Keep the source's colours.")] = False,
    options: FilmOptions,
) -> None:
    """Paint a video like a master: streamfx style in.mp4 out.mp4 --preset vangogh"""
    from streamfx.effects.style import Style

    facts: dict[str, object] = {}
    if style_image is not None:
        if preset is not None:
            raise Misuse("give --preset or --style-image, not both")
        preset = fitted_preset(style_image, "fine", source, output, options)
        facts["style_image"] = str(style_image)
    preset = "vangogh" if preset is None else preset
    effect = Style(preset=preset, strength=strength, preserve_color=preserve_color)
    make_film(source, output, [effect], options, {"preset": preset, **facts})
