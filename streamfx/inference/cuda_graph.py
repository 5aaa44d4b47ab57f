"""Run work on CUDA as one recorded graph of launches."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import torch
from cachetools import LRUCache
from torch import Tensor, nn

_log = logging.getLogger("streamfx")

_GRAPHS = 16  # recordings kept, which share one memory pool; the least recently used is recorded again
_WARM_UP = 3  # runs before recording, in which libraries choose algorithms and allocate

Engine: TypeAlias = Callable[..., Tensor]  # torch tensors in, one torch tensor out, all float32 on the device
_Recording: TypeAlias = tuple[list[Tensor], Tensor, Callable[[], object]]  # inputs, output, replay
_recordings: LRUCache[object, _Recording] = LRUCache(_GRAPHS)


def record(
    work: Callable[..., Tensor],
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Engine:
    """Work on CUDA tensors of exactly these shapes and `dtype`, replayed as one CUDA graph.

    For work that takes longer to launch than to run. It must not read results on the CPU.
    """
    key = object()

    def run(*inputs: Tensor) -> Tensor:
        check_shapes(inputs, shapes)
        with torch.no_grad():
            held, output, replay = _recording(key, work, shapes, device, dtype)
            for place, x in zip(held, inputs, strict=True):
                place.copy_(x)
            replay()
            return output.float().contiguous() if output.dtype != torch.float32 else output.clone()

    return run


def halved(module: nn.Module, device: torch.device, dtype: torch.dtype = torch.float16) -> nn.Module:
    """A copy of the module in half precision, channels last; the module itself stays as it is."""
    fast = copy.deepcopy(module).to(device, dtype).to(memory_format=torch.channels_last)
    return fast.eval().requires_grad_(False)


def half_inputs(
    shapes: Sequence[tuple[int, ...]], device: torch.device, dtype: torch.dtype = torch.float16
) -> list[Tensor]:
    """Input buffers of a halved module; images, and only they, channels last."""
    held = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
    return [x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in held]


def check_shapes(inputs: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> None:
    """Raise ValueError where the inputs differ from the shapes an engine was built for."""
    for at, (x, expected) in enumerate(zip(inputs, shapes, strict=True)):
        if tuple(x.shape) != tuple(expected):
            raise ValueError(f"input {at} is {tuple(x.shape)}, the engine was built for {tuple(expected)}")


def _recording(
    key: object,
    work: Callable[..., Tensor],
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
    dtype: torch.dtype,
) -> _Recording:
    """The recording of this key, made again where it was dropped."""
    recording = _recordings.get(key)
    if recording is None:
        if len(_recordings) >= _GRAPHS:
            _recordings.popitem()  # before the new one takes its memory
        recording = _recordings[key] = _record(work, shapes, device, dtype)
    return recording


def _record(
    work: Callable[..., Tensor], shapes: Sequence[tuple[int, ...]], device: torch.device, dtype: torch.dtype
) -> _Recording:
    """Record a run of the work as a CUDA graph: its input buffers, its output, and what replays it."""
    held = half_inputs(shapes, device, dtype)
    with torch.cuda.device(device):
        side = _stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                output = work(*held)
        ours = torch.cuda.current_stream(device)
        ours.wait_stream(side)
        torch.cuda.empty_cache()  # of the warm-up runs: the recording has its own pool
        graph = torch.cuda.CUDAGraph()
        try:
            # thread-local: other threads decode and encode meanwhile, which allocates
            with torch.cuda.graph(graph, pool=_pool(), stream=side, capture_error_mode="thread_local"):
                output = work(*held)
        except RuntimeError as error:
            torch.cuda.set_stream(ours)  # a failed recording leaves its own stream current
            _log.warning("running on the GPU without a CUDA graph, which is slower: %s", str(error).partition("\n")[0])
            kept = output
            return held, kept, lambda: kept.copy_(work(*held))
    return held, output, graph.replay


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of all recordings; memory freed by one can be reused only on the same stream."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


@cache
def _pool() -> Any:
    """The memory pool of all recordings: they run one after another, and only outputs outlast them."""
    return torch.cuda.graph_pool_handle()
