"""Compile and run networks with OpenVINO on the CPU."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from streamfx.inference.cache import engine_file, engine_key, load_cached, store
from streamfx.inference.cuda_graph import Engine, check_shapes
from streamfx.media.threads import available_threads

_log = logging.getLogger("streamfx")


def import_openvino() -> Any:
    """The openvino module, imported without its telemetry.

    Importing it by itself would look up an analytics host and write to the home folder. Without the package
    openvino_telemetry it uses a stub, so that package is hidden during the import.
    """
    hidden = "openvino_telemetry" not in sys.modules
    if hidden:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if hidden:
            del sys.modules["openvino_telemetry"]
    return openvino


@cache
def _core() -> Any:
    """The only Core of this process.

    The CPU plugin of each Core gives the thread that loads it a stack for signal handlers. When two plugins are
    unloaded in the order in which they were loaded, the thread is left with a stack that no longer exists, and the next
    signal, such as Ctrl-C, crashes the process.
    """
    return import_openvino().Core()


def build_cpu_engine(
    module: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    hint: str,
    write: Callable[[nn.Module], nn.Module] | None = None,
    threads: int | None = None,
) -> Engine:
    """The module compiled for float32 inputs of exactly these shapes, or loaded from the cache.

    `hint` is the precision of operations that are not fake-quantized: "f32" or "bf16". `write` returns another module
    to compile instead; it is called only if no compiled network is cached. `threads` defaults to all cores.
    """
    settings = cpu_settings(hint, threads)
    key = engine_key(module, shapes, (processor_name(), repr(settings)))
    compiled = compile_cached(key, settings, lambda: _convert(write(module) if write else module, shapes))
    return engine_of(compiled, shapes)


def engine_of(compiled: Any, shapes: Sequence[tuple[int, ...]]) -> Engine:
    """A compiled model with one output and inputs of these shapes as a function of tensors."""
    request = compiled.create_infer_request()
    shape = tuple(compiled.output(0).shape)
    import_tensor = import_openvino().Tensor

    def run(*inputs: Tensor) -> Tensor:
        check_shapes(inputs, shapes)
        arrays = [x.detach().to(torch.float32).contiguous() for x in inputs]  # must live until the end of infer
        for index, x in enumerate(arrays):
            request.set_input_tensor(index, import_tensor(x.numpy(), shared_memory=True))
        output = torch.empty(shape)
        request.set_output_tensor(0, import_tensor(output.numpy(), shared_memory=True))
        request.infer()
        return output

    return run


def processor_name() -> str:
    """The names of the processor and OpenVINO's version, for cache keys."""
    openvino = import_openvino()
    return f"{_core().get_property('CPU', 'FULL_DEVICE_NAME')} {openvino.__version__}"


def supports_bf16() -> bool:
    """Whether OpenVINO lists bfloat16 for this processor; it may still be slow."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cpu_settings(hint: str, threads: int | None = None) -> dict[str, object]:
    """OpenVINO's settings for the CPU with this precision `hint`; `threads` defaults to all cores."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or available_threads(),
        "ENABLE_CPU_PINNING": False,  # pinned threads would compete with the decoder and encoder for their cores
        "INFERENCE_PRECISION_HINT": hint,
    }


def compile_cached(key: str, settings: dict[str, object], model: Callable[[], Any]) -> Any:
    """The OpenVINO `model` compiled with these settings, or loaded from the cache; `key` names all it depends on."""
    core = _core()
    cached = engine_file(f"{key}.blob")
    if (blob := load_cached(cached)) is not None:
        try:
            return core.import_model(blob, "CPU", settings)
        except RuntimeError as error:
            _log.debug("the cached engine does not load: %s", error)
    blob = core.compile_model(model(), "CPU", settings).export_model().getvalue()
    store(blob, cached)
    return core.import_model(blob, "CPU", settings)  # as later runs do


def _convert(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> Any:
    """The traced module as an OpenVINO model with fixed shapes.

    Calls the front end directly: openvino.convert_model does the same and sends telemetry.
    """
    import_openvino()
    from openvino._offline_transformations import apply_moc_transformations
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    examples = tuple(torch.zeros(shape) for shape in shapes)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing is deprecated, and fixes shapes, as intended here
        traced = torch.jit.trace(module.eval(), examples, check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(traced, example_input=examples)
        front = FrontEndManager().load_by_framework("pytorch")
        model = front.convert(front.load(decoder))  # calls the decoder, which must live until here
    model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes)})
    if any(op.get_type_name() == "FakeQuantize" for op in model.get_ops()):
        apply_moc_transformations(model, cf=True)  # int8 kernels need constant ranges
    return model
