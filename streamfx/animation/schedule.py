"""Settings that change over a film, in Deforum's syntax: "0:(1.0), 30:(1+0.02*sin(t/5)), max_f/2:(3)"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamfx.animation.easing import EASINGS
from streamfx.animation.expression import BEATS, STEADY, Expression, Op
from streamfx.animation.parser import Parser, error_at
from streamfx.errors import StreamfxError, unknown

Array: TypeAlias = NDArray[np.float64]

_START = Expression((Op("number", 0.0, 0, 0),))
_DISORDER = "this key, at frame {:g}, must come behind the one before it, at {:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What schedules may speak of besides the number of the frame."""

    last: int  # number of the film's last frame: max_f
    fps: float = 30.0
    seed: int = 0
    music: Mapping[str, Array] = field(default_factory=dict)  # variable -> a value for each frame; its last one stays
    beats: Array | None = None  # the frames on which beats fall, rising; not all are whole

    def variables(self, frames: Array) -> dict[str, Array]:
        """Name -> values at `frames`, which need not be whole; those that are the same everywhere once."""
        made = {"t": frames, **{name: np.array([value]) for name, value in self._steady().items()}}
        for name, track in self.music.items():
            made[name] = track[np.clip(np.rint(frames).astype(np.int64), 0, len(track) - 1)]
        if self.beats is not None and len(self.beats) > 1:
            made[BEATS] = self.beats
        return made

    def _steady(self) -> dict[str, float]:
        return {"max_f": float(self.last), "s": float(self.seed), "fps": float(self.fps)}


@dataclass(frozen=True, slots=True)
class Key:
    """A place in the film and what holds from there on."""

    frame: Expression
    value: Expression
    easing: str  # of the way from a number to the next key
    at: int  # character of the text


@dataclass(frozen=True, slots=True)
class Schedule:
    """A setting's value for each frame. Equal texts are equal schedules; `str` gives the text back."""

    text: str
    keys: tuple[Key, ...] = field(compare=False)
    name: str = field(default="schedule", compare=False)  # of the setting: begins the errors

    def __str__(self) -> str:
        return self.text

    @property
    def names(self) -> frozenset[str]:
        """The variables that it needs, "beats" where it counts in beats."""
        both = (part for key in self.keys for part in (key.frame, key.value))
        return frozenset(name for part in both for name, _ in part.names())

    @property
    def constant(self) -> float | None:
        """Its value, where that is one number for the whole film."""
        return self.keys[0].value.number if len(self.keys) == 1 else None

    def check(self, context: Context) -> None:
        """Raise StreamfxError where it needs a song that is not there, or its keys are not in order in this film."""
        _positions(self, context)

    def at(self, frame: float, context: Context) -> float:
        """The value at a frame, counted from 0. Raises StreamfxError where it is no finite number."""
        return float(self._values(np.array([frame], np.float64), context)[0])

    def values(self, count: int, context: Context) -> Array:
        """The values of the first `count` frames. Raises StreamfxError, with the frame, where one is not finite."""
        return self._values(np.arange(count, dtype=np.float64), context)

    def between(self, first: int, stop: int, context: Context) -> Array:
        """The values from the frame `first` up to `stop`, counted from 0. Raises StreamfxError as `values` does."""
        return self._values(np.arange(first, stop, dtype=np.float64), context)

    def _values(self, frames: Array, context: Context) -> Array:
        positions = _positions(self, context)
        moments = np.maximum(frames, positions[0])  # the first key holds for what comes before it
        index = np.searchsorted(positions, moments, side="right") - 1
        made = np.empty(len(frames))
        for i in np.unique(index):
            key, here = self.keys[i], index == i
            start = key.value.number
            if start is None or i + 1 == len(self.keys):
                made[here] = self.evaluated(key.value, moments[here], context)
            else:
                end = self.evaluated(self.keys[i + 1].value, positions[i + 1 : i + 2], context)
                share = (moments[here] - positions[i]) / (positions[i + 1] - positions[i])
                eased = EASINGS[key.easing](share)
                made[here] = start * (1 - eased) + end * eased
        return made

    def evaluated(self, expression: Expression, frames: Array, context: Context) -> Array:
        """One of its expressions at `frames`; StreamfxError where that is no finite number."""
        made = np.broadcast_to(expression.evaluate(context.variables(frames)), frames.shape)
        wrong = np.flatnonzero(~np.isfinite(made))
        if len(wrong):
            frame = frames[wrong[0]]
            reason, at = expression.fault(context.variables(frame[None]))
            raise self.error(f"{reason} at frame {frame:g}", at)
        return made

    def error(self, reason: str, at: int) -> StreamfxError:
        """One line that shows the character `at`."""
        return error_at(self.text, self.name, reason, at)


