"""Options that commands share, and the job that they describe."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from streamfx.cli._max_pixels import MAX_PIXELS, VideoMaxPixels
from streamfx.errors import Misuse
from streamfx.settings import Setting, settings

if TYPE_CHECKING:
    from streamfx.frame import Effect
    from streamfx.jobs.job import Job
    from streamfx.media.encoding import Output

SOURCE, OUTPUT, RUN = "Source", "Output", "Run"
MAX_RATE, MAX_WIDTH = 1000, 16384  # frames per second; pixels, the limit of H.264
MAX_SEGMENT = 10**6  # frames


def _option(panel: str, *names: str, **how: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **how)


@dataclass(frozen=True)
class VideoOptions:
    """The options of every command that reads or generates a video and writes it."""

    yes: Annotated[bool, _option(OUTPUT, "--yes", "-y", help="Overwrite the output file.")] = False
    format: Annotated[
        str | None, _option(OUTPUT, help="Such as mp4, fmp4, mov, prores, matroska, png16. Default: by the extension.")
    ] = None
    encoder: Annotated[str | None, _option(OUTPUT, help="FFmpeg encoder, such as libx265 or prores_ks.")] = None
    crf: Annotated[float | None, _option(OUTPUT, help="Quality on the encoder's own scale; lower is better.")] = None
    encoder_option: Annotated[
        list[str] | None,
        _option(OUTPUT, "-e", metavar="KEY=VALUE", help="Option passed to the encoder; repeatable."),
    ] = None
    pix_fmt: Annotated[str | None, _option(OUTPUT, help="Pixel format, such as yuv422p10le.")] = None
    size: Annotated[
        str | None,
        _option(SOURCE, metavar="WxH", help="Scale the input: 1280x720, or 1280:-2 to keep the aspect ratio."),
    ] = None
    fps: Annotated[
        str | None, _option(OUTPUT, metavar="RATE", help="Output frame rate; frames are dropped or repeated.")
    ] = None
    width: Annotated[
        str | None, _option(OUTPUT, metavar="PIXELS", help="Scale the output to this width; keeps the aspect ratio.")
    ] = None
    start: Annotated[str | None, _option(SOURCE, "--from", metavar="TIME", help="Start time: 90, 1:30, 0:01:30.5.")] = (
        None
    )
    end: Annotated[str | None, _option(SOURCE, "--to", metavar="TIME", help="End time.")] = None
    duration: Annotated[str | None, _option(SOURCE, metavar="TIME", help="Duration, instead of --to.")] = None
    input_format: Annotated[str | None, _option(SOURCE, help="FFmpeg demuxer, such as v4l2 for a camera.")] = None
    input_fps: Annotated[
        str | None,
        _option(SOURCE, metavar="RATE", help="Frame rate of image sequences and cameras: 24, 30000/1001."),
    ] = None
    max_pixels: VideoMaxPixels = MAX_PIXELS
    compare: Annotated[bool, _option(OUTPUT, "--compare", help="Write the source and the result side by side.")] = False
    audio: Annotated[bool, _option(OUTPUT, " /--no-audio", help="Write no audio.", show_default=False)] = True
    device: Annotated[str, _option(RUN, help="auto, cpu or cuda.")] = "auto"
    quiet: Annotated[bool, _option(RUN, "--quiet", "-q", help="Print errors only.")] = False
    verbose: Annotated[bool, _option(RUN, "--verbose", "-v", help="Print what runs where.")] = False
    progress: Annotated[
        bool | None, _option(RUN, "--progress/--no-progress", help="Show progress; default: if stderr is a terminal.")
    ] = None
    report: Annotated[bool, _option(RUN, "--json", help="Print a JSON object at the end.")] = False
    resume: Annotated[bool, _option(RUN, "--resume", help="Continue a run that was stopped.")] = False
    segment: Annotated[
        int | None,
        _option(RUN, metavar="FRAMES", min=0, max=MAX_SEGMENT, help="Frames between checkpoints; 0 turns them off."),
    ] = None
    join_partial: Annotated[
        bool, _option(RUN, "--join-partial", help="Join the finished part of a stopped run into a video.")
    ] = False
    workers: Annotated[
        int | None,
        _option(RUN, metavar="N", min=1, max=256, help="Render segments in N processes; each uses one GPU, if any."),
    ] = None
    ray: Annotated[
        str | None,
        _option(RUN, metavar="auto|local|HOST:PORT", help="Render segments on a Ray cluster."),
    ] = None
    ray_cpus: Annotated[
        int | None, _option(RUN, metavar="N", min=1, max=1024, help="Cores of each segment on Ray; default: up to 4.")
    ] = None
    ray_gpus: Annotated[
        float | None,
        _option(RUN, metavar="N", min=0, max=64, help="GPUs of each segment on Ray, such as 0.5; default: 1 if any."),
    ] = None
    exact: Annotated[
        bool, _option(RUN, "--exact", help="With --workers or --ray: split only where no frame changes, at cuts.")
    ] = False


@dataclass(frozen=True)
class EffectSettings:
    """Stands for the options of an effect's settings, in the annotation of a command's parameter.

    With `given_only`, the command gets only the settings that were given.
    """

    kind: type[Any]
    skip: tuple[str, ...] = ()
    given_only: bool = False
    panel: str | None = None

    def parameters(self) -> dict[str, inspect.Parameter]:
        """For each setting a keyword parameter with its range, help and default."""
        hints: dict[str, Any] = get_type_hints(self.kind)
        known = [setting for setting in settings(self.kind) if setting.name not in self.skip]
        return {setting.name: self._parameter(setting, hints[setting.name]) for setting in known}

    def _parameter(self, setting: Setting, hint: Any) -> inspect.Parameter:
        low, high = (None if bound is None else setting.type(bound) for bound in (setting.low, setting.high))
        limits = f", {setting.range}" if setting.range and not setting.choices else ""
        shown = str(setting.default) if self.given_only and setting.default not in ("", False) else True
        info = _option(self.panel or "Options", help=f"{setting.help}{limits}.", min=low, max=high, show_default=shown)
        default = None if self.given_only else setting.default
        kind: Any = hint | None if self.given_only else hint
        annotation: Any = Annotated[kind, info]
        return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    def values(self, options: dict[str, Any]) -> dict[str, Any]:
        """Take the settings out of `options`, which holds the values of all options of the command."""
        values = {name: options.pop(parameter.name) for name, parameter in self.parameters().items()}
        return {name: value for name, value in values.items() if value is not None or not self.given_only}


def video_command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of VideoOptions in place of its parameter `options`.

    A parameter annotated with `EffectSettings` becomes the options of that effect's settings, and gets a dict of them.
    """
    return _with_options(function, get_type_hints(VideoOptions, include_extras=True))


