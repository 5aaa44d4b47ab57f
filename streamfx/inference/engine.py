"""Run a network as fast as this machine can: OpenVINO on the CPU, a recorded graph of torch's launches on CUDA."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from platformdirs import user_cache_dir
from torch import Tensor, nn

from streamfx.errors import StreamfxError

_log = logging.getLogger("streamfx")

_GRAPHS = 16  # of all engines on CUDA, which work in one memory; what was used least lately is recorded anew
_WARM = 3  # runs before one is recorded: libraries choose and allocate in them
_KEPT = 50  # compiled networks in the cache, of a few megabytes each; the oldest go first

Made = TypeVar("Made")
_Recorded: TypeAlias = tuple[list[Tensor], Tensor, Callable[[], object]]  # inputs, output, run
Engine: TypeAlias = Callable[..., Tensor]  # torch tensors in, one torch tensor out, all float32 on the device


def build_engine(
    module: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
    write: Callable[[nn.Module], nn.Module] | None = None,
    dtype: torch.dtype = torch.float16,
) -> Engine:
    """`module` made ready for float32 inputs of just these `shapes` on `device`; gradients are not kept.

    On CUDA it works in `dtype`, channels last, and is recorded. On the CPU `write` may make of it what is run in its
    place, in full precision but where that asks for less itself. It is called only where no compiled network is kept
    yet.

    The module takes as many tensors as there are shapes and returns one. What an engine returns is the caller's: the
    next call writes elsewhere. On the CPU the compiled network is kept in the user's cache folder, keyed by all that it
    depends on, so that the next process need not convert it again.
    """
    if device.type == "cuda":
        return record(halved(module, device, dtype), shapes, device, dtype)
    if device.type == "cpu":
        return _build_cpu(module, shapes, write)
    raise StreamfxError(f"no engine for the device '{device}'; use cpu or cuda")


def record(
    work: Callable[..., Tensor],
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Engine:
    """Work on CUDA tensors of just these shapes and `dtype`, replayed as one CUDA graph.

    For work whose launching outlasts it. It may not ask the CPU for anything that depends on what it works on.
    """
    name = object()

    def run(*inputs: Tensor) -> Tensor:
        check_shapes(inputs, shapes)
        with torch.no_grad():
            held, output, replay = _recorded.get(name, lambda: _record(work, shapes, device, dtype))
            for place, x in zip(held, inputs, strict=True):
                place.copy_(x)
            replay()
            return output.float().contiguous() if output.dtype != torch.float32 else output.clone()

    return run


def halved(module: nn.Module, device: torch.device, dtype: torch.dtype = torch.float16) -> nn.Module:
    """A copy in half precision, channels last; a copy, because the module may be in use elsewhere in full precision."""
    import copy

    fast = copy.deepcopy(module).to(device, dtype).to(memory_format=torch.channels_last)
    return fast.eval().requires_grad_(False)


def half_inputs(
    shapes: Sequence[tuple[int, ...]], device: torch.device, dtype: torch.dtype = torch.float16
) -> list[Tensor]:
    """Where a halved module's inputs are put; pictures, and only they, channels last."""
    held = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
    return [x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in held]


def _record(
    work: Callable[..., Tensor], shapes: Sequence[tuple[int, ...]], device: torch.device, dtype: torch.dtype
) -> _Recorded:
    """A run of the work as a CUDA graph: where its inputs go, where its output will be, and what runs it."""
    held = half_inputs(shapes, device, dtype)
    with torch.cuda.device(device):
        aside = _aside(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM):
                output = work(*held)
        ours = torch.cuda.current_stream(device)
        ours.wait_stream(aside)
        torch.cuda.empty_cache()  # of what those runs took: the recording has memory of its own
        graph = torch.cuda.CUDAGraph()
        try:
            # of this thread alone: others go on decoding and encoding meanwhile, which allocates
            with torch.cuda.graph(graph, pool=_pool(), stream=aside, capture_error_mode="thread_local"):
                output = work(*held)
        except RuntimeError as error:
            torch.cuda.set_stream(ours)  # a recording that fails leaves its own as the current one
            _log.warning(
                "what is done on the GPU is done without a CUDA graph, slower: %s", str(error).partition("\n")[0]
            )
            kept = output
            return held, kept, lambda: kept.copy_(work(*held))
    return held, output, graph.replay


@cache
def _aside(device: torch.device) -> torch.cuda.Stream:
    """Where recordings are made; memory that one of them has used is there for the next on the same stream alone."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


@cache
def _pool() -> Any:
    """The memory that all recordings work in: they run one behind the other, and only outputs outlast them."""
    return torch.cuda.graph_pool_handle()


class Latest(Generic[Made]):
    """The things made last, by name: as many as `most`; one asked for that has gone is made again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[object, Made] = {}

    def get(self, name: object, make: Callable[[], Made]) -> Made:
        made = self._kept.pop(name, None)
        while made is None and len(self._kept) >= self._most:
            self._kept.pop(next(iter(self._kept)))  # before the new one takes its memory
        made = make() if made is None else made
        self._kept[name] = made
        return made


