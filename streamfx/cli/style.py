"""`streamfx style`: paint a film."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from streamfx.cli._options import FilmOptions, Misuse, film_command, make_film
from streamfx.cli._style_image import fitted_preset


@film_command
def style(
    source: Annotated[str, typer.Argument(help="Video, picture, 'frames/%05d.png', URL, device, or - for stdin.")],
    output: Annotated[str, typer.Argument(help="Film or picture to write, by its ending; - for stdout (nut).")],
    *,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Whose manner: see 'streamfx presets'; a FILE.toml; or a blend, vangogh:0.6,munch:0.4.",
            show_default="vangogh",
        ),
    ] = None,
    style_image: Annotated[
        Path | None, typer.Option(help="A painting to paint after, instead of a preset: learned in 3 minutes, once.")
    ] = None,
    strength: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the painting, 0..1.")] = 1.0,
    preserve_color: Annotated[bool, typer.Option(help="Keep the source's colours.")] = False,
    quality: Annotated[Literal["fine", "fast"], typer.Option(help="fast takes a smaller network.")] = "fine",
    detail: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="How much of the source's structure is kept, 0..1; 0 is bold.")
    ] = 0.0,
    stroke: Annotated[float, typer.Option(min=0.5, max=2.0, help="Size of the strokes, 0.5..2.")] = 1.0,
    mask: Annotated[
        str, typer.Option(metavar="FILE", help="Picture, or video of the whole film: paint where it is white.")
    ] = "",
    mask_preset: Annotated[
        str, typer.Option(metavar="PRESET", help="Whose manner where the mask is black; else the source stays.")
    ] = "",
    coherence: Annotated[
        Literal["off", "warp", "full"],
        typer.Option(help="off: each frame alone; warp: mixed with the last one; full: painted to follow it."),
    ] = "warp",
    motion: Annotated[
        Literal["dis", "lk", "raft"],
        typer.Option(help="How motion is found; lk is for a GPU, raft is a network, slow without one."),
    ] = "dis",
    method: Annotated[
        Literal["network", "optimise"],
        typer.Option(help="optimise goes step by step to the painting's style: finer, minutes a frame, for stills."),
    ] = "network",
    iterations: Annotated[int, typer.Option(min=1, max=10000, help="Steps of --method optimise.")] = 100,
    passes: Annotated[
        int, typer.Option(min=1, max=100, help="Over each shot, to and fro, that share these steps; for short clips.")
    ] = 1,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "int8"],
        typer.Option(help="Data type of the network on the CPU; auto measures once which is the fastest."),
    ] = "auto",
    options: FilmOptions,
) -> None:
    """Paint a video like a master: streamfx style in.mp4 out.mp4 --preset vangogh"""
    from streamfx.effects.style import Style

    if mask_preset and not mask:
        raise Misuse("--mask-preset is for the black of a mask; give --mask as well")
    facts: dict[str, object] = {}
    if style_image is not None:
        if preset is not None:
            raise Misuse("give --preset or --style-image, not both")
        preset = fitted_preset(style_image, quality, source, output, options)
        facts["style_image"] = str(style_image)
    preset = "vangogh" if preset is None else preset
    effect = Style(
        preset=preset,
        strength=strength,
        preserve_color=preserve_color,
        detail=detail,
        quality=quality,
        precision=precision,
        stroke=stroke,
        mask=mask,
        mask_preset=mask_preset,
        coherence=coherence,
        motion=motion,
        method=method,
        iterations=iterations,
        passes=passes,
    )
    make_film(source, output, [effect], options, {"preset": preset, **facts})
