"""Statistics of a style's paintings, which losses compare with: mixed for blends, kept in files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from streamfx.errors import StreamfxError, unknown
from streamfx.inference.weights import load_weights, save_weights

Grams = Mapping[str, Tensor]  # layer -> [1, C, C]
Quantiles = Mapping[str, Tensor]  # layer -> [directions, bins]

_PALETTE_STORED = 1024  # colors in a file
_WHOLE = "palette", "fringes", "contrast", "alignment"  # entries of a style in a file beside its features' statistics


@dataclass(frozen=True, slots=True)
class StyleTargets:
    """Statistics of a style's paintings that stylized frames are compared with."""

    grams: Mapping[str, Sequence[Grams]]  # by network, then by scale
    quantiles: Mapping[str, Sequence[Quantiles]]  # likewise: sorted projections of the features on fixed directions
    palette: Tensor  # [M, 3] colors
    fringes: Tensor  # [2], at full and at half size
    contrast: Tensor  # [scales, bins], sorted logarithms of local contrast
    alignment: Tensor  # [scales, bins], sorted alignment of the gradients, 0..1

    def to(self, device: torch.device) -> StyleTargets:
        return StyleTargets(
            _moved(self.grams, device),
            _moved(self.quantiles, device),
            *(tensor.to(device) for tensor in (self.palette, self.fringes, self.contrast, self.alignment)),
        )


def _moved(
    statistics: Mapping[str, Sequence[Mapping[str, Tensor]]], device: torch.device
) -> dict[str, list[dict[str, Tensor]]]:
    return {
        network: [{layer: tensor.to(device) for layer, tensor in scale.items()} for scale in scales]
        for network, scales in statistics.items()
    }


def mix_targets(parts: Sequence[tuple[StyleTargets, float]]) -> StyleTargets:
    """The targets of a style between those of `parts`, whose shares sum to 1.

    Mean quantiles are those of the Wasserstein barycenter along each direction.
    """
    shares = [share for _, share in parts]
    grams, quantiles = (
        {
            network: [mean_statistics(scale, shares) for scale in zip(*(each[network] for each in statistics))]
            for network in statistics[0]
        }
        for statistics in ([each.grams for each, _ in parts], [each.quantiles for each, _ in parts])
    )
    palette = torch.cat([each.palette[:: max(1, round(1 / share))] for each, share in parts if share > 0])
    whole = (
        torch.stack([getattr(part, name) * share for part, share in parts]).sum(0)
        for name in ("fringes", "contrast", "alignment")
    )
    return StyleTargets(grams, quantiles, palette, *whole)


def mean_statistics(statistics: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """The mean of statistics by layer, weighted by `shares`, which sum to 1."""
    return {
        layer: torch.stack([each[layer] * share for each, share in zip(statistics, shares)]).sum(0)
        for layer in statistics[0]
    }


def save_targets(path: Path, targets: Mapping[str, StyleTargets]) -> None:
    """Write the targets of styles by name, in half precision."""
    state = {}
    for name, each in targets.items():
        state[f"{name}/palette"] = each.palette[:: max(1, len(each.palette) // _PALETTE_STORED)]
        state[f"{name}/fringes"] = each.fringes
        state[f"{name}/contrast"] = each.contrast
        state[f"{name}/alignment"] = each.alignment
        for kind, statistics in (("gram", each.grams), ("quantiles", each.quantiles)):
            for network, scales in statistics.items():
                for number, scale in enumerate(scales):
                    state |= {f"{name}/{kind}/{network}/{number}/{layer}": t for layer, t in scale.items()}
    save_weights(path, state, "style-targets", {})


def load_targets(path: Path, name: str) -> StyleTargets:
    """The targets of the style `name` in the file `path`."""
    state, _ = load_weights(path, "style-targets")
    if f"{name}/palette" not in state:
        raise unknown(f"style in {path}", name, sorted({key.partition("/")[0] for key in state}))
    if any(f"{name}/{part}" not in state for part in _WHOLE):
        raise StreamfxError(f"{path}: entries of the style '{name}' are missing; fetch or train it again")
    statistics: dict[str, dict[str, list[dict[str, Tensor]]]] = {"gram": {}, "quantiles": {}}
    for key in sorted(state):
        own, _, rest = key.partition("/")
        if own != name or rest in _WHOLE:
            continue
        found = re.fullmatch(r"(gram|quantiles)/([^/]+)/(\d{1,3})/([^/]+)", rest, re.ASCII)
        scales = statistics[found[1]].setdefault(found[2], []) if found else []
        if not found or int(found[3]) > len(scales):
            raise StreamfxError(f"{path}: unexpected entry '{key}'; fetch or train it again")
        if int(found[3]) == len(scales):
            scales.append({})
        scales[int(found[3])][found[4]] = state[key]
    return StyleTargets(statistics["gram"], statistics["quantiles"], *(state[f"{name}/{part}"] for part in _WHOLE))
