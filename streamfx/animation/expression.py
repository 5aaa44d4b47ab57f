"""Arithmetic expressions in schedules: parsed by a small grammar, evaluated for many frames at once.

Why not eval(), `ast` or simpleeval? A text becomes a list of operations on a stack of float64 arrays, and nothing else
is reachable: no attributes, strings, integers, imports, or names outside the tables below. Powers are floats, so
9**9**9 is infinity at once; evaluation is not recursive, so deep nesting cannot crash it. And keys such as `4s` or
`max_f/2:` are not Python, yet their errors need a position in the same text.
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

BEATS = "beats"  # internal variable with the frames of the beats; users cannot write it
AUDIO_VARIABLES = ("beat", "onset", "bass", "mid", "high", "rms", "pitch", "section", "bpm")
KEY_VARIABLES = ("max_f", "s", "fps", "bpm")  # the same in every frame, so keys may use them
LAYER = "layer"  # in feedback videos: index of the layer of the frame, in the order of the setting `layer`
VARIABLES = ("t", "max_f", "s", "fps", *AUDIO_VARIABLES, LAYER)
CONSTANTS = {"pi": np.pi, "tau": 2 * np.pi, "e": np.e}


def _where(test: Array, yes: Array, no: Array) -> Array:
    return np.where(test != 0, yes, no)


_UNARY = """sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1 log log2 log10 log1p
    sqrt cbrt square abs absolute fabs floor ceil trunc rint sign sinc degrees radians deg2rad rad2deg"""

# name -> minimum and maximum number of arguments, and the function on float arrays
FUNCTIONS: dict[str, tuple[int, int, Callable[..., Array]]] = {
    **{name: (1, 1, getattr(np, name)) for name in re.findall(r"\w+", _UNARY)},
    **{name: (2, 2, getattr(np, name)) for name in ("arctan2", "hypot", "power", "mod", "fmod", "floor_divide")},
    **{name: (1, 1, function) for name, function in EASINGS.items()},
    "asin": (1, 1, np.arcsin),
    "acos": (1, 1, np.arccos),
    "atan": (1, 1, np.arctan),
    "atan2": (2, 2, np.arctan2),
    "pow": (2, 2, np.power),
    "round": (1, 1, np.rint),
    "min": (2, 99, lambda *arguments: reduce(np.minimum, arguments)),
    "max": (2, 99, lambda *arguments: reduce(np.maximum, arguments)),
    "minimum": (2, 2, np.minimum),
    "maximum": (2, 2, np.maximum),
    "clip": (3, 3, lambda x, low, high: np.minimum(np.maximum(x, low), high)),
    "where": (3, 3, _where),
    "lerp": (3, 3, lerp),
    "smoothstep": (3, 3, smoothstep),
    "noise": (1, 2, noise),  # the seed is inserted as the first argument
}


def _boolean(test: Callable[..., Array]) -> Callable[..., Array]:
    return lambda *operands: np.asarray(test(*operands), np.float64)


OPERATORS: dict[str, Callable[..., Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
    "<": _boolean(np.less),
    "<=": _boolean(np.less_equal),
    ">": _boolean(np.greater),
    ">=": _boolean(np.greater_equal),
    "==": _boolean(np.equal),
    "!=": _boolean(np.not_equal),
    "and": _boolean(np.logical_and),
    "or": _boolean(np.logical_or),
    "~": _boolean(np.logical_not),
    "negative": np.negative,
}
_DIVISIONS = ("/", "//", "%", "mod", "fmod", "floor_divide")


@dataclass(frozen=True, slots=True)
class Op:
    """One stack operation: push a number or a variable, or replace the top `arity` values by a function's result."""

    kind: Literal["number", "name", "call"]
    value: float | str  # the number, or the name of the variable, function or operator
    arity: int
    offset: int  # character in the text


@dataclass(frozen=True, slots=True)
class Expression:
    """Operations in postfix order."""

    ops: tuple[Op, ...]

    @property
    def number(self) -> float | None:
        """The value if the expression is a plain number, else None."""
        first = self.ops[0].value
        return first if len(self.ops) == 1 and isinstance(first, float) else None

    def names(self) -> Iterable[tuple[str, int]]:
        """The variables used, including `BEATS`, with their offsets in the text."""
        for op in self.ops:
            if op.kind == "name" and op.value not in CONSTANTS:
                yield str(op.value), op.offset
            elif op.value == BEATS:
                yield BEATS, op.offset

    def evaluate(self, variables: Mapping[str, Array]) -> Array:
        """The values for variables that are arrays of one common length or of length 1; may contain NaN or infinity."""
        stack: list[Array] = []
        with np.errstate(all="ignore"):
            for op in self.ops:
                operands = [stack.pop() for _ in range(op.arity)][::-1]
                stack.append(_apply(op, operands, variables))
        return stack[0]

    def find_error(self, variables: Mapping[str, Array]) -> tuple[str, int]:
        """Why the value for variables of length 1 is not finite, and the offset of the operation that caused it."""
        stack: list[Array] = []
        with np.errstate(all="ignore"):
            for op in self.ops:
                operands = [stack.pop() for _ in range(op.arity)][::-1]
                result = _apply(op, operands, variables)
                stack.append(result)
                if np.isfinite(result).all() or not all(np.isfinite(operand).all() for operand in operands):
                    continue
                if op.value in _DIVISIONS and not operands[1].all():
                    return "division by zero", op.offset
                return ("not a number" if np.isnan(result).any() else "number too large"), op.offset
        return "not a number", self.ops[-1].offset


def _apply(op: Op, operands: list[Array], variables: Mapping[str, Array]) -> Array:
    if op.kind == "number":
        return np.array([op.value], dtype=np.float64)
    name = str(op.value)
    if op.kind == "name":
        return variables[name] if name in variables else np.array([CONSTANTS[name]])
    if name == BEATS:
        return _beat_frame(operands[0], variables[BEATS])
    if name == "noise":
        operands = [variables["s"], *operands]
    result: Array = (OPERATORS[name] if name in OPERATORS else FUNCTIONS[name][2])(*operands)
    return result


def _beat_frame(number: Array, beats: Array) -> Array:
    """The frame of a beat by its number; fractions are interpolated, and the ends extrapolated at the mean tempo."""
    period = (beats[-1] - beats[0]) / (len(beats) - 1)
    last = len(beats) - 1
    inside = np.interp(number, np.arange(len(beats)), beats)
    frames: Array = inside + period * (np.minimum(number, 0) + np.maximum(number - last, 0))
    return frames
