"""The optional interface of effects besides `build`, with defaults.

An effect may define any of these: the methods `input_files()`, `resolve(device, start)`, `at_rate(rate)` and
`memory_at(number, rate)`, and the attributes or properties `segment_length`, `working_pixels`, `uses_all_cores`,
`prefers_speed`, `warm_up` and, if it runs others, `chain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import torch

    from streamfx.frame import Effect, Memory

_SEGMENT_LENGTH = 300  # frames


def input_files(effect: Effect) -> list[Path]:
    """The files that the effect's output depends on, for the fingerprint of a job; default: none."""
    method = getattr(effect, "input_files", None)
    return list(method()) if method else []


def resolve(effect: Effect, device: torch.device, start: Fraction) -> Effect:
    """The effect with its automatic settings resolved, for a video that begins at `start` seconds of its source.

    The resolved settings, such as a network or a precision, are part of the job's fingerprint. Default: the effect
    itself. Raises StreamfxError.
    """
    method = getattr(effect, "resolve", None)
    return cast("Effect", method(device, start)) if method else effect


def at_rate(effect: Effect, rate: Fraction) -> Effect:
    """The effect for a source of `rate` frames per second, known once it is open. Default: the effect itself."""
    method = getattr(effect, "at_rate", None)
    return cast("Effect", method(rate)) if method else effect


def segment_length(effect: Effect) -> int:
    """Frames between two checkpoints: about half a minute of work on two CPU cores. Default: 300."""
    return int(getattr(effect, "segment_length", _SEGMENT_LENGTH))


def working_pixels(effect: Effect) -> float | None:
    """Pixels of the resolution that the effect works at, if it scales larger frames down to it; default: None."""
    return cast("float | None", getattr(effect, "working_pixels", None))


def uses_all_cores(effect: Effect) -> bool:
    """Whether torch should use all CPU cores for the effect; default: False."""
    return bool(getattr(effect, "uses_all_cores", False))


def prefers_speed(effect: Effect) -> bool:
    """Whether the output should be encoded fast rather than small; default: False."""
    return bool(getattr(effect, "prefers_speed", False))


def flattened(chain: Iterable[Effect]) -> Iterator[Effect]:
    """The effects of a chain, with those in the `chain` of an effect in its place."""
    for effect in chain:
        inner = getattr(effect, "chain", None)
        if inner is None:
            yield effect
        else:
            yield from flattened(inner)


def warm_up(effect: Effect) -> float | None:
    """Frames of the same shot that must run before a frame so that it comes out as in a run of the whole video.

    0: the effect remembers nothing. math.inf: all earlier frames of the shot. Default: None, which means that the video
    cannot be split. An effect with a number forgets everything at a cut, and returns one frame for each frame, with
    the same time and size.
    """
    return cast("float | None", getattr(effect, "warm_up", None))


def memory_at(effect: Effect, number: int, rate: Fraction) -> Memory:
    """The memory with which the effect starts at frame `number` of a video with `rate` frames per second.

    Only for effects that count frames across cuts. Default: empty.
    """
    method = getattr(effect, "memory_at", None)
    return cast("Memory", method(number, rate)) if method else {}