def settings_command(function: Callable[..., None]) -> Callable[..., None]:
    """Like `video_command`, for a command that has no VideoOptions."""
    return _with_options(function, {})


def _with_options(function: Callable[..., None], shared: dict[str, Any]) -> Callable[..., None]:
    """The command with options in place of its grouped parameters; `shared` are the type hints of VideoOptions."""
    own = inspect.signature(function).parameters
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, EffectSettings] = {}
    for name, parameter in own.items():
        group = next((mark for mark in get_args(hints[name])[1:] if isinstance(mark, EffectSettings)), None)
        if group is not None:
            groups[name] = group
            parameters += group.parameters().values()
        elif not (shared and name == "options"):
            parameters.append(parameter.replace(annotation=hints[name]))
    for option in fields(VideoOptions) if shared else ():
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(option.name, kind, default=option.default, annotation=shared[option.name]))

    @wraps(function)
    def command(**given: Any) -> None:
        more = {"options": VideoOptions(**{name: given.pop(name) for name in shared})} if shared else {}
        effects = {name: group.values(given) for name, group in groups.items()}
        function(**given, **effects, **more)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def parse_time(text: str) -> Fraction:
    """Seconds of "90", "90.5", "1:30" or "0:01:30.25", exactly."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text.strip(), re.ASCII):
        raise Misuse(f"'{text}' is not a time; give seconds (90.5) or h:mm:ss (0:01:30.5)")
    seconds = Fraction(0)
    for part in text.strip().split(":"):
        seconds = seconds * 60 + Fraction(part)
    return seconds


def parse_rate(text: str) -> Fraction:
    """Frames a second of "24", "23.976" or "30000/1001"."""
    try:
        rate = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= MAX_RATE:
        raise Misuse(f"'{text}' is not a frame rate; give a number (24) or a fraction (30000/1001), at most {MAX_RATE}")
    return rate


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "1280x720". In "1280:-2" one of them is -1 or -2: it keeps the aspect ratio, -2 also even."""
    match = re.fullmatch(r"(\d+|-[12])[x:](\d+|-[12])", text.strip().lower(), re.ASCII)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if 0 in (width, height) or (width < 0 and height < 0):
        raise Misuse(f"'{text}' is not a size; give WIDTHxHEIGHT (1280x720), or 1280:-2 to keep the aspect ratio")
    return width, height


