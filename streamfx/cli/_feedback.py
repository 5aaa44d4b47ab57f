"""Films that dream on from their own last frame, to a song: what `streamfx dream --start PICTURE film.mp4` does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.cli._allocator import keep_memory
from streamfx.cli._making import Job, make
from streamfx.cli._options import FilmOptions, output_of, parse_rate, parse_time, refuse_reading, whole_size
from streamfx.cli._table import print_timetable
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from torch import Tensor

    from streamfx.animation.audio_track import Music
    from streamfx.animation.schedule import Context
    from streamfx.effects.feedback import Array, Feedback
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
    from streamfx.animation.audio_track import analyse
    from streamfx.animation.schedule import Context

    refuse_reading(options, "a film from --start takes --size, --fps and --duration")
    width, height = whole_size(options, (1280, 720), "a film from --start")
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
        from streamfx.animation.plot import save_plot

        save_plot(Path(plot), tracks, float(film.rate), film.music, overwrite=overwrite)
    if dry:
        print_timetable(tracks, float(film.rate))


def make_feedback(
    picture: str, target: str, effect: Feedback, film: Film, options: FilmOptions, facts: dict[str, object]
) -> None:
    """Dream `film` on from a picture and write it with its song."""
    start = load_picture(picture)
    sources = [picture, *([film.song] if film.song is not None else [])]
    made = Generated(
        film.count, film.count / film.rate, lambda done: repeat(start, film.rate, film.count, done), sources
    )
    sound = Sound(film.song) if film.song is not None else None
    make_generated(target, effect, made, sound, options, described(effect), facts)


@dataclass(frozen=True, slots=True)
class Sound:
    """A song, and the second from which on it is heard."""

    song: str
    start: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Generated:
    """What goes into an effect that makes a film of its own."""

    count: int  # frames that go in
    length: Fraction  # seconds, of the film
    frames: Callable[[int], Iterable[Frame]]  # from the one of this number on
    sources: Sequence[str]  # what the film depends on, beside its settings


def make_generated(
    target: str,
    effect: Effect,
    made: Generated,
    sound: Sound | None,
    options: FilmOptions,
    settings: str,
    facts: dict[str, object],
) -> None:
    """Write the film that `effect` makes, with its sound.

    All that the effect remembers is in its memory; `settings` tell how the film was made.
    """
    from streamfx.jobs.fingerprint import files_read
    from streamfx.media.output.soundtrack import Song

    if options.quiet:
        log.setLevel(logging.ERROR)
    keep_memory()
    read = [files_read(name) for name in made.sources]
    files = [file for each in read for file in each or ()] if all(read) else None
    with Song(sound.song, made.length, sound.start) if sound is not None else nullcontext() as song:
        job = Job(
            target,
            [effect],
            output_of(options, settings),
            made.frames,
            name=target,
            length=made.length,
            frames=made.count,
            files=files,
            song=song,
            facts={"frames": made.count, "a song": sound is not None},
        )
        make(job, options, facts)


def described(effect: Feedback) -> str:
    """The settings that differ from what they are by themselves, as the film's comment tells them."""
    from dataclasses import fields

    told = [field for field in fields(effect) if field.name != "context"]
    changed = [(each.name, getattr(effect, each.name)) for each in told if getattr(effect, each.name) != each.default]
    return "feedback " + " ".join(f"{name}={value!r}" for name, value in changed)


def repeat(image: Tensor, rate: Fraction, count: int, begin: int = 0) -> Iterator[Frame]:
    """A still as a film, from the frame of number `begin` on."""
    from streamfx.frame import Frame

    for number in range(begin, count):
        yield Frame(image, number / rate, 1 / rate)


def load_picture(name: str) -> Tensor:
    """[3, H, W]: a picture, or the first one of a film, on black where it is transparent."""
    from streamfx.media.input.reader import Reader

    with Reader(name) as reader:
        frame = next(iter(reader))
    return frame.image if frame.alpha is None else frame.image * frame.alpha
