"""What all commands that make a film share: their options, the run, its progress and its end."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from streamfx import __version__
from streamfx.cli._allocator import keep_memory, return_memory
from streamfx.cli._framing import before, behind, no_larger_than_needed, on_clock, settled, to_width
from streamfx.cli._making import MOST, Job, make
from streamfx.cli._max_pixels import MAX_PIXELS, FilmMaxPixels
from streamfx.errors import StreamfxError
from streamfx.settings import Setting, settings

if TYPE_CHECKING:
    from streamfx.frame import Effect
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.encoder_selection import Output

log = logging.getLogger("streamfx")

SOURCE, OUTPUT, RUN = "Source", "Output", "Run"
FASTEST, WIDEST = 1000, 16384  # frames a second; pixels, of which H.264 has no more


class Misuse(StreamfxError):
    """A command line that makes no sense; exits with 2."""


@dataclass(frozen=True)
class FilmOptions:
    """The options of every command that reads one film and writes another."""

    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite the output.", rich_help_panel=OUTPUT)] = False
    format: Annotated[
        str | None,
        typer.Option(help="Container: mp4, fmp4, mov, matroska, nut, ... Else by the ending.", rich_help_panel=OUTPUT),
    ] = None
    encoder: Annotated[
        str | None, typer.Option(help="FFmpeg's encoder, e.g. libx265, prores_ks.", rich_help_panel=OUTPUT)
    ] = None
    crf: Annotated[
        float | None, typer.Option(help="Quality in the encoder's scale; lower is better.", rich_help_panel=OUTPUT)
    ] = None
    encoder_option: Annotated[
        list[str] | None,
        typer.Option("-e", metavar="KEY=VALUE", help="Handed to the encoder; repeatable.", rich_help_panel=OUTPUT),
    ] = None
    pix_fmt: Annotated[str | None, typer.Option(help="Pixel format, e.g. yuv422p10le.", rich_help_panel=OUTPUT)] = None
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Scale first: 1280x720, or 1280:-2 to keep the shape.", rich_help_panel=SOURCE
        ),
    ] = None
    fps: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="Frames a second to make: drop or repeat first.", rich_help_panel=OUTPUT),
    ] = None
    width: Annotated[
        str | None,
        typer.Option(metavar="PIXELS", help="Scale last, to this width; the height follows.", rich_help_panel=OUTPUT),
    ] = None
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Start at: 90, 1:30, 0:01:30.5.", rich_help_panel=SOURCE),
    ] = None
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End at.", rich_help_panel=SOURCE)] = None
    duration: Annotated[
        str | None, typer.Option(metavar="TIME", help="How much, instead of --to.", rich_help_panel=SOURCE)
    ] = None
    input_format: Annotated[
        str | None, typer.Option(help="FFmpeg's demuxer, e.g. v4l2 for a camera.", rich_help_panel=SOURCE)
    ] = None
    input_fps: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="Of numbered pictures and cameras: 24, 30000/1001.", rich_help_panel=SOURCE),
    ] = None
    max_pixels: FilmMaxPixels = MAX_PIXELS
    audio: Annotated[
        bool, typer.Option(" /--no-audio", help="Leave the sound out.", show_default=False, rich_help_panel=OUTPUT)
    ] = True
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=RUN)] = "auto"
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=RUN)] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is done where.", rich_help_panel=RUN)] = (
        False
    )
    progress: Annotated[
        bool | None,
        typer.Option("--progress/--no-progress", help="Else shown where stderr is a terminal.", rich_help_panel=RUN),
    ] = None
    report: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.", rich_help_panel=RUN)] = (
        False
    )
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run was stopped.", rich_help_panel=RUN)
    ] = False
    segment: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES", min=0, max=MOST, help="After how many frames work is safe; 0: never.", rich_help_panel=RUN
        ),
    ] = None
    join_partial: Annotated[
        bool, typer.Option("--join-partial", help="Make a film of what a stopped run left.", rich_help_panel=RUN)
    ] = False


@dataclass(frozen=True)
class EffectSettings:
    """Stands for the options of an effect's settings, in the annotation of a command's parameter."""

    kind: type[Any]
    skip: tuple[str, ...] = ()

    def parameters(self) -> list[inspect.Parameter]:
        """A keyword parameter for each setting, with its range, help and default."""
        hints: dict[str, Any] = get_type_hints(self.kind)
        return [
            _option(setting, hints[setting.name]) for setting in settings(self.kind) if setting.name not in self.skip
        ]


def _option(setting: Setting, hint: Any) -> inspect.Parameter:
    low, high = (None if bound is None else setting.type(bound) for bound in (setting.low, setting.high))
    limits = f", {setting.range}" if setting.range and not setting.choices else ""
    info = typer.Option(help=f"{setting.help}{limits}.", min=low, max=high)
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(setting.name, kind, default=setting.default, annotation=Annotated[hint, info])


def film_command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of FilmOptions in place of its parameter `options`.

    A parameter annotated with `EffectSettings(kind, skip)` becomes one option for each setting of the effect `kind`,
    except those in `skip`, and gets a dict of the values.
    """
    own = inspect.signature(function).parameters
    hints = get_type_hints(function, include_extras=True)
    shared = get_type_hints(FilmOptions, include_extras=True)
    parameters = []
    grouped: dict[str, list[str]] = {}
    for name, parameter in own.items():
        marker = next((mark for mark in get_args(hints[name])[1:] if isinstance(mark, EffectSettings)), None)
        if marker is not None:
            options = marker.parameters()
            grouped[name] = [option.name for option in options]
            parameters += options
        elif name != "options":
            parameters.append(parameter.replace(annotation=hints[name]))
    for field in fields(FilmOptions):
        parameters.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=shared[field.name]
            )
        )

    @wraps(function)
    def command(**given: Any) -> None:
        options = FilmOptions(**{name: given.pop(name) for name in shared})
        effects = {name: {key: given.pop(key) for key in keys} for name, keys in grouped.items()}
        function(**given, **effects, options=options)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def make_film(
    source: str, target: str, chain: Sequence[Effect], options: FilmOptions, facts: dict[str, object]
) -> None:
    """Read `source`, run the chain over it and write `target`; `facts` are added to what --json prints."""
    from streamfx.chain import chain_text
    from streamfx.effects.dream import Dream
    from streamfx.jobs.fingerprint import files_read
    from streamfx.media.filters.effect import Filters

    if options.quiet:
        log.setLevel(logging.ERROR)
    elif options.verbose:
        log.setLevel(logging.INFO)
        log.getChild("iterations").setLevel(logging.WARNING)  # they would tell of each
    if all(isinstance(effect, Filters) for effect in chain):
        return_memory()
    else:
        keep_memory()
        if not any(isinstance(effect, Dream) for effect in chain):  # it climbs in torch, on all cores
            _leave_cores()
    start, end = _span(options)
    chain = settled(chain)
    framed = _framed(on_clock(chain, start), options, target)
    rate = None if options.input_fps is None else parse_rate(options.input_fps)
    if source == "-" and sys.stdin.isatty():
        raise StreamfxError("stdin is a terminal: pipe a video in, or name an input file")
    hurry = any(getattr(effect, "quality", None) == "fast" for effect in chain)
    output = output_of(options, chain_text(chain) or "null", hurry=hurry)
    with _opened(source, input_format=options.input_format, input_rate=rate, start=start, end=end) as reader:
        info = reader.info
        paced = info.rate if options.fps is None else parse_rate(options.fps)
        frames = round(info.duration * paced) if info.duration and paced else None
        files = files_read(source) if options.input_format is None else None
        job = Job(target, framed, output, reader, reader.name, info.duration, frames, files, facts={"quick": hurry})
        writer = make(job, options, facts)
        if writer is not None and reader.broken is not None:
            whole = f" of {float(info.duration):.2f} s" if info.duration else ""
            raise StreamfxError(
                f"'{source}' breaks off or is damaged at {float(reader.broken):.2f} s{whole}; "
                f"'{target}' holds the {writer.written} frames that could be read"
            )


