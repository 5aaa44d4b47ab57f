"""Network weights on disk: safetensors, in half precision by default, with the network's sizes as metadata."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from streamfx.errors import StreamfxError

_MAX_VALUES = 1 << 26  # in a file, 256 MiB as float32; shipped style networks have a million
_DTYPES = ("F16", "BF16", "F32", "F64", "I8", "I32", "I64")


def save_weights(
    path: Path,
    state: Mapping[str, Tensor],
    network: str,
    sizes: Mapping[str, int],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write the tensors of `state` with the network's name and sizes, atomically.

    Floats are stored as `dtype`, int8 unchanged.
    """
    dtypes = {name: torch.int8 if tensor.dtype == torch.int8 else dtype for name, tensor in state.items()}
    state = {name: tensor.detach().to("cpu", dtypes[name]).contiguous() for name, tensor in state.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(save(dict(state), metadata={"network": network, "sizes": json.dumps(dict(sizes))}))
        temporary.replace(path)
    except OSError as error:
        raise StreamfxError(f"cannot write weights to {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_weights(path: Path, network: str) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The tensors (float32, CPU) and sizes in a `network`'s file written by save_weights. Raises StreamfxError."""
    if not path.is_file():
        raise StreamfxError(f"weights file not found: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            check_shapes(path, file, _MAX_VALUES)
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise StreamfxError(f"{path} is not a valid safetensors file ({error}); download or train it again") from error
    if metadata.get("network") != network:
        stored = metadata.get("network", "an unnamed network")
        raise StreamfxError(f"{path} contains weights of {stored}, not of a streamfx {network}")
    return state, _sizes(path, metadata.get("sizes", ""))


def check_shapes(path: Path, file: Any, limit: int) -> None:
    """Raise StreamfxError if the tensors of an open safetensors file have over `limit` values or another dtype.

    safetensors itself checks that the shapes match the file size.
    """
    total = 0
    for name in file.keys():  # noqa: SIM118  (not a dict)
        tensor = file.get_slice(name)
        if tensor.get_dtype() not in _DTYPES:
            raise StreamfxError(f"{path}: '{name}' has dtype {tensor.get_dtype()}; allowed are {', '.join(_DTYPES)}")
        total += math.prod(tensor.get_shape())
    if total > limit:
        raise StreamfxError(f"{path} has {total} values, more than the limit of {limit}; use the correct weights file")


def load_state(path: Path, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the tensors read from `path` into `module`; all names and shapes must match."""
    own = module.state_dict()
    wrong = sorted(own.keys() ^ state.keys()) or [n for n in own if own[n].shape != state[n].shape]
    if wrong:
        raise StreamfxError(
            f"the weights {path} do not fit this network: '{wrong[0]}' is missing, unexpected or has another shape"
        )
    module.load_state_dict(dict(state))


def _sizes(path: Path, text: str) -> dict[str, int]:
    try:
        sizes = json.loads(text)
    except (ValueError, RecursionError):
        sizes = None
    if not isinstance(sizes, dict) or not all(isinstance(value, int) and value >= 0 for value in sizes.values()):
        raise StreamfxError(f"{path} has no valid network sizes; train it again")
    return sizes
