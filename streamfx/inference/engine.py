"""Compile networks for inference: with OpenVINO on the CPU, as a CUDA graph on a GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn

from streamfx.inference.cuda_graph import Engine, halved, record


def build_engine(
    module: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
    write: Callable[[nn.Module], nn.Module] | None = None,
    dtype: torch.dtype = torch.float16,
    hint: str | None = None,
) -> Engine:
    """`module` compiled for float32 inputs of exactly these `shapes` on `device`, without gradients.

    The module takes as many tensors as there are shapes and returns one; each call returns a new tensor. On CUDA it
    runs in `dtype`, channels last, and is recorded as a CUDA graph. On the CPU `write` may return another module to
    compile instead; it is called only if no compiled network is cached. `hint` is OpenVINO's precision of operations
    that are not quantized, "f32" or "bf16"; by default float32 with `write`, else the faster one
    (`streamfx.inference.precision`). Compiled networks are cached on disk. Other devices run the module as it is.
    """
    if device.type == "cuda":
        return record(halved(module, device, dtype), shapes, device, dtype)
    if device.type == "cpu":
        from streamfx.inference.openvino import build_cpu_engine
        from streamfx.inference.precision import rates

        return build_cpu_engine(module, shapes, hint or ("f32" if write else rates().hint), write)
    return torch.no_grad()(copy.deepcopy(module).to(device).eval())
