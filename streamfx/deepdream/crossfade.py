"""The objectives of a film: networks read when they are first dreamed with, and one objective fading into another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from streamfx.deepdream.networks import build_layers
from streamfx.deepdream.objective import Objective
from streamfx.deepdream.objective_syntax import Part

if TYPE_CHECKING:
    from torch import nn

    from streamfx.deepdream.ascent import Gradient

_MOST = 8  # networks, each as deep as its objectives need, that are kept


class Objectives:
    """Gradients of objectives of one network."""

    def __init__(self, network: str, weights: str, device: torch.device) -> None:
        self._network, self._weights, self._device = network, weights, device
        self._networks: dict[tuple[str, ...], nn.Module] = {}
        self._made: dict[tuple[Part, ...], Objective] = {}

    def gradient(self, parts: tuple[Part, ...], to: tuple[Part, ...] = (), share: float = 0.0) -> Gradient:
        """The gradient of `parts`; with `to`, of both at once, `share` 0..1 of it from there."""
        if not to or share <= 0 or parts == to:
            return self._objective(parts).gradient
        if share >= 1:
            return self._objective(to).gradient
        both = self._objective((*parts, *to))
        shares = [part.share * (1 - share) for part in parts] + [part.share * share for part in to]
        return lambda image: both.gradient(image, shares=shares)

    def _objective(self, parts: tuple[Part, ...]) -> Objective:
        if parts not in self._made:
            layers = tuple(sorted({part.layer for part in parts}))
            if layers not in self._networks:
                while len(self._networks) >= _MOST:
                    gone = self._networks.pop(next(iter(self._networks)))
                    self._made = {key: made for key, made in self._made.items() if made.network is not gone}
                network = build_layers(self._network, layers, self._weights)
                self._networks[layers] = network.to(memory_format=torch.channels_last).to(self._device)
            self._made[parts] = Objective(self._networks[layers], parts, self._device)
        return self._made[parts]


def taking_turns(
    objectives: Objectives, scenes: Sequence[tuple[Part, ...]], turns: NDArray[np.float64], fade: float
) -> Callable[[int], Gradient]:
    """The number of a frame -> the gradient of its scene, whose number is in `turns`.

    A new scene takes over from the last one in `fade` frames.
    """
    for each in np.unique(turns):  # weights that are missing are told of at once
        objectives.gradient(scenes[round(float(each))])
    begins = np.flatnonzero(np.diff(turns, prepend=turns[:1]))

    def gradient(number: int) -> Gradient:
        frame = min(number, len(turns) - 1)
        now = scenes[round(float(turns[frame]))]
        begun = int(np.searchsorted(begins, frame, side="right")) - 1
        if begun < 0:
            return objectives.gradient(now)
        first = int(begins[begun])
        last = scenes[round(float(turns[first - 1]))]
        return objectives.gradient(last, now, (frame - first + 1) / fade)

    return gradient
