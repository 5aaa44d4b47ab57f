"""Choose the data type of networks on the CPU by a benchmark on this machine."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.inference.cache import engine_file, load_cached, store
from streamfx.inference.openvino import build_cpu_engine, processor_name, supports_bf16
from streamfx.media.threads import available_threads

Precision: TypeAlias = Literal["fp32", "bf16", "int8"]

_CHANNELS, _HEIGHT, _WIDTH, _LAYERS = (
    96,
    90,
    160,
    2,
)  # of the benchmark, similar to the style network
_RUNS = 4
_MARGIN = 1.1  # a lower precision must be faster than a higher one by this factor
_VERSION = 1  # of the benchmark


@dataclass(frozen=True, slots=True)
class Rates:
    """Convolution rates on this machine in GFLOP/s, by data type; bf16 is 0 if the processor does not support it."""

    fp32: float
    bf16: float
    int8: float

    @property
    def best(self) -> Precision:
        """The fastest data type; the more precise one if two are close."""
        best: Precision = "bf16" if self.bf16 > _MARGIN * self.fp32 else "fp32"
        return "int8" if self.int8 > _MARGIN * getattr(self, best) else best

    @property
    def hint(self) -> str:
        """OpenVINO's precision hint for operations that are not quantized."""
        return "bf16" if self.bf16 > _MARGIN * self.fp32 else "f32"


@cache
def rates() -> Rates:
    """The measured rates, from the disk cache if possible; measuring takes about half a second."""
    file = engine_file("rates.json")
    key = f"{_VERSION} {processor_name()} {available_threads()}"
    stored = load_cached(file)
    known: dict[str, dict[str, float]] = json.loads(stored) if stored else {}
    if key not in known:
        known[key] = asdict(_measure())
        store(json.dumps(known).encode(), file)
    return Rates(**known[key])


def _measure() -> Rates:
    return Rates(
        fp32=_rate(quantized=False, hint="f32"),
        bf16=_rate(quantized=False, hint="bf16") if supports_bf16() else 0.0,
        int8=_rate(quantized=True, hint="f32"),
    )


def _rate(quantized: bool, hint: str) -> float:
    shape = (1, _CHANNELS, _HEIGHT, _WIDTH)
    run = build_cpu_engine(_Benchmark(quantized), [shape], hint)
    x = torch.zeros(shape)
    run(x)
    best = float("inf")
    for _ in range(_RUNS):
        start = time.perf_counter()
        run(x)
        best = min(best, time.perf_counter() - start)
    return round(2 * 9 * _CHANNELS**2 * _HEIGHT * _WIDTH * _LAYERS / best / 1e9, 1)


class _Benchmark(nn.Module):
    """Two 3x3 convolutions like those of the style network."""

    def __init__(self, quantized: bool) -> None:
        super().__init__()
        self.quantized = quantized
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(0.1 * torch.randn(_CHANNELS, _CHANNELS, 3, 3, generator=generator))
        self.steps = self.weight.detach().abs().amax((1, 2, 3)) / 127

    def extra_repr(self) -> str:
        return f"quantized={self.quantized}"

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = self.weight
        if self.quantized:
            zeros = torch.zeros(_CHANNELS, dtype=torch.int32)
            weight = torch.fake_quantize_per_channel_affine(weight, self.steps, zeros, 0, -127, 127)
        for _ in range(_LAYERS):
            if self.quantized:
                x = torch.fake_quantize_per_tensor_affine(x, 0.05, 0, -128, 127)
            x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight))
        return x
