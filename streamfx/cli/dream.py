"""`streamfx dream`: DeepDream on an image, on a video, or from an image into a video."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from streamfx.cli._console import STDERR
from streamfx.cli._feedback import describe_schedules, make_feedback, plan_video
from streamfx.cli._looks import look_settings
from streamfx.cli._options import EffectSettings, VideoOptions, video_command
from streamfx.cli._run import make_video
from streamfx.cli.models import fetch_with_bar
from streamfx.effects.dream import Dream
from streamfx.effects.feedback import Feedback
from streamfx.errors import Misuse

FEEDBACK = "From an image to a video: --start IMAGE out.mp4"
STILL = {"octaves": 4, "steps": 10}  # defaults for images
SHARED = frozenset(
    ("layer", "model", "weights", "strength", "octaves", "octave_scale", "steps", "smooth", "tile", "seed", "colors")
)


@dataclass(frozen=True, slots=True)
class FeedbackOptions:
    """Options that only apply to a video made from an image."""

    audio: str | None
    dry_run: bool
    plot: str | None


@video_command
def dream(
    source: Annotated[str, typer.Argument(help="Video, 'frames/%05d.png', URL, device, or - for stdin.")],
    output: Annotated[
        str | None, typer.Argument(help="Video or image to write, by its extension; - for stdout (nut).")
    ] = None,
    *,
    start_image: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="IMAGE",
            help="Dream on this image: --start photo.jpg out.png; or make a video that starts from it: out.mp4.",
        ),
    ] = None,
    look: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Ready-made settings: see 'streamfx presets'. Several, separated by commas, take turns.",
        ),
    ] = "",
    settings: Annotated[
        dict[str, Any], EffectSettings(Dream, skip=("mask_start", "mask_rate", "step"), given_only=True)
    ],
    audio_file: Annotated[
        str | None,
        typer.Option(
            "--audio", metavar="FILE", help="Soundtrack, which the schedules follow.", rich_help_panel=FEEDBACK
        ),
    ] = None,
    feedback: Annotated[
        dict[str, Any],
        EffectSettings(Feedback, skip=("context", "size", *SHARED), given_only=True, panel=FEEDBACK),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the values of the schedules.", rich_help_panel=FEEDBACK)
    ] = False,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE.png", help="Plot the schedules over the audio.", rich_help_panel=FEEDBACK),
    ] = None,
    options: VideoOptions,
) -> None:
    """DeepDream on an image or a video, or a video that dreams on from an image.

    streamfx dream --start photo.jpg out.png; streamfx dream in.mp4 out.mp4; streamfx dream --start photo.jpg --audio
    song.mp3 out.mp4
    """
    source, output = _source_and_output(source, output, start_image)
    still, moving = look_settings(look, audio=audio_file is not None) if look else ({}, {})
    if settings.get("model", "auto") != "auto" and not settings.get("weights"):
        fetch_with_bar(settings["model"], shown=STDERR.is_terminal and not options.quiet)
    video_only = FeedbackOptions(audio_file, dry_run, plot)
    is_image = _is_image(output, options.format)
    if start_image is not None and not is_image:
        chosen = {name: value for name, value in moving.items() if name not in settings}
        _make_feedback_video(source, output, settings, chosen | feedback, video_only, options)
        return
    step = feedback.pop("step", None)
    _refuse(
        "needs a video made from an image: --start photo.jpg out.mp4",
        feedback.keys() | {name for name in ("audio", "dry_run", "plot") if getattr(video_only, name)},
    )
    if step is not None:
        settings["step"] = _parse_step(step)
    settings = still | settings
    _dream_on_frames(source, output, STILL | settings | {"coherence": "off"} if is_image else settings, options)


def _dream_on_frames(source: str, output: str, settings: dict[str, Any], options: VideoOptions) -> None:
    """Dream on each frame of a video, or on an image."""
    effect = Dream(**settings).with_network()
    auto = settings.get("model", "auto") == "auto" and not options.quiet
    if auto:
        STDERR.print(f"streamfx: dreaming with {effect.model} at {effect.layer}", markup=False)
    make_video(source, output, [effect], options, {"model": effect.model, "layer": effect.layer})
    if auto:
        _suggest_inception(effect.model)


def _make_feedback_video(
    image: str,
    output: str,
    settings: dict[str, Any],
    feedback: dict[str, Any],
    video_only: FeedbackOptions,
    options: VideoOptions,
) -> None:
    """Make a video that starts from an image and dreams on from frame to frame."""
    _refuse("needs a source image or video; it cannot be combined with a video from --start", settings.keys() - SHARED)
    plan = plan_video(video_only.audio, settings.get("seed", 0), options)
    effect = Feedback(plan.context, plan.size, **settings, **feedback).with_network()
    tracks = effect.tracks()  # raises errors in schedules before anything is rendered
    if video_only.dry_run or video_only.plot is not None:
        describe_schedules(tracks, plan, video_only.plot, dry=video_only.dry_run, overwrite=options.yes)
    if video_only.dry_run:
        return
    auto = settings.get("model", "auto") == "auto" and not options.quiet
    if auto:
        STDERR.print(f"streamfx: dreaming with {effect.model} at {effect.layer}", markup=False)
    make_feedback(image, output, effect, plan, options, {"model": effect.model, "layer": effect.layer})
    if auto:
        _suggest_inception(effect.model)


def _refuse(reason: str, names: set[str]) -> None:
    """Raise Misuse for the first option among `names`, if any."""
    for name in sorted(names):
        raise Misuse(f"--{name.replace('_', '-')} {reason}")


def _parse_step(text: str) -> float:
    """A step size that cannot change over time."""
    try:
        number = float(text or 0)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise Misuse(f"--step is '{text}', but must be a number from 0 to 1; schedules are for videos from --start")
    return number


def _source_and_output(source: str, output: str | None, start: str | None) -> tuple[str, str]:
    """The file to read and the file to write; with --start, the only argument is the output."""
    if start is None:
        if output is None:
            raise Misuse("give an input and an output: dream in.mp4 out.mp4, or --start photo.jpg out.png")
        return source, output
    if output is not None:
        raise Misuse(f"with --start, give only the image or video to write, not both '{source}' and '{output}'")
    return start, source


def _is_image(output: str, format_name: str | None) -> bool:
    from streamfx.media.output.formats import format_of

    return output != "-" and format_of(output, format_name).single_frame


def _suggest_inception(model: str) -> None:
    """After the first dream with lite0, mention the original DeepDream network, once."""
    from streamfx.deepdream.networks import NETWORKS
    from streamfx.resources import cache_folder

    shown = cache_folder() / "suggested-inceptionv1"
    network = NETWORKS["inceptionv1"]
    if model != "lite0" or network.cached or shown.exists():
        return
    STDERR.print(
        "streamfx: for the DeepDream network of 2015, run: streamfx models fetch inceptionv1 "
        f"({network.size / 1e6:.0f} MB)",
        markup=False,
    )
    with contextlib.suppress(OSError):  # shown again the next time
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.touch()
