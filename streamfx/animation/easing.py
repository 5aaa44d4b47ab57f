"""Curves that people draw motion with: easings by name, steps without corners, and smooth noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def lerp(a: Array, b: Array, x: Array) -> Array:
    """From a to b as x goes from 0 to 1, and on beyond."""
    return a + (b - a) * x


def smoothstep(a: Array, b: Array, x: Array) -> Array:
    """0 below a, 1 above b, without corners between (3x^2 - 2x^3)."""
    x = np.clip((x - a) / (b - a), 0, 1)
    return x * x * (3 - 2 * x)


def noise(seed: Array, x: Array, which: Array | float = 0.0) -> Array:
    """Smooth value noise, -1..1: a random number at each whole x, and Perlin's fade (2002) from one to the next.

    Each `seed` (the film's) and each `which` gives a curve of its own; the same three always the same value.
    """
    whole = np.floor(x)
    between = x - whole
    fade = between**3 * (between * (between * 6 - 15) + 10)
    ends = [_random(_bits(whole + step), _bits(np.asarray(which)), _bits(seed)) for step in (0.0, 1.0)]
    return lerp(ends[0], ends[1], fade)


def _bits(x: Array) -> NDArray[np.uint64]:
    return np.ascontiguousarray(x + 0.0, dtype=np.float64).view(np.uint64)  # + 0.0: -0 is 0


def _random(*keys: NDArray[np.uint64]) -> Array:
    """-1..1 out of whole numbers, by the finalizer of SplitMix64 (Steele, Lea and Flood 2014) after each."""
    state = np.zeros(1, np.uint64)
    for key in keys:
        state = (state ^ key) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) / 2**52 - 1


def _bounce(x: Array) -> Array:
    """The way into a bounce: the ball's last fall is the longest, told backwards."""
    x = 1 - x
    arcs = [(1 / 2.75, 0.0, 0.0), (2 / 2.75, 1.5, 0.75), (2.5 / 2.75, 2.25, 0.9375), (1.0, 2.625, 0.984375)]
    heights = [7.5625 * (x - shift / 2.75) ** 2 + floor for _, shift, floor in arcs]
    return 1 - np.select([x < end for end, _, _ in arcs[:-1]], heights[:-1], heights[-1])


def _elastic(x: Array) -> Array:
    swung = -(2 ** (10 * x - 10)) * np.sin((x * 10 - 10.75) * (2 * np.pi / 3))
    return np.where(x <= 0, 0.0, np.where(x >= 1, 1.0, swung))


_INTO: dict[str, Callable[[Array], Array]] = {  # Penner (2001): how each starts
    "sine": lambda x: 1 - np.cos(x * np.pi / 2),
    "quad": lambda x: x**2,
    "cubic": lambda x: x**3,
    "expo": lambda x: np.where(x <= 0, 0.0, 2 ** (10 * x - 10)),
    "back": lambda x: x * x * (2.70158 * x - 1.70158),
    "elastic": _elastic,
    "bounce": _bounce,
}


def _easings() -> dict[str, Callable[[Array], Array]]:
    made: dict[str, Callable[[Array], Array]] = {
        "linear": lambda x: np.clip(x, 0, 1),
        "hold": lambda x: np.floor(np.clip(x, 0, 1)),
    }
    for suffix, into in [("", _INTO["cubic"]), *((f"_{name}", into) for name, into in _INTO.items())]:
        made[f"ease_in{suffix}"] = _clipped(into)
        made[f"ease_out{suffix}"] = _clipped(_reversed(into))
        made[f"ease_in_out{suffix}"] = _clipped(_joined(into))
    made["smooth"] = lambda x: smoothstep(np.zeros(1), np.ones(1), x)
    return made


def _clipped(curve: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: curve(np.clip(x, 0, 1))


def _reversed(into: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: 1 - into(1 - x)


def _joined(into: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: np.where(x < 0.5, into(np.minimum(2 * x, 1)) / 2, 1 - into(np.minimum(2 - 2 * x, 1)) / 2)


EASINGS = _easings()  # name -> 0..1 to 0..1; what lies outside counts as 0 or 1
