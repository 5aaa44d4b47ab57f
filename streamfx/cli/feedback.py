"""Films that dream on from their own last frame, to a song: what `streamfx dream --start PICTURE film.mp4` does."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from streamfx.cli.film import (
    FilmOptions,
    Misuse,
    output_of,
    parse_rate,
    parse_size,
    parse_time,
    report_film,
    say_kept,
    shows_progress,
)
from streamfx.cli.memory import keep_memory
from streamfx.cli.progress import Bar
from streamfx.cli.timetable import print_timetable
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from torch import Tensor

    from streamfx.dream.feedback import Array, Feedback
    from streamfx.dream.music import Music
    from streamfx.dream.schedule import Context
    from streamfx.frame import Effect, Frame

log = logging.getLogger("streamfx")

SECONDS = Fraction(10)  # of a film without a song
LONGEST = 10**6  # frames


@dataclass(frozen=True, slots=True)
class Film:
    """What is to be made, but for what it dreams of."""

    size: tuple[int, int]  # height, width
    rate: Fraction
    count: int  # frames
    context: Context
    song: str | None
    music: Music | None


def plan_film(song: str | None, seed: int, options: FilmOptions) -> Film:
    """Size, rate and length by the options and the song; listens to the song. Raises StreamfxError."""
    from streamfx.dream.music import analyse
    from streamfx.dream.schedule import Context

    for option, given in (
        ("--from", options.start),
        ("--to", options.end),
        ("--width", options.width),
        ("--input-format", options.input_format),
        ("--input-fps", options.input_fps),
    ):
        if given is not None:
            raise Misuse(f"{option} is for films that are read; a film from --start takes --size, --fps and --duration")
    width, height = parse_size(options.size) if options.size else (1280, 720)
    if min(width, height) < 0:
        raise Misuse(f"a film from --start has no shape to keep; give both in --size, not '{options.size}'")
    rate = parse_rate(options.fps) if options.fps else Fraction(30)
    music = analyse(song) if song is not None else None
    length = SECONDS if music is None else Fraction(music.duration)
    if options.duration is not None:
        length = parse_time(options.duration)
    count = max(1, round(length * rate))
    if count > LONGEST:
        raise StreamfxError(f"{count} frames are too many for a film; give --duration, or fewer --fps")
    fps = float(rate)
    context = Context(count - 1, fps, seed) if music is None else music.context(fps, count, seed)
    return Film((height, width), rate, count, context, song, music)


def show_film(tracks: Mapping[str, Array], film: Film, plot: str | None, *, dry: bool, overwrite: bool) -> None:
    """The values of its schedules as a picture, as a table, or both."""
    if plot is not None:
        from streamfx.dream.plot import save_plot

        save_plot(Path(plot), tracks, float(film.rate), film.music, overwrite=overwrite)
    if dry:
        print_timetable(tracks, float(film.rate))


def make_feedback(
    picture: str, target: str, effect: Feedback, film: Film, options: FilmOptions, facts: dict[str, object]
) -> None:
    """Dream `film` on from a picture and write it with its song."""
    keep_memory()
    frames = repeat(load_picture(picture), film.rate, film.count)
    sound = Sound(film.song) if film.song is not None else None
    make_generated(target, effect, frames, film.count / film.rate, sound, options, described(effect), facts)


@dataclass(frozen=True, slots=True)
class Sound:
    """A song, and the second from which on it is heard."""

    song: str
    start: Fraction = Fraction(0)


def make_generated(
    target: str,
    effect: Effect,
    frames: Iterable[Frame],
    length: Fraction,
    sound: Sound | None,
    options: FilmOptions,
    settings: str,
    facts: dict[str, object],
) -> None:
    """Write the film that `effect` makes out of `frames`, all that there are, for `length` seconds, with its sound.

    All that the effect remembers is in its memory; `settings` tell how the film was made.
    """
    from streamfx.media.song import Song
    from streamfx.media.writer import Writer
    from streamfx.pipeline import run

    if options.quiet:
        log.setLevel(logging.ERROR)
    keep_memory()
    began = time.monotonic()
    with Song(sound.song, length, sound.start) if sound is not None else nullcontext() as song:
        writer = Writer(target, None, output_of(options, settings), song)
        try:
            with writer, Bar(target, length, shown=shows_progress(options)) as tick:
                count = run(frames, [effect], writer, device=options.device, progress=tick)
        except KeyboardInterrupt:
            say_kept(writer)
            raise typer.Exit(130) from None
    report_film(options, writer, count, time.monotonic() - began, facts)


def described(effect: Feedback) -> str:
    """The settings that differ from what they are by themselves, as the film's comment tells them."""
    from dataclasses import fields

    told = [field for field in fields(effect) if field.name != "context"]
    changed = [(each.name, getattr(effect, each.name)) for each in told if getattr(effect, each.name) != each.default]
    return "feedback " + " ".join(f"{name}={value!r}" for name, value in changed)


def repeat(image: Tensor, rate: Fraction, count: int) -> Iterator[Frame]:
    """A still as a film."""
    from streamfx.frame import Frame

    for number in range(count):
        yield Frame(image, number / rate, 1 / rate)


def load_picture(name: str) -> Tensor:
    """[3, H, W]: a picture, or the first one of a film, on black where it is transparent."""
    from streamfx.media.reader import Reader

    with Reader(name) as reader:
        frame = next(iter(reader))
    return frame.image if frame.alpha is None else frame.image * frame.alpha
