"""Interpolation curves: named easings, smoothstep, and smooth noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def lerp(a: Array, b: Array, x: Array) -> Array:
    """Interpolate linearly from a at x = 0 to b at x = 1; x outside 0..1 extrapolates."""
    return a + (b - a) * x


def smoothstep(a: Array, b: Array, x: Array) -> Array:
    """0 below a, 1 above b, and the smooth cubic 3x^2 - 2x^3 in between."""
    x = np.clip((x - a) / (b - a), 0, 1)
    return x * x * (3 - 2 * x)


def noise(seed: Array, x: Array, curve: Array | float = 0.0) -> Array:
    """Smooth value noise, -1..1: random values at whole x, interpolated with Perlin's fade curve (2002).

    Each `seed` (of the video) and `curve` gives an independent curve; equal arguments always give equal values.
    """
    whole = np.floor(x)
    fraction = x - whole
    fade = fraction**3 * (fraction * (fraction * 6 - 15) + 10)
    ends = [_random(_bits(whole + step), _bits(np.asarray(curve)), _bits(seed)) for step in (0.0, 1.0)]
    return lerp(ends[0], ends[1], fade)


def _bits(x: Array) -> NDArray[np.uint64]:
    return np.ascontiguousarray(x + 0.0, dtype=np.float64).view(np.uint64)  # + 0.0: turns -0 into 0


def _random(*keys: NDArray[np.uint64]) -> Array:
    """Hash keys to -1..1, applying the finalizer of SplitMix64 (Steele, Lea and Flood 2014) after each key."""
    state = np.zeros(1, np.uint64)
    for key in keys:
        state = (state ^ key) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) / 2**52 - 1


def _bounce(x: Array) -> Array:
    """Ease-in bounce: Penner's ease-out bounce, reversed in time."""
    x = 1 - x
    arcs = [(1 / 2.75, 0.0, 0.0), (2 / 2.75, 1.5, 0.75), (2.5 / 2.75, 2.25, 0.9375), (1.0, 2.625, 0.984375)]
    heights = [7.5625 * (x - shift / 2.75) ** 2 + floor for _, shift, floor in arcs]
    return 1 - np.select([x < end for end, _, _ in arcs[:-1]], heights[:-1], heights[-1])


def _elastic(x: Array) -> Array:
    oscillation = -(2 ** (10 * x - 10)) * np.sin((x * 10 - 10.75) * (2 * np.pi / 3))
    return np.where(x <= 0, 0.0, np.where(x >= 1, 1.0, oscillation))


_EASE_IN: dict[str, Callable[[Array], Array]] = {  # Penner (2001): the ease-in form of each curve
    "sine": lambda x: 1 - np.cos(x * np.pi / 2),
    "quad": lambda x: x**2,
    "cubic": lambda x: x**3,
    "expo": lambda x: np.where(x <= 0, 0.0, 2 ** (10 * x - 10)),
    "back": lambda x: x * x * (2.70158 * x - 1.70158),
    "elastic": _elastic,
    "bounce": _bounce,
}


def _easings() -> dict[str, Callable[[Array], Array]]:
    easings: dict[str, Callable[[Array], Array]] = {
        "linear": lambda x: np.clip(x, 0, 1),
        "hold": lambda x: np.floor(np.clip(x, 0, 1)),
    }
    for suffix, ease_in in [("", _EASE_IN["cubic"]), *((f"_{name}", curve) for name, curve in _EASE_IN.items())]:
        easings[f"ease_in{suffix}"] = _clipped(ease_in)
        easings[f"ease_out{suffix}"] = _clipped(_reversed(ease_in))
        easings[f"ease_in_out{suffix}"] = _clipped(_in_out(ease_in))
    easings["smooth"] = lambda x: smoothstep(np.zeros(1), np.ones(1), x)
    return easings


def _clipped(curve: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: curve(np.clip(x, 0, 1))


def _reversed(ease_in: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: 1 - ease_in(1 - x)


def _in_out(ease_in: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: np.where(x < 0.5, ease_in(np.minimum(2 * x, 1)) / 2, 1 - ease_in(np.minimum(2 - 2 * x, 1)) / 2)


EASINGS = _easings()  # name -> curve from 0..1 to 0..1; inputs are clipped to 0..1
