"""Settings that change over a video, in Deforum's syntax: "0:(1.0), 30:(1+0.02*sin(t/5)), max_f/2:(3)"."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamfx.animation.context import Context
from streamfx.animation.easing import EASINGS
from streamfx.animation.expression import BEATS, KEY_VARIABLES, LAYER, Expression, Op
from streamfx.animation.parser import Parser, error_at
from streamfx.errors import StreamfxError, unknown

Array: TypeAlias = NDArray[np.float64]

_FRAME_0 = Expression((Op("number", 0.0, 0, 0),))


@dataclass(frozen=True, slots=True)
class Key:
    """A frame, and the value that applies from there to the next key."""

    frame: Expression
    value: Expression
    easing: str  # of the interpolation to the next key, if the value is a number
    offset: int  # character in the text


@dataclass(frozen=True, slots=True)
class Schedule:
    """A setting's value for each frame. Schedules are equal if their texts are; `str` returns the text."""

    text: str
    keys: tuple[Key, ...] = field(compare=False)
    name: str = field(default="schedule", compare=False)  # of the setting; error messages start with it

    def __str__(self) -> str:
        return self.text

    @property
    def names(self) -> frozenset[str]:
        """The variables used; "beats" if positions are in beats."""
        expressions = (expression for key in self.keys for expression in (key.frame, key.value))
        return frozenset(name for expression in expressions for name, _ in expression.names())

    @property
    def constant(self) -> float | None:
        """The value if it is a single number for the whole video, else None."""
        return self.keys[0].value.number if len(self.keys) == 1 else None

    def check(self, context: Context) -> None:
        """Raise StreamfxError if it needs audio that is missing, or a frame of a key cannot be computed."""
        _ordered_keys(self, context)

    def at(self, frame: float, context: Context) -> float:
        """The value at a frame, counted from 0. Raises StreamfxError if it is not finite."""
        return float(self._values(np.array([frame], np.float64), context)[0])

    def values(self, count: int, context: Context) -> Array:
        """The values of the first `count` frames. Raises StreamfxError, with the frame, if one is not finite."""
        return self._values(np.arange(count, dtype=np.float64), context)

    def between(self, first: int, stop: int, context: Context) -> Array:
        """The values of frames `first` to `stop` - 1, counted from 0. Raises StreamfxError like `values`."""
        return self._values(np.arange(first, stop, dtype=np.float64), context)

    def _values(self, frames: Array, context: Context) -> Array:
        keys, key_frames = _ordered_keys(self, context)
        clamped = np.maximum(frames, key_frames[0])  # the first key also applies to the frames before it
        index = np.searchsorted(key_frames, clamped, side="right") - 1
        values = np.empty(len(frames))
        for i in np.unique(index):
            key, mask = keys[i], index == i
            start = key.value.number
            if start is None or i + 1 == len(keys):
                values[mask] = self.evaluate(key.value, clamped[mask], context)
            else:
                end = self.evaluate(keys[i + 1].value, key_frames[i + 1 : i + 2], context)
                share = (clamped[mask] - key_frames[i]) / (key_frames[i + 1] - key_frames[i])
                eased = EASINGS[key.easing](share)
                values[mask] = start * (1 - eased) + end * eased
        return values

    def evaluate(self, expression: Expression, frames: Array, context: Context) -> Array:
        """The values of one of its expressions at `frames`. Raises StreamfxError if one is not finite."""
        values = np.broadcast_to(expression.evaluate(context.variables(frames)), frames.shape)
        invalid = np.flatnonzero(~np.isfinite(values))
        if len(invalid):
            frame = frames[invalid[0]]
            reason, offset = expression.find_error(context.variables(frame[None]))
            raise self.error(f"{reason} at frame {frame:g}", offset)
        return values

    def error(self, reason: str, offset: int) -> StreamfxError:
        """A one-line error that quotes the text at `offset`."""
        return error_at(self.text, self.name, reason, offset)


@lru_cache(maxsize=256)
def _ordered_keys(schedule: Schedule, context: Context) -> tuple[tuple[Key, ...], Array]:
    """The keys in the order of their frames, and these, possibly fractional; of several at one frame, the last one."""
    variables = context.variables(np.zeros(1))
    for key in schedule.keys:
        for name, offset in (*key.frame.names(), *key.value.names()):
            if name not in variables:
                raise schedule.error(_missing(name, context), offset)
    by_frame = {float(schedule.evaluate(key.frame, np.zeros(1), context)[0]): key for key in schedule.keys}
    frames = sorted(by_frame)
    return tuple(by_frame[frame] for frame in frames), np.array(frames)


def _missing(name: str, context: Context) -> str:
    if name == LAYER:
        return "'layer' is known only in a video made from one image"
    if not context.audio:
        return f"{'a position in beats' if name == BEATS else repr(name)} needs audio; give a file with --audio"
    if name == BEATS:
        return "no beats were detected in the audio; give positions in frames, or in seconds like 4s"
    return f"the audio does not provide '{name}'"


def parse_schedule(text: str | float, name: str = "schedule") -> Schedule:
    """Parse a schedule: a number, an expression, or comma-separated `key: value` pairs.

    A key is a frame: a number, `max_f/2`, seconds like `4s`, or beats like `8b`; the first beat is 0b. A number is
    interpolated to the next key's value, linearly or with the easing named after it: `0:(1) ease_out, 60:(2)`. Keys may
    be in any order and in quotes; of several at one frame, the last one applies. Any
    other expression is evaluated in each frame up to the next key. `t` is the frame number (unlike in FFmpeg's filters,
    where it is seconds), `max_f` the last frame, `s` the seed; audio adds `expression.AUDIO_VARIABLES`. Raises
    StreamfxError, with the position, for syntax errors and unknown names.
    """
    source = text if isinstance(text, str) else repr(float(text))
    parser = Parser(source, name)
    if not parser.token:
        raise StreamfxError(f"{name} is empty; give a number, or keys like 0:(1), 30:(2)")
    offset, first = parser.offset, _frame(parser)
    if parser.token != ":":
        if parser.token:
            raise parser.unexpected("expected the end, or keys like 0:(1), 30:(2)")
        return Schedule(source, (Key(_FRAME_0, first, "linear", offset),), name)
    keys = [_key(parser, first, offset)]
    while parser.take(",") and parser.token:
        offset = parser.offset
        keys.append(_key(parser, _frame(parser), offset))
    if parser.token:
        raise parser.unexpected("expected ',' or the end")
    return Schedule(source, tuple(keys), name)


def _frame(parser: Parser) -> Expression:
    """Parse the frame of a key, which may be in quotes, as in Deforum."""
    offset = parser.offset
    quote = parser.take('"', "'")
    frame = parser.expression()
    if quote and not parser.take(quote):
        raise parser.error("this quote is not closed", offset)
    return frame


def _key(parser: Parser, frame: Expression, offset: int) -> Key:
    """Parse the rest of a key after its frame, which starts at `offset`."""
    for name, position in frame.names():
        if name not in (*KEY_VARIABLES, BEATS):
            reason = f"'{name}' changes from frame to frame; keys may use {', '.join(KEY_VARIABLES)}"
            raise parser.error(reason, position)
    if not parser.take(":"):
        raise parser.unexpected("expected ':' between a key and its value")
    value = parser.expression()
    position = parser.offset
    easing = parser.word()
    if easing is None:
        return Key(frame, value, "linear", offset)
    if easing not in EASINGS:
        raise parser.error(str(unknown("easing", easing, EASINGS)), position)
    if value.number is None:
        raise parser.error(f"{easing} can follow a number only, not an expression", position)
    return Key(frame, value, easing, offset)
