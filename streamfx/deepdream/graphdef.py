"""TensorFlow's frozen graphs, read off the wire: as much of GraphDef as networks of images need.

Protocol buffers: a message is a row of fields, each a key (number << 3 | kind) and a value. Field numbers are those of
tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape,types}.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamfx.errors import StreamfxError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DTYPES: dict[int, np.dtype[Any]] = {  # DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}
_VALUES: dict[int, np.dtype[Any]] = {5: np.dtype("<f4"), 6: np.dtype("<f8")}  # float_val, double_val of a TensorProto
_FILLED = 1 << 26  # bytes that tensors may have beyond those that are in the file
_INTS = (7, 10)  # int_val, int64_val

Value: TypeAlias = "int | float | bytes | list[int] | NDArray[np.generic]"


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph."""

    name: str
    op: str  # Conv2D, Relu, Const, ...
    inputs: tuple[str, ...]  # names of nodes
    attributes: dict[str, Value] = field(default_factory=dict)


def read_graph(path: Path) -> list[Node]:
    """The nodes of the GraphDef in `path`, in the file's order. Raises StreamfxError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StreamfxError(f"cannot read the graph {path} ({error.strerror or error})") from error
    try:
        nodes = list(_nodes(content))
    except (ValueError, IndexError, OverflowError) as error:
        raise StreamfxError(f"{path} is not a whole TensorFlow graph ({error}); fetch it again") from error
    if not nodes:
        raise StreamfxError(f"{path} is not a TensorFlow graph: it holds no nodes")
    return nodes


def _nodes(content: bytes) -> Iterator[Node]:
    """The nodes of a GraphDef. Tensors may be written as one value that stands for many: only some of them are."""
    most = 4 * len(content) + _FILLED
    names: set[str] = set()
    for number, part in _fields(content):
        if number != 1 or not isinstance(part, bytes):
            continue
        node = _node(part)
        if node.name in names:
            raise ValueError(f"two nodes are called '{node.name}'")
        names.add(node.name)
        most -= sum(value.nbytes for value in node.attributes.values() if isinstance(value, np.ndarray))
        if most < 0:
            raise ValueError("its tensors are far larger than the file")
        yield node


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field, in their order; fixed-width values as their bytes."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + size > end:
            raise ValueError("it breaks off")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place behind it; negative ones come as 64 bits."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("it breaks off")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value - (1 << 64) if value >> 63 else value, at


def _node(message: bytes) -> Node:
    name = op = ""
    inputs: list[str] = []
    attributes: dict[str, Value] = {}
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            name = value.decode()
        elif number == 2:
            op = value.decode()
        elif number == 3:
            inputs.append(value.decode().lstrip("^").partition(":")[0])
        elif number == 5:  # an entry of the map
            entry = dict(_fields(value))
            key, content = entry.get(1), entry.get(2)
            if isinstance(key, bytes) and isinstance(content, bytes):
                found = _attribute(content)
                if found is not None:
                    attributes[key.decode()] = found
    return Node(name, op, tuple(inputs), attributes)


def _attribute(message: bytes) -> Value | None:
    """Text, number, list of whole numbers or tensor; None for what no layer needs."""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):  # list(i)
            return _whole_numbers(value, 3)
        if number in (2, 3, 5, 6):  # s, i, b, type
            return value
        if number == 4 and isinstance(value, bytes):
            return float(np.frombuffer(value, "<f4")[0])
        if number == 8 and isinstance(value, bytes):
            return _tensor(value)
    return None


def _whole_numbers(message: bytes, wanted: int) -> list[int]:
    """A repeated whole number, packed or not."""
    found = []
    for number, value in _fields(message):
        if number == wanted and isinstance(value, bytes):
            at = 0
            while at < len(value):
                each, at = _varint(value, at)
                found.append(each)
        elif number == wanted and isinstance(value, int):
            found.append(value)
    return found


def _tensor(message: bytes) -> NDArray[np.generic]:
    """A TensorProto: its raw content, or its values, of which the last stands for all that follow."""
    kind, shape, content = 1, [], b""
    values: list[NDArray[np.generic]] = []
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            dims = [dict(_fields(dim)) for at, dim in _fields(value) if at == 2 and isinstance(dim, bytes)]
            shape = [int(dim.get(1, 0)) for dim in dims]
        elif number == 4 and isinstance(value, bytes):
            content = value
        elif number in _VALUES and isinstance(value, bytes):
            values.append(np.frombuffer(value, _VALUES[number]))
    for number in _INTS:
        values.append(np.array(_whole_numbers(message, number), np.int64))
    if kind not in _DTYPES:
        return np.zeros(0)  # texts and the like, which no layer reads
    count = math.prod(shape)
    if min(shape, default=0) < 0 or 8 * count > max(_FILLED, 8 * len(message)):
        raise ValueError(f"a tensor of the shape {shape[:8]}")
    flat: NDArray[Any] = (
        np.frombuffer(content, _DTYPES[kind]) if content else np.concatenate(values).astype(_DTYPES[kind])
    )
    if 0 < flat.size < count:
        flat = np.concatenate([flat, np.full(count - flat.size, flat[-1])])
    if flat.size != count:
        raise ValueError(f"a tensor of {flat.size} values, but of shape {shape}")
    return flat.reshape(shape)
