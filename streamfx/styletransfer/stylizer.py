"""Run the style network of a preset, or of a blend of presets, on frames of any size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from streamfx.inference.cuda_graph import Engine
from streamfx.inference.engine import build_engine
from streamfx.inference.precision import Precision, rates
from streamfx.styletransfer.network import blend_networks

PrecisionChoice: TypeAlias = Literal["auto", "fp32", "bf16", "int8"]


class Stylizer:
    """Frame [3, H, W] RGB 0..1 and detail 0..1 -> stylized frame [3, H, W]; compiled once for each size of frames.

    The detail is an input of the compiled network, so that changing it costs nothing. On CUDA the network runs in
    half precision; on the CPU in `precision`, "auto" for the fastest one measured on this machine.
    """

    def __init__(self, parts: Sequence[tuple[Path, float]], precision: PrecisionChoice, device: torch.device) -> None:
        """`parts`: weight files and their shares, which sum to 1."""
        self._network, self._device = blend_networks(parts), device
        self._hint: str | None = None
        if device.type == "cpu":
            chosen: Precision = rates().best if precision == "auto" else precision
            self._network.quantize(chosen == "int8")
            self._hint = {"fp32": "f32", "bf16": "bf16", "int8": rates().hint}[chosen]
        self._style: tuple[float, Tensor] | None = None
        self._engines: dict[torch.Size, Engine] = {}

    def __call__(self, frame: Tensor, detail: float) -> Tensor:
        style = self._style_at(detail)
        engine = self._engines.get(frame.shape)
        if engine is None:
            shapes = [(1, *frame.shape), tuple(style.shape)]
            engine = self._engines[frame.shape] = build_engine(self._network, shapes, self._device, hint=self._hint)
        return engine(frame.unsqueeze(0), style).squeeze(0)

    def _style_at(self, detail: float) -> Tensor:
        if self._style is None or self._style[0] != detail:
            self._style = detail, self._network.parameters_at(detail).to(self._device)
        return self._style[1]
