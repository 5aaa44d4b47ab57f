"""Read networks from ONNX files, and compile them with OpenVINO for inputs of fixed shapes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamfx.errors import StreamfxError
from streamfx.inference.cuda_graph import Engine
from streamfx.inference.openvino import compile_cached, cpu_settings, engine_of, import_openvino, processor_name

_MAX_BYTES = 512 << 20  # of a file


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a network."""

    name: str
    shape: tuple[int | None, ...]  # None where any length is allowed


def read_ports(file: Path) -> tuple[list[Port], list[Port]]:
    """The inputs and outputs of the network in an ONNX file. Raises StreamfxError."""
    model = _read(file)
    return [_port(port) for port in model.inputs], [_port(port) for port in model.outputs]


def output_shape(file: Path, shapes: Sequence[tuple[int, ...]]) -> tuple[int | None, ...] | None:
    """The shape of the first output for inputs of these shapes; None if the network does not take them."""
    model = _read(file)
    try:
        _reshape(model, shapes)
    except RuntimeError:
        return None
    return _port(model.outputs[0]).shape


def build_onnx_engine(file: Path, shapes: Sequence[tuple[int, ...]], hint: str) -> Engine:
    """The network compiled for float32 inputs of exactly these shapes on the CPU, or loaded from the cache.

    `hint` is OpenVINO's precision of operations that are not quantized: "f32" or "bf16". Raises StreamfxError.
    """

    def read() -> Any:
        model = _read(file)
        _reshape(model, shapes)
        return model

    settings = cpu_settings(hint)
    key = hashlib.sha256(repr((tuple(shapes), processor_name(), settings)).encode())
    try:
        key.update(file.read_bytes())
        return engine_of(compile_cached(key.hexdigest()[:32], settings, read), shapes)
    except OSError as error:
        raise StreamfxError(f"cannot read the network '{file}': {error.strerror or error}") from error
    except RuntimeError as error:
        raise StreamfxError(f"OpenVINO cannot run '{file}': {_reason(error)}") from error


def _read(file: Path) -> Any:
    """The OpenVINO model; only ONNX is read, whatever the file's ending."""
    import_openvino()
    from openvino.frontend import FrontEndManager, GeneralFailure, OpConversionFailure, OpValidationFailure

    try:
        size = file.stat().st_size
    except OSError as error:
        raise StreamfxError(f"cannot read the network '{file}': {error.strerror or error}") from error
    if size > _MAX_BYTES:
        raise StreamfxError(f"'{file}' has {size} bytes; a network may have at most {_MAX_BYTES}")
    front = FrontEndManager().load_by_framework("onnx")
    try:
        return front.convert(front.load(str(file)))
    except (RuntimeError, GeneralFailure, OpConversionFailure, OpValidationFailure) as error:
        raise StreamfxError(f"'{file}' is not an ONNX network that OpenVINO can read: {_reason(error)}") from error


def _reshape(model: Any, shapes: Sequence[tuple[int, ...]]) -> None:
    model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})


def _port(port: Any) -> Port:
    lengths = [length.get_length() if length.is_static else None for length in port.partial_shape]
    return Port(port.any_name, tuple(lengths))


def _reason(error: Exception) -> str:
    """The last line of OpenVINO's message that is not a source location."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return lines[-1][:200] if lines else type(error).__name__
