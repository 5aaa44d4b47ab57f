"""Gradients of a video's objectives: networks load on first use, and one objective fades into the next."""

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

_MAX_NETWORKS = 8  # cached, each truncated after its deepest layer


class ObjectiveGradients:
    """Gradients of objectives of one network, with cached truncated copies of it."""

    def __init__(self, network: str, weights: str, device: torch.device) -> None:
        self._network, self._weights, self._device = network, weights, device
        self._networks: dict[tuple[str, ...], nn.Module] = {}
        self._objectives: dict[tuple[Part, ...], Objective] = {}

    def gradient(self, parts: tuple[Part, ...], to: tuple[Part, ...] = (), share: float = 0.0) -> Gradient:
        """The gradient of `parts`, or of its mixture with `to`, in which `to` has `share` 0..1."""
        if not to or share <= 0 or parts == to:
            return self._objective(parts).gradient
        if share >= 1:
            return self._objective(to).gradient
        both = self._objective((*parts, *to))
        shares = [part.share * (1 - share) for part in parts] + [part.share * share for part in to]
        return lambda image: both.gradient(image, shares=shares)

    def _objective(self, parts: tuple[Part, ...]) -> Objective:
        if parts not in self._objectives:
            layers = tuple(sorted({part.layer for part in parts}))
            if layers not in self._networks:
                while len(self._networks) >= _MAX_NETWORKS:
                    removed = self._networks.pop(next(iter(self._networks)))
                    self._objectives = {k: v for k, v in self._objectives.items() if v.network is not removed}
                network = build_layers(self._network, layers, self._weights)
                self._networks[layers] = network.to(memory_format=torch.channels_last).to(self._device)
            self._objectives[parts] = Objective(self._networks[layers], parts, self._device)
        return self._objectives[parts]


def crossfade_scenes(
    objectives: ObjectiveGradients, scenes: Sequence[tuple[Part, ...]], turns: NDArray[np.float64], fade: float
) -> Callable[[int], Gradient]:
    """Frame number -> gradient. `turns` has each frame's index in `scenes`; scenes cross-fade over `fade` frames."""
    for index in np.unique(turns):  # reports missing weights immediately
        objectives.gradient(scenes[round(float(index))])
    starts = np.flatnonzero(np.diff(turns, prepend=turns[:1]))

    def gradient(number: int) -> Gradient:
        frame = min(number, len(turns) - 1)
        current = scenes[round(float(turns[frame]))]
        change = int(np.searchsorted(starts, frame, side="right")) - 1
        if change < 0:
            return objectives.gradient(current)
        first = int(starts[change])
        previous = scenes[round(float(turns[first - 1]))]
        return objectives.gradient(previous, current, (frame - first + 1) / fade)

    return gradient