@lru_cache(maxsize=256)
def _positions(schedule: Schedule, context: Context) -> Array:
    """The frames of the keys, which need not be whole."""
    variables = context.variables(np.zeros(1))
    for key in schedule.keys:
        for name, at in (*key.frame.names(), *key.value.names()):
            if name not in variables:
                raise schedule.error(_missing(name, context), at)
    found = [float(schedule.evaluated(key.frame, np.zeros(1), context)[0]) for key in schedule.keys]
    for before, here, key in zip(found, found[1:], schedule.keys[1:]):
        if not before < here:
            raise schedule.error(_DISORDER.format(here, before), key.at)
    return np.array(found)


def _missing(name: str, context: Context) -> str:
    if not context.music:
        return f"{'counting in beats' if name == BEATS else repr(name)} needs a song; give one with --audio"
    if name == BEATS:
        return "the song has no beats that can be found; give frames, or seconds as 4s"
    return f"'{name}' is not known of this song"


def parse_schedule(text: str | float, name: str = "schedule") -> Schedule:
    """The schedule of a text: a number, an expression, or `key: value` pairs with commas between.

    A key is a frame: a number, `max_f/2`, seconds as `4s`, or beats as `8b`, the first beat being 0b. A number is drawn
    in a straight line to the next key's value, or as a word behind it says: `0:(1) ease_out, 60:(2)`. An expression,
    which is all that is not just a number, is evaluated at each frame up to the next key. `t` is the frame's number (in
    FFmpeg's filters it is seconds), `max_f` the last frame's, `s` the seed; a song adds `expression.MUSIC`. Raises
    StreamfxError, which shows the place, for unknown names and all that cannot be read.
    """
    written = text if isinstance(text, str) else repr(float(text))
    parser = Parser(written, name)
    if not parser.token:
        raise StreamfxError(f"{name} is empty; give a number, or keys as 0:(1), 30:(2)")
    at, first = parser.at, parser.expression()
    if parser.token != ":":
        if parser.token:
            raise parser.unexpected("expected the end here, or keys as in 0:(1), 30:(2)")
        return Schedule(written, (Key(_START, first, "linear", at),), name)
    keys = [_key(parser, first, at)]
    while parser.take(",") and parser.token:
        at = parser.at
        keys.append(_key(parser, parser.expression(), at))
        before, here = (key.frame.number for key in keys[-2:])
        if before is not None and here is not None and not before < here:
            raise parser.error(_DISORDER.format(here, before), at)
    if parser.token:
        raise parser.unexpected("expected ',' or the end")
    return Schedule(written, tuple(keys), name)


def _key(parser: Parser, frame: Expression, at: int) -> Key:
    """The key at `frame`, which has just been read: what stands behind it."""
    for name, place in frame.names():
        if name not in (*STEADY, BEATS):
            raise parser.error(f"'{name}' differs from frame to frame; keys may use {', '.join(STEADY)}", place)
    if not parser.take(":"):
        raise parser.unexpected("expected ':' between a key and its value")
    value = parser.expression()
    place = parser.at
    easing = parser.word()
    if easing is None:
        return Key(frame, value, "linear", at)
    if easing not in EASINGS:
        raise parser.error(str(unknown("easing", easing, EASINGS)), place)
    if value.number is None:
        raise parser.error(f"{easing} leads from a number to the next key; this is an expression", place)
    return Key(frame, value, easing, at)
