"""Find the value range and the order of channels of a network by trials on photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from streamfx.ops.color import luma
from streamfx.presets import Channels, ImportedNetwork, ValueRange
from streamfx.styletransfer.importing.network import from_network, to_network

_RANGE_TIE, _CHANNELS_TIE = 0.02, 0.05  # scores that differ by less do not decide
_CONTRAST = 0.06  # standard deviation of luma below which a result counts as too flat
_CLIPPED = 0.5  # share of clipped pixels above which a result counts as out of range


@dataclass(frozen=True)
class Trial:
    """A way to run the network, and its result on the first photo."""

    network: ImportedNetwork
    image: Tensor  # [3, H, W] RGB 0..1
    score: float  # correlation of the photos' and the results' luma, less for flat and clipped results; -1..1


def run_trials(
    network: ImportedNetwork,
    photos: Sequence[Tensor],
    run: Callable[[ImportedNetwork, Tensor], Tensor],
    *,
    channels: Channels | None = None,
    value_range: ValueRange | None = None,
) -> list[Trial]:
    """Trials of all ranges and channels that are not given, best first.

    `run` returns the network's own output for its own input. `photos` are [3, H, W] RGB 0..1. Scores that are
    nearly equal are decided by convention: the input has the range of the output, and the channels are RGB. Networks
    with instance normalization give the same result in any input range, and painted colors often fit either order.
    """
    trials = list(_trials(network, photos, run, _choices(Channels, channels), _choices(ValueRange, value_range)))
    best = max(trial.score for trial in trials)
    best_rgb = max((trial.score for trial in trials if trial.network.channels == "rgb"), default=best)
    order = "rgb" if best_rgb > best - _CHANNELS_TIE else "bgr"
    best = max((trial.score for trial in trials if trial.network.channels == order), default=best)

    def rank(trial: Trial) -> tuple[bool, bool, bool, float]:
        known = trial.network
        tied = trial.score >= best - _RANGE_TIE
        return known.channels != order, not tied, known.input_range != known.output_range, -trial.score

    return sorted(trials, key=rank)


def _choices(kind: object, given: str | None) -> Sequence[str]:
    return get_args(kind) if given is None else (given,)


def _trials(
    network: ImportedNetwork,
    photos: Sequence[Tensor],
    run: Callable[[ImportedNetwork, Tensor], Tensor],
    channels: Sequence[str],
    ranges: Sequence[str],
) -> Iterator[Trial]:
    for value_range in ranges:
        for order in channels:
            known = network.model_copy(update={"channels": order, "input_range": value_range})
            outputs = [run(known, to_network(photo, known)) for photo in photos]
            returned = value_range if len(ranges) == 1 else _range_of(torch.cat(outputs))
            known = known.model_copy(update={"output_range": returned})
            images = [from_network(output, known) for output in outputs]
            yield Trial(known, images[0], sum(map(_score, photos, images)) / len(photos))


def _range_of(output: Tensor) -> ValueRange:
    """The range that the values of a network's output suggest."""
    values = output.flatten().float()[:: max(1, output.numel() // 100_000)]
    low, high = values.quantile(0.02).item(), values.quantile(0.98).item()
    if high > 2.5 or low < -2.5:
        return "0..255"
    return "-1..1" if low < -0.2 else "0..1"


def _score(photo: Tensor, image: Tensor) -> float:
    wanted, light = luma(photo).flatten(), luma(image).flatten()
    spread = light.std().item()
    if spread < 1e-4:
        return 0.0
    wanted, centered = wanted - wanted.mean(), light - light.mean()
    correlation = (wanted @ centered / (wanted.norm() * centered.norm()).clamp_min(1e-6)).item()
    clipped = ((image <= 0) | (image >= 1)).float().mean().item()
    return float(correlation * min(1.0, spread / _CONTRAST) * (1.0 if clipped < _CLIPPED else _CLIPPED))
