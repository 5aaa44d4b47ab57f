"""`streamfx dream`: what a network sees in a picture or a film."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamfx.cli.film import FilmOptions, Misuse, film_command, make_film
from streamfx.cli.models import fetch_with_bar
from streamfx.cli.terminal import STDERR
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from streamfx.effects.dream import Dream

STILL = 4, 10  # octaves, and steps in each, of a picture
FILM = 3, 6  # of a film


@film_command
def dream(
    source: Annotated[str, typer.Argument(help="Video, 'frames/%05d.png', URL, device, or - for stdin.")],
    output: Annotated[
        str | None, typer.Argument(help="Film or picture to write, by its ending; - for stdout (nut).")
    ] = None,
    *,
    picture: Annotated[
        str | None, typer.Option("--start", metavar="PICTURE", help="Dream on this picture: --start photo.jpg out.png")
    ] = None,
    layer: Annotated[
        str,
        typer.Option(
            help="What to dream of: block10, block8:12 (a channel), a+b, '0.7*a - 0.3*b'.",
            show_default="the model's best",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option(help="See 'streamfx models'; timm:NAME; auto takes what is here and has the layer.")
    ] = "auto",
    weights: Annotated[
        str, typer.Option(metavar="FILE", help="The model's weights, instead of those that are fetched.")
    ] = "",
    guide: Annotated[str, typer.Option(metavar="FILE", help="Picture or video whose features are to appear.")] = "",
    strength: Annotated[float, typer.Option(min=0.0, max=4.0, help="How far to dream, 0..4.")] = 1.0,
    octaves: Annotated[
        int | None, typer.Option(min=1, max=12, help="Sizes of pattern.", show_default="4, of films 3")
    ] = None,
    octave_scale: Annotated[float, typer.Option(min=1.1, max=4.0, help="From one octave to the next, 1.1..4.")] = 1.4,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="In each octave.", show_default="10, of films 6")
    ] = None,
    step: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Size of a step, 0..1.", show_default="what the strength asks for")
    ] = 0.0,
    smooth: Annotated[float, typer.Option(min=0.0, max=1.0, help="How far coarse and fine detail pull alike.")] = 0.5,
    tile: Annotated[
        int, typer.Option(min=128, max=4096, help="Pixels a side shown to the network at once; less takes less memory.")
    ] = 640,
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Of the random shifts.")] = 0,
    preserve_color: Annotated[bool, typer.Option(help="Keep the source's colours.")] = False,
    mask: Annotated[
        str, typer.Option(metavar="FILE", help="Picture, or video of the whole film: dream where it is white.")
    ] = "",
    coherence: Annotated[
        Literal["off", "warp"], typer.Option(help="off: each frame alone; warp: the last dream goes on.")
    ] = "warp",
    motion: Annotated[
        Literal["dis", "raft"], typer.Option(help="How motion is found; raft is a network, slow without a GPU.")
    ] = "dis",
    blend: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of the last dream that goes on, 0..0.99.")
    ] = 0.9,
    options: FilmOptions,
) -> None:
    """Dream on a picture or a film: streamfx dream in.mp4 out.mp4; streamfx dream --start photo.jpg out.png"""
    from streamfx.effects.dream import Dream

    source, output = _ends(source, output, picture)
    still = _is_picture(output, options.format)
    if picture is not None and not still:
        raise StreamfxError(
            f"--start is for pictures as yet, but '{output}' is a film: end it in .png, .jpg or .webp, "
            "or give a film to dream on, without --start"
        )
    effect = Dream(
        layer=layer,
        model=model,
        weights=weights,
        guide=guide,
        strength=strength,
        octaves=octaves or (STILL if still else FILM)[0],
        octave_scale=octave_scale,
        steps=steps or (STILL if still else FILM)[1],
        step=step,
        smooth=smooth,
        tile=tile,
        seed=seed,
        preserve_color=preserve_color,
        mask=mask,
        coherence="off" if still else coherence,
        motion=motion,
        blend=blend,
    )
    if model != "auto" and not weights:
        fetch_with_bar(model, shown=STDERR.is_terminal and not options.quiet)
    effect = effect.settled()
    if not options.quiet and model == "auto":
        STDERR.print(f"streamfx: dreaming with {effect.model} at {effect.layer}", markup=False)
    make_film(source, output, [effect], options, {"model": effect.model, "layer": effect.layer})
    if model == "auto" and not options.quiet:
        _tell_once(effect)


def _ends(source: str, output: str | None, picture: str | None) -> tuple[str, str]:
    """What is read, and what is written."""
    if picture is None:
        if output is None:
            raise Misuse("give what to dream on and what to write: dream in.mp4 out.mp4, or --start photo.jpg out.png")
        return source, output
    if output is not None:
        raise Misuse(f"with --start there is one more name, the picture to write; '{source}' and '{output}' are two")
    return picture, source


def _is_picture(output: str, form: str | None) -> bool:
    from streamfx.media.formats import format_of

    return output != "-" and format_of(output, form).one_picture


def _tell_once(effect: Dream) -> None:
    """After the first dream that lite0 had: what else there is."""
    from platformdirs import user_cache_dir

    from streamfx.nets.networks import NETWORKS

    told = Path(user_cache_dir("streamfx", appauthor=False)) / "told-of-inceptionv1"
    network = NETWORKS["inceptionv1"]
    if effect.model != "lite0" or network.cached or told.exists():
        return
    STDERR.print(
        f"streamfx: the network that dreamed in 2015 is one command away: streamfx models fetch inceptionv1 "
        f"({network.size / 1e6:.0f} MB)",
        markup=False,
    )
    with contextlib.suppress(OSError):  # told again then
        told.parent.mkdir(parents=True, exist_ok=True)
        told.touch()
