"""Reads frozen TensorFlow graphs without TensorFlow: the part of GraphDef that image networks need.

In Protocol Buffers, a message is a sequence of fields, each a key (number << 3 | wire type) and a value. Field numbers:
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
_MAX_FILL = 1 << 26  # bytes that tensors with repeated values may add to those in the file
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
        raise StreamfxError(f"cannot read graph {path} ({error.strerror or error})") from error
    try:
        nodes = list(_nodes(content))
    except (ValueError, IndexError, OverflowError) as error:
        raise StreamfxError(f"{path} is not a complete TensorFlow graph ({error}); download it again") from error
    if not nodes:
        raise StreamfxError(f"{path} is not a TensorFlow graph: it has no nodes")
    return nodes


def _nodes(content: bytes) -> Iterator[Node]:
    """The nodes of a GraphDef. One stored value may fill a tensor, so the total size is limited."""
    budget = 4 * len(content) + _MAX_FILL
    names: set[str] = set()
    for number, part in _fields(content):
        if number != 1 or not isinstance(part, bytes):
            continue
        node = _node(part)
        if node.name in names:
            raise ValueError(f"duplicate node '{node.name}'")
        names.add(node.name)
        budget -= sum(value.nbytes for value in node.attributes.values() if isinstance(value, np.ndarray))
        if budget < 0:
            raise ValueError("its tensors are much larger than the file")
        yield node


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field, in order; fixed-width values as bytes."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"unsupported wire type {kind}")
        if position + size > end:
            raise ValueError("truncated")
        yield key >> 3, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """(integer, position after it): seven bits per byte, lowest first; negative integers take 64 bits."""
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("truncated")
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value - (1 << 64) if value >> 63 else value, position


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
        elif number == 5:  # a map entry
            entry = dict(_fields(value))
            key, content = entry.get(1), entry.get(2)
            if isinstance(key, bytes) and isinstance(content, bytes):
                attribute = _attribute(content)
                if attribute is not None:
                    attributes[key.decode()] = attribute
    return Node(name, op, tuple(inputs), attributes)


def _attribute(message: bytes) -> Value | None:
    """Text, number, list of integers or tensor; None for other types, which no layer needs."""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):  # list(i)
            return _integers(value, 3)
        if number in (2, 3, 5, 6):  # s, i, b, type
            return value
        if number == 4 and isinstance(value, bytes):
            return float(np.frombuffer(value, "<f4")[0])
        if number == 8 and isinstance(value, bytes):
            return _tensor(value)
    return None


def _integers(message: bytes, field_number: int) -> list[int]:
    """A repeated integer field, packed or not."""
    values = []
    for number, value in _fields(message):
        if number == field_number and isinstance(value, bytes):
            position = 0
            while position < len(value):
                item, position = _varint(value, position)
                values.append(item)
        elif number == field_number and isinstance(value, int):
            values.append(value)
    return values


def _tensor(message: bytes) -> NDArray[np.generic]:
    """A TensorProto: its raw content, or its values, the last of which fills the rest."""
    kind, shape, content = 1, [], b""
    values: list[NDArray[np.generic]] = []
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            dims = [dict(_fields(dim)) for key, dim in _fields(value) if key == 2 and isinstance(dim, bytes)]
            shape = [int(dim.get(1, 0)) for dim in dims]
        elif number == 4 and isinstance(value, bytes):
            content = value
        elif number in _VALUES and isinstance(value, bytes):
            values.append(np.frombuffer(value, _VALUES[number]))
    for number in _INTS:
        values.append(np.array(_integers(message, number), np.int64))
    if kind not in _DTYPES:
        return np.zeros(0)  # strings and other types that no layer reads
    count = math.prod(shape)
    if min(shape, default=0) < 0 or 8 * count > max(_MAX_FILL, 8 * len(message)):
        raise ValueError(f"invalid tensor shape {shape[:8]}")
    flat: NDArray[Any] = (
        np.frombuffer(content, _DTYPES[kind]) if content else np.concatenate(values).astype(_DTYPES[kind])
    )
    if not content and 0 < flat.size < count:
        flat = np.concatenate([flat, np.full(count - flat.size, flat[-1])])
    if flat.size != count:
        raise ValueError(f"a tensor of shape {shape} has {flat.size} values")
    return flat.reshape(shape)