def output_of(options: FilmOptions, settings: str, *, hurry: bool = False) -> Output:
    """How the options want a film coded; `settings` tell how it was made."""
    from streamfx.media.output.encoder_selection import Output

    return Output(
        format=options.format,
        encoder=options.encoder,
        crf=options.crf,
        options=dict(_key_value(text) for text in options.encoder_option or []),
        pix_fmt=options.pix_fmt,
        audio=options.audio,
        overwrite=options.yes,
        hurry=hurry,
        settings=f"streamfx {__version__}: {settings}",
    )


def _leave_cores() -> None:
    """Keep torch and OpenCV to one thread each: what they do to frames is short, and others have work for the cores."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _opened(source: str, **how: Any) -> Reader:
    """The source, opened on another thread: one that sends nothing yet can be interrupted."""
    from streamfx.media.input.reader import Reader
    from streamfx.pipeline import prefetch

    with closing(prefetch(Reader(source, **how) for _ in range(1))) as opening:
        return next(opening)


def parse_time(text: str) -> Fraction:
    """Seconds of "90", "90.5", "1:30" or "0:01:30.25", exactly."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text.strip(), re.ASCII):
        raise Misuse(f"'{text}' is no time; give seconds (90.5) or h:mm:ss (0:01:30.5)")
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
    if not 0 < rate <= FASTEST:
        raise Misuse(f"'{text}' is no frame rate; give a number (24) or a fraction (30000/1001), at most {FASTEST}")
    return rate


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "1280x720"; one of them may be -1 or -2 in "1280:-2": what keeps the shape, even with -2."""
    found = re.fullmatch(r"(\d+|-[12])[x:](\d+|-[12])", text.strip().lower(), re.ASCII)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if 0 in (width, height) or (width < 0 and height < 0):
        raise Misuse(f"'{text}' is no size; give WIDTHxHEIGHT (1280x720), or 1280:-2 to keep the shape")
    return width, height


def whole_size(options: FilmOptions, otherwise: tuple[int, int], what: str) -> tuple[int, int]:
    """Width and height of a film that is made of nothing, whose --size has to name both; `what` is such a film."""
    width, height = parse_size(options.size) if options.size else otherwise
    if min(width, height) < 0:
        raise Misuse(f"{what} has no shape to keep; give both in --size, not '{options.size}'")
    return width, height


def refuse_reading(options: FilmOptions, instead: str, *also: tuple[str, str | None]) -> None:
    """Refuse the options of films that are read, and those (name, given) of `also`; `instead` tells what to do."""
    reading = [
        ("--from", options.start),
        ("--to", options.end),
        ("--width", options.width),
        ("--input-format", options.input_format),
        ("--input-fps", options.input_fps),
        *also,
    ]
    for option, given in reading:
        if given is not None:
            raise Misuse(f"{option} is for films that are read; {instead}")


def parse_width(text: str) -> int:
    """Pixels of "500"."""
    width = int(text) if re.fullmatch(r"\d{1,5}", text.strip(), re.ASCII) else 0
    if not 0 < width <= WIDEST:
        raise Misuse(f"'{text}' is no width; give whole pixels from 1 to {WIDEST}")
    return width


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Misuse(f"-e takes key=value (like -e preset=slow), not '{text}'")
    return key, value


def _span(options: FilmOptions) -> tuple[Fraction, Fraction | None]:
    if options.end is not None and options.duration is not None:
        raise Misuse("give --to or --duration, not both")
    start = parse_time(options.start) if options.start is not None else Fraction(0)
    if options.duration is not None:
        return start, start + parse_time(options.duration)
    return start, parse_time(options.end) if options.end is not None else None


def _framed(chain: Sequence[Effect], options: FilmOptions, target: str) -> list[Effect]:
    """The chain with what --fps, --size and --width put around it."""
    from streamfx.media.filters.graph import Filter

    first = []
    if options.fps is not None:
        first.append(Filter("fps", str(parse_rate(options.fps))))
    if options.size is not None:
        first.append(Filter("scale", "{}:{}:flags=lanczos".format(*parse_size(options.size))))
    if options.width is None:
        return before(first, chain)
    width = parse_width(options.width)
    if options.size is None:
        first += no_larger_than_needed(chain, width)
    return before(first, behind(chain, to_width(width, target, options.format)))
