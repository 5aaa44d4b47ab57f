"""Run a network as fast as this machine can: OpenVINO on the CPU, a recorded graph on CUDA."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from streamfx.errors import StreamfxError
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
    works in `dtype`, channels last, and is recorded as a CUDA graph. On the CPU `write` may return another module to
    compile in its place, in float32 except where that module says otherwise; it is called only where no compiled
    network is cached. `hint` is OpenVINO's precision of whatever is not quantized, "f32" or "bf16"; by default the
    faster one (`streamfx.inference.precision`). Compiled networks are cached on disk.
    Raises StreamfxError for other devices.
    """
    if device.type == "cuda":
        return record(halved(module, device, dtype), shapes, device, dtype)
    if device.type == "cpu":
        from streamfx.inference.openvino import build_cpu_engine
        from streamfx.inference.precision import rates

        return build_cpu_engine(module, shapes, hint or ("f32" if write else rates().hint), write)
    raise StreamfxError(f"no engine for the device '{device}'; use cpu or cuda")
