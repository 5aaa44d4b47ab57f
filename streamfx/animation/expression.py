"""Arithmetic as users write it in schedules: read by a small grammar of its own, evaluated on many frames at once.

Why no eval(), no `ast`, no simpleeval: a text becomes a list of steps for a stack of float64 arrays, and that is all
there is. There are no attributes, strings, integers, imports, or names but those in the tables below, so nothing can be
reached; powers are floats, so 9**9**9 is infinity at once; the stack needs no recursion, so no nesting crashes it. And
keys such as `4s` or `max_f/2:` are no Python, yet their mistakes want a position in the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamfx.animation.easing import EASINGS, lerp, noise, smoothstep

Array: TypeAlias = NDArray[np.float64]

BEATS = "beats"  # what a beat's frame is looked up in; no name that can be written
MUSIC = ("beat", "onset", "bass", "mid", "high", "rms", "pitch", "section", "bpm")
STEADY = ("max_f", "s", "fps", "bpm")  # the same in every frame: what keys may use
VARIABLES = ("t", "max_f", "s", "fps", *MUSIC)
CONSTANTS = {"pi": np.pi, "tau": 2 * np.pi, "e": np.e}


def _where(test: Array, yes: Array, no: Array) -> Array:
    return np.where(test != 0, yes, no)


_OF_ONE = """sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1 log log2 log10 log1p
    sqrt cbrt square abs absolute fabs floor ceil trunc rint sign sinc degrees radians deg2rad rad2deg"""

# name -> fewest and most arguments, and what works on float arrays
FUNCTIONS: dict[str, tuple[int, int, Callable[..., Array]]] = {
    **{name: (1, 1, getattr(np, name)) for name in re.findall(r"\w+", _OF_ONE)},
    **{name: (2, 2, getattr(np, name)) for name in ("arctan2", "hypot", "power", "mod", "fmod", "floor_divide")},
    **{name: (1, 1, function) for name, function in EASINGS.items()},
    "asin": (1, 1, np.arcsin),
    "acos": (1, 1, np.arccos),
    "atan": (1, 1, np.arctan),
    "atan2": (2, 2, np.arctan2),
    "pow": (2, 2, np.power),
    "round": (1, 1, np.rint),
    "min": (2, 99, lambda *each: reduce(np.minimum, each)),
    "max": (2, 99, lambda *each: reduce(np.maximum, each)),
    "minimum": (2, 2, np.minimum),
    "maximum": (2, 2, np.maximum),
    "clip": (3, 3, lambda x, low, high: np.minimum(np.maximum(x, low), high)),
    "where": (3, 3, _where),
    "lerp": (3, 3, lerp),
    "smoothstep": (3, 3, smoothstep),
    "noise": (1, 2, noise),  # gets the film's seed in front
}


def _truth(test: Callable[..., Array]) -> Callable[..., Array]:
    return lambda *each: np.asarray(test(*each), np.float64)


OPERATORS: dict[str, Callable[..., Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
    "<": _truth(np.less),
    "<=": _truth(np.less_equal),
    ">": _truth(np.greater),
    ">=": _truth(np.greater_equal),
    "==": _truth(np.equal),
    "!=": _truth(np.not_equal),
    "and": _truth(np.logical_and),
    "or": _truth(np.logical_or),
    "~": _truth(np.logical_not),
    "negative": np.negative,
}
_DIVISIONS = ("/", "//", "%", "mod", "fmod", "floor_divide")


@dataclass(frozen=True, slots=True)
class Op:
    """One step of the stack: push a number or a variable, or put the result in place of the last `takes`."""

    kind: Literal["number", "name", "call"]
    what: float | str
    takes: int
    at: int  # character of the text


@dataclass(frozen=True, slots=True)
class Expression:
    """Steps in postfix order."""

    ops: tuple[Op, ...]

    @property
    def number(self) -> float | None:
        """What is written, where that is nothing but a number."""
        only = self.ops[0].what
        return only if len(self.ops) == 1 and isinstance(only, float) else None

    def names(self) -> Iterable[tuple[str, int]]:
        """The variables that are needed, `BEATS` among them, and where they are written."""
        for op in self.ops:
            if op.kind == "name" and op.what not in CONSTANTS:
                yield str(op.what), op.at
            elif op.what == BEATS:
                yield BEATS, op.at

    def evaluate(self, variables: Mapping[str, Array]) -> Array:
        """Its value for variables that are all arrays of one length, or of one element; may hold NaN or infinity."""
        stack: list[Array] = []
        with np.errstate(all="ignore"):
            for op in self.ops:
                taken = [stack.pop() for _ in range(op.takes)][::-1]
                stack.append(_result(op, taken, variables))
        return stack[0]

    def fault(self, variables: Mapping[str, Array]) -> tuple[str, int]:
        """What goes wrong, and at which character, where the value for variables of one element is not finite."""
        stack: list[Array] = []
        with np.errstate(all="ignore"):
            for op in self.ops:
                taken = [stack.pop() for _ in range(op.takes)][::-1]
                made = _result(op, taken, variables)
                stack.append(made)
                if np.isfinite(made).all() or not all(np.isfinite(each).all() for each in taken):
                    continue
                if op.what in _DIVISIONS and not taken[1].all():
                    return "division by zero", op.at
                return ("not a number" if np.isnan(made).any() else "too large a number"), op.at
        return "not a number", self.ops[-1].at


def _result(op: Op, taken: list[Array], variables: Mapping[str, Array]) -> Array:
    if op.kind == "number":
        return np.array([op.what], dtype=np.float64)
    name = str(op.what)
    if op.kind == "name":
        return variables[name] if name in variables else np.array([CONSTANTS[name]])
    if name == BEATS:
        return _frame_of(taken[0], variables[BEATS])
    if name == "noise":
        taken = [variables["s"], *taken]
    made: Array = (OPERATORS[name] if name in OPERATORS else FUNCTIONS[name][2])(*taken)
    return made


def _frame_of(number: Array, beats: Array) -> Array:
    """The frames at which beats with these numbers fall; between two, and beyond the ends, by their distance."""
    pace = (beats[-1] - beats[0]) / (len(beats) - 1)
    last = len(beats) - 1
    inside = np.interp(number, np.arange(len(beats)), beats)
    frames: Array = inside + pace * (np.minimum(number, 0) + np.maximum(number - last, 0))
    return frames