def explicit_size(options: VideoOptions, default: tuple[int, int], what: str) -> tuple[int, int]:
    """Width and height of a generated video, for which --size must name both; `what` names it in the error."""
    width, height = parse_size(options.size) if options.size else default
    if min(width, height) < 0:
        raise Misuse(f"{what} has no aspect ratio to keep; give both sides in --size, not '{options.size}'")
    return width, height


def refuse_source_options(options: VideoOptions, advice: str, *more: tuple[str, object]) -> None:
    """Refuse options that only apply to a source video, and those (option, value) in `more`."""
    for option, value in (
        ("--from", options.start),
        ("--to", options.end),
        ("--width", options.width),
        ("--input-format", options.input_format),
        ("--input-fps", options.input_fps),
        ("--compare", options.compare or None),
        *more,
    ):
        if value is not None:
            raise Misuse(f"{option} needs a source video; {advice}")


def parse_width(text: str) -> int:
    """Pixels of "500"."""
    width = int(text) if re.fullmatch(r"\d{1,5}", text.strip(), re.ASCII) else 0
    if not 0 < width <= MAX_WIDTH:
        raise Misuse(f"'{text}' is not a width; give whole pixels from 1 to {MAX_WIDTH}")
    return width


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Misuse(f"-e takes key=value (like -e preset=slow), not '{text}'")
    return key, value


def output_of(options: VideoOptions) -> Output:
    """How to encode and mux the video."""
    from streamfx.media.encoding import Output

    return Output(
        format=options.format,
        encoder=options.encoder,
        crf=options.crf,
        options=dict(_key_value(text) for text in options.encoder_option or []),
        pix_fmt=options.pix_fmt,
        audio=options.audio,
        overwrite=options.yes,
    )


def make_job(source: str, target: str, chain: Sequence[Effect], options: VideoOptions) -> Job:
    """The job of a command that reads a video and writes one."""
    from streamfx.jobs.compare import Compare
    from streamfx.jobs.job import Job

    start, end = _span(options)
    return Job(
        source,
        target,
        [Compare(tuple(chain))] if options.compare else chain,
        output_of(options),
        start=start,
        end=end,
        size=None if options.size is None else parse_size(options.size),
        rate=None if options.fps is None else parse_rate(options.fps),
        width=None if options.width is None else parse_width(options.width),
        input_format=options.input_format,
        input_rate=None if options.input_fps is None else parse_rate(options.input_fps),
        device=options.device,
        segment=options.segment,
    )


def _span(options: VideoOptions) -> tuple[Fraction, Fraction | None]:
    if options.end is not None and options.duration is not None:
        raise Misuse("give --to or --duration, not both")
    start = parse_time(options.start) if options.start is not None else Fraction(0)
    if options.duration is not None:
        return start, start + parse_time(options.duration)
    return start, parse_time(options.end) if options.end is not None else None
