"""Record and replay computations as CUDA graphs."""

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

_GRAPHS = 16  # recordings in the cache, which share one memory pool; the least recently used is evicted
_WARM_UP = 3  # runs before recording, while libraries choose algorithms and allocate memory

Engine: TypeAlias = Callable[..., Tensor]  # torch tensors in, one torch tensor out, all float32 on the device
_Recording: TypeAlias = tuple[list[Tensor], Tensor, Callable[[], object]]  # inputs, output, replay
_recordings: LRUCache[object, _Recording] = LRUCache(_GRAPHS)


def record(
    work: Callable[..., Tensor],
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Engine:
    """`work` on CUDA tensors of exactly these shapes and `dtype`, replayed as one CUDA graph.

    Pays off if launching the kernels takes longer than running them. `work` must not read results on the CPU.
    """
    key = object()

    def run(*inputs: Tensor) -> Tensor:
        check_shapes(inputs, shapes)
        with torch.no_grad():
            buffers, output, replay = _recording(key, work, shapes, device, dtype)
            for buffer, x in zip(buffers, inputs, strict=True):
                buffer.copy_(x)
            replay()
            return output.float().contiguous() if output.dtype != torch.float32 else output.clone()

    return run


def halved(module: nn.Module, device: torch.device, dtype: torch.dtype = torch.float16) -> nn.Module:
    """A copy of the module in half precision, channels last; the module itself is unchanged."""
    fast = copy.deepcopy(module).to(device, dtype).to(memory_format=torch.channels_last)
    return fast.eval().requires_grad_(False)


def half_inputs(
    shapes: Sequence[tuple[int, ...]], device: torch.device, dtype: torch.dtype = torch.float16
) -> list[Tensor]:
    """Input buffers for `halved` modules; images [N, C, H, W] are channels last."""
    buffers = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
    return [x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in buffers]


def check_shapes(inputs: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> None:
    """Raise ValueError if the inputs differ from the shapes that an engine was built for."""
    for index, (x, expected) in enumerate(zip(inputs, shapes, strict=True)):
        if tuple(x.shape) != tuple(expected):
            raise ValueError(f"input {index} is {tuple(x.shape)}, but the engine was built for {tuple(expected)}")


def _recording(
    key: object,
    work: Callable[..., Tensor],
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
    dtype: torch.dtype,
) -> _Recording:
    """The recording of this key; recorded again if it was evicted."""
    recording = _recordings.get(key)
    if recording is None:
        if len(_recordings) >= _GRAPHS:
            _recordings.popitem()  # frees its memory for the new one
        recording = _recordings[key] = _record(work, shapes, device, dtype)
    return recording


def _record(
    work: Callable[..., Tensor], shapes: Sequence[tuple[int, ...]], device: torch.device, dtype: torch.dtype
) -> _Recording:
    """Record `work` as a CUDA graph; returns its input buffers, its output, and the function that replays it."""
    buffers = half_inputs(shapes, device, dtype)
    with torch.cuda.device(device):
        side = _stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                output = work(*buffers)
        current = torch.cuda.current_stream(device)
        current.wait_stream(side)
        torch.cuda.empty_cache()  # frees what the warm-up allocated; the recording has its own pool
        graph = torch.cuda.CUDAGraph()
        try:
            # thread-local, as other threads that decode and encode allocate memory meanwhile
            with torch.cuda.graph(graph, pool=_pool(), stream=side, capture_error_mode="thread_local"):
                output = work(*buffers)
        except RuntimeError as error:
            torch.cuda.set_stream(current)  # a failed recording does not restore the stream
            _log.warning("running on the GPU without a CUDA graph, which is slower: %s", str(error).partition("\n")[0])
            result = output
            return buffers, result, lambda: result.copy_(work(*buffers))
    return buffers, output, graph.replay


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of all recordings; memory freed by one can be reused only on the same stream."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


@cache
def _pool() -> Any:
    """The memory pool of all recordings; sharing is safe because they run one at a time and outputs are copied."""
    return torch.cuda.graph_pool_handle()
