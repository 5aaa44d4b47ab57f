"""`streamfx style`: paint a film."""

from __future__ import annotations

from typing import Annotated

import typer

from streamfx.cli.film import FilmOptions, film_command, make_film


@film_command
def style(
    source: Annotated[str, typer.Argument(help="Video, picture, 'frames/%05d.png', URL, device, or - for stdin.")],
    output: Annotated[str, typer.Argument(help="Film or picture to write, by its ending; - for stdout (nut).")],
    *,
    preset: Annotated[str, typer.Option(help="Whose manner: see 'streamfx presets'; or a FILE.toml.")] = "vangogh",
    strength: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the painting, 0..1.")] = 1.0,
    preserve_color: Annotated[bool, typer.Option(help="Keep the source's colours.")] = False,
    options: FilmOptions,
) -> None:
    """Paint a video like a master: streamfx style in.mp4 out.mp4 --preset vangogh"""
    from streamfx.effects.style import Style

    effect = Style(preset=preset, strength=strength, preserve_color=preserve_color)
    make_film(source, output, [effect], options, {"preset": preset})