_recorded: Latest[_Recorded] = Latest(_GRAPHS)


def _build_cpu(
    module: nn.Module, shapes: Sequence[tuple[int, ...]], write: Callable[[nn.Module], nn.Module] | None
) -> Engine:
    import openvino

    compiled = _compile(openvino, module, shapes, write)
    request = compiled.create_infer_request()
    shape = tuple(compiled.output(0).shape)

    def run(*inputs: Tensor) -> Tensor:
        check_shapes(inputs, shapes)
        plains = [x.detach().to(torch.float32).contiguous() for x in inputs]  # must live until the end of infer
        for at, x in enumerate(plains):
            request.set_input_tensor(at, openvino.Tensor(x.numpy(), shared_memory=True))
        output = torch.empty(shape)
        request.set_output_tensor(0, openvino.Tensor(output.numpy(), shared_memory=True))
        request.infer()
        return output

    return run


def check_shapes(inputs: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> None:
    for at, (x, expected) in enumerate(zip(inputs, shapes, strict=True)):
        if tuple(x.shape) != tuple(expected):
            raise ValueError(f"input {at} is {tuple(x.shape)}, the engine was built for {tuple(expected)}")


def _compile(
    openvino: Any,
    module: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    write: Callable[[nn.Module], nn.Module] | None,
) -> Any:
    """The compiled network: out of the cache, or converted, compiled and put there."""
    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "ENABLE_CPU_PINNING": False,  # bound to cores, it would wait there for decoder and encoder
        "INFERENCE_PRECISION_HINT": "bf16" if "BF16" in capabilities and write is None else "f32",
    }
    processor = core.get_property("CPU", "FULL_DEVICE_NAME")
    key = _key(module, shapes, (openvino.__version__, processor, repr(settings)))
    cached = Path(user_cache_dir("streamfx", appauthor=False)) / "engines" / f"{key}.blob"
    if (blob := _load_cached(cached)) is not None:
        try:
            return core.import_model(blob, "CPU", settings)
        except RuntimeError as error:
            _log.debug("the cached engine does not load: %s", error)
    written = module if write is None else write(module)
    blob = core.compile_model(_convert(openvino, written, shapes), "CPU", settings).export_model().getvalue()
    _keep(blob, cached)
    return core.import_model(blob, "CPU", settings)  # as every later run will


def _key(module: nn.Module, shapes: Sequence[tuple[int, ...]], machine: tuple[str, ...]) -> str:
    """A hash of everything that the compiled network depends on: code, weights, shapes, program and processor."""
    digest = hashlib.sha256(repr((str(module), tuple(map(tuple, shapes)), torch.__version__, machine)).encode())
    for source in sorted(filter(None, {inspect.getsourcefile(type(each)) for each in _own(module)})):
        digest.update(Path(source).read_bytes())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def _own(module: nn.Module) -> Iterator[nn.Module]:
    """The module, and those of its parts that are made here: what they do is not told by their names alone."""
    yield module
    yield from (part for part in module.modules() if type(part).__module__.startswith("streamfx."))


def _convert(openvino: Any, module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> Any:
    """The traced module as an OpenVINO model with fixed shapes.

    The front end is called directly: openvino.convert_model would do the same, and report to its makers.
    """
    from openvino._offline_transformations import apply_moc_transformations
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    examples = tuple(torch.zeros(shape) for shape in shapes)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing is deprecated, and fixes shapes, which is what we want
        traced = torch.jit.trace(module.eval(), examples, check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(traced, example_input=examples)
        front = FrontEndManager().load_by_framework("pytorch")
        model = front.convert(front.load(decoder))  # calls the decoder, which must live until here
    model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes)})
    apply_moc_transformations(model, cf=True)  # ranges of fake quantization become constants, as int8 kernels need
    return model


def _load_cached(file: Path) -> bytes | None:
    """The compiled network in `file`, or None where it is missing, unreadable or damaged."""
    try:
        stored = file.read_bytes()
    except OSError:
        return None
    check, blob = stored[:32], stored[32:]
    return blob if hashlib.sha256(blob).digest() == check else None


def _keep(blob: bytes, file: Path) -> None:
    """Write the compiled network behind its checksum, whole or not at all; with no writable cache, go on."""
    beside = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(hashlib.sha256(blob).digest() + blob)
        beside.replace(file)
        for old in sorted(file.parent.glob("*.blob"), key=lambda entry: entry.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.debug("the engine is not cached: %s", error)
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
