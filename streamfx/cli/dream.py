"""`streamfx dream`: what a network sees in a picture or a film."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from streamfx.cli._console import STDERR
from streamfx.cli._options import FilmOptions, Misuse, film_command, make_film
from streamfx.cli.models import fetch_with_bar

SCHEDULE = "SCHEDULE"
MOVES = "From one picture to a film"
STILL = 4, 10  # octaves, and steps in each, of a picture
FILM = 3, 6  # of a film


def _share(what: str, usual: str) -> Any:
    """An option of a film from one picture: a share in each frame."""
    text = f"Share each frame, 0..1: {what[0].lower()}{what[1:]}"
    return typer.Option(min=0.0, max=1.0, help=text, show_default=usual, rich_help_panel=MOVES)


def _whole(low: int, high: int, what: str, usual: str) -> Any:
    """An option of a film from one picture: a whole number."""
    return typer.Option(min=low, max=high, help=what, show_default=usual, rich_help_panel=MOVES)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a film from one picture is to have, and what is to be shown of its plan."""

    song: str | None
    dry_run: bool
    plot: str | None


@film_command
def dream(
    source: Annotated[str, typer.Argument(help="Video, 'frames/%05d.png', URL, device, or - for stdin.")],
    output: Annotated[
        str | None, typer.Argument(help="Film or picture to write, by its ending; - for stdout (nut).")
    ] = None,
    *,
    picture: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="PICTURE",
            help="Dream on this picture: --start photo.jpg out.png; of a film, out.mp4, the first frame.",
        ),
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
        str,
        typer.Option(
            metavar="SCHEDULE", help="Size of a step, 0..1.", show_default="what strength, or the song, asks for"
        ),
    ] = "",
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
        Literal["dis", "lk", "raft"],
        typer.Option(help="How motion is found; lk is for a GPU, raft is a network, slow without one."),
    ] = "dis",
    blend: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of the last dream that goes on, 0..0.99.")
    ] = 0.9,
    song: Annotated[
        str | None,
        typer.Option("--audio", metavar="SONG", help="The film's sound, and what moves it.", rich_help_panel=MOVES),
    ] = None,
    zoom: Annotated[
        str,
        typer.Option(
            metavar=SCHEDULE,
            help="Each frame: 1.01, or '0:(1), 4s:(1+0.02*beat)'; t is the frame's number (FFmpeg's is seconds).",
            rich_help_panel=MOVES,
        ),
    ] = "",
    angle: Annotated[
        str, typer.Option(metavar=SCHEDULE, help="Degrees each frame, counter-clockwise.", rich_help_panel=MOVES)
    ] = "",
    shift_x: Annotated[
        str, typer.Option(metavar=SCHEDULE, help="Pixels to the right each frame.", rich_help_panel=MOVES)
    ] = "",
    shift_y: Annotated[str, typer.Option(metavar=SCHEDULE, help="Pixels down each frame.", rich_help_panel=MOVES)] = "",
    view: Annotated[float | None, _share("The start, as the camera sees it by now.", "0")] = None,
    start_colors: Annotated[float | None, _share("The start's colours.", "0.003")] = None,
    hold: Annotated[float | None, _share("Light, contrast and colour gone astray, taken back.", "0.2")] = None,
    soften: Annotated[float | None, _share("The finest detail, taken away.", "0.08")] = None,
    finest: Annotated[int | None, _whole(1, 100, "Dream at full size in every so many-th frame.", "3")] = None,
    margin: Annotated[int | None, _whole(0, 1000, "Pixels around 1280x720, which hide borders.", "60")] = None,
    border: Annotated[
        Literal["reflect", "replicate", "wrap"] | None,
        typer.Option(help="What lies beyond the picture.", show_default="reflect", rich_help_panel=MOVES),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Let the end run into the start: GIFs.", rich_help_panel=MOVES)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what the schedules come to.", rich_help_panel=MOVES)
    ] = False,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE.png", help="Draw the schedules over the song.", rich_help_panel=MOVES)
    ] = None,
    options: FilmOptions,
) -> None:
    """Dream on a picture, a film, or from a picture to a film.

    streamfx dream --start photo.jpg out.png; streamfx dream in.mp4 out.mp4; streamfx dream --start photo.jpg --audio
    song.mp3 out.mp4
    """
    from streamfx.effects.dream import Dream

    source, output = _ends(source, output, picture)
    still = _is_picture(output, options.format)
    moves = {"zoom": zoom, "angle": angle, "shift_x": shift_x, "shift_y": shift_y}
    kept = {"view": view, "guide": start_colors, "hold": hold, "soften": soften, "finest": finest, "border": border}
    fed_back = {name: value for name, value in {**kept, "margin": margin}.items() if value is not None}
    common: dict[str, Any] = {
        "layer": layer,
        "model": model,
        "weights": weights,
        "strength": strength,
        "octave_scale": octave_scale,
        "smooth": smooth,
        "tile": tile,
        "seed": seed,
    }
    if model != "auto" and not weights:
        fetch_with_bar(model, shown=STDERR.is_terminal and not options.quiet)
    if picture is not None and not still:
        _refuse(
            "is for pictures and films that are read, not for a film from --start",
            {"guide": guide, "mask": mask, "preserve-color": preserve_color},
        )
        counts = {name: count for name, count in (("octaves", octaves), ("steps", steps)) if count is not None}
        _dream_on(
            source,
            output,
            common | counts | moves | fed_back | {"step": step, "loop": loop},
            Wanted(song, dry_run, plot),
            options,
        )
        return
    _refuse(
        "is for a film from one picture: --start photo.jpg out.mp4",
        {name.replace("_", "-"): text for name, text in moves.items()}
        | {"start-colors" if name == "guide" else name: str(value) for name, value in fed_back.items()}
        | {"audio": song, "loop": loop, "dry-run": dry_run, "plot": plot},
    )
    effect = Dream(
        **common,
        guide=guide,
        octaves=octaves or (STILL if still else FILM)[0],
        steps=steps or (STILL if still else FILM)[1],
        step=_number(step),
        preserve_color=preserve_color,
        mask=mask,
        coherence="off" if still else coherence,
        motion=motion,
        blend=blend,
    )
    effect = effect.settled()
    if not options.quiet and model == "auto":
        STDERR.print(f"streamfx: dreaming with {effect.model} at {effect.layer}", markup=False)
    make_film(source, output, [effect], options, {"model": effect.model, "layer": effect.layer})
    if model == "auto" and not options.quiet:
        _tell_once(effect.model)


def _dream_on(picture: str, output: str, settings: dict[str, Any], wanted: Wanted, options: FilmOptions) -> None:
    """A film out of one picture."""
    from streamfx.cli._feedback import make_feedback, plan_film, show_film
    from streamfx.effects.feedback import Feedback

    film = plan_film(wanted.song, settings["seed"], options)
    effect = Feedback(film.context, film.size, **settings).settled()
    tracks = effect.tracks()  # their mistakes are told before anything is made
    if wanted.dry_run or wanted.plot is not None:
        show_film(tracks, film, wanted.plot, dry=wanted.dry_run, overwrite=options.yes)
    if wanted.dry_run:
        return
    auto = settings["model"] == "auto" and not options.quiet
    if auto:
        STDERR.print(f"streamfx: dreaming with {effect.model} at {effect.layer}", markup=False)
    make_feedback(picture, output, effect, film, options, {"model": effect.model, "layer": effect.layer})
    if auto:
        _tell_once(effect.model)


def _refuse(why: str, given: dict[str, object]) -> None:
    """Raise for the first option that was given and means nothing here."""
    for name, value in given.items():
        if value:
            raise Misuse(f"--{name} {why}")


def _number(step: str) -> float:
    """The size of a step, where it cannot change."""
    try:
        number = float(step or 0)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise Misuse(f"--step is '{step}', but must be a number from 0 to 1; schedules are for films from --start")
    return number


def _ends(source: str, output: str | None, picture: str | None) -> tuple[str, str]:
    """What is read, and what is written."""
    if picture is None:
        if output is None:
            raise Misuse("give what to dream on and what to write: dream in.mp4 out.mp4, or --start photo.jpg out.png")
        return source, output
    if output is not None:
        raise Misuse(
            f"with --start there is one more name, the picture or film to write; '{source}' and '{output}' are two"
        )
    return picture, source


def _is_picture(output: str, form: str | None) -> bool:
    from streamfx.media.output.formats import format_of

    return output != "-" and format_of(output, form).one_picture


def _tell_once(model: str) -> None:
    """After the first dream that lite0 had: what else there is."""
    from platformdirs import user_cache_dir

    from streamfx.deepdream.networks import NETWORKS

    told = Path(user_cache_dir("streamfx", appauthor=False)) / "told-of-inceptionv1"
    network = NETWORKS["inceptionv1"]
    if model != "lite0" or network.cached or told.exists():
        return
    STDERR.print(
        f"streamfx: the network that dreamed in 2015 is one command away: streamfx models fetch inceptionv1 "
        f"({network.size / 1e6:.0f} MB)",
        markup=False,
    )
    with contextlib.suppress(OSError):  # told again then
        told.parent.mkdir(parents=True, exist_ok=True)
        told.touch()
