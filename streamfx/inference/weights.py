"""Networks' weights on disk: safetensors in half precision, with the sizes of the network beside them."""

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

_MOST = 1 << 26  # values of a file of ours, 256 MiB as float32; the painters that are shipped have a million
_KINDS = ("F16", "BF16", "F32", "F64", "I8", "I32", "I64")


def save_weights(path: Path, state: Mapping[str, Tensor], network: str, sizes: Mapping[str, int]) -> None:
    """Write the tensors of `state` with the network's name and sizes; whole or not at all.

    Floats are written in half precision, int8 as it is.
    """
    kinds = {name: torch.int8 if tensor.dtype == torch.int8 else torch.float16 for name, tensor in state.items()}
    state = {name: tensor.detach().to("cpu", kinds[name]).contiguous() for name, tensor in state.items()}
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(save(dict(state), metadata={"network": network, "sizes": json.dumps(dict(sizes))}))
        beside.replace(path)
    except OSError as error:
        raise StreamfxError(f"cannot write the weights to {path}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def load_weights(path: Path, network: str) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The tensors (float32, on the CPU) and the sizes of a `network`'s file written by save_weights."""
    if not path.is_file():
        raise StreamfxError(f"the weights {path} are missing")
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            check_shapes(path, file, _MOST)
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise StreamfxError(f"{path} is not a whole safetensors file ({error}); fetch or train it again") from error
    if about.get("network") != network:
        held = about.get("network", "an unnamed network")
        raise StreamfxError(f"{path} holds weights of {held}, not of a streamfx {network}")
    return state, _sizes(path, about.get("sizes", ""))


def check_shapes(path: Path, file: Any, most: int) -> None:
    """Raise StreamfxError where the tensors of an opened safetensors file are too large or no numbers.

    That shapes fit the bytes that are there, safetensors sees to itself.
    """
    whole = 0
    for name in file.keys():  # noqa: SIM118  (not a dict)
        piece = file.get_slice(name)
        if piece.get_dtype() not in _KINDS:
            raise StreamfxError(f"{path}: '{name}' is of the kind {piece.get_dtype()}; weights are {', '.join(_KINDS)}")
        whole += math.prod(piece.get_shape())
    if whole > most:
        raise StreamfxError(f"{path} holds {whole} values, but {most} at most are read; these are no such weights")


def load_state(path: Path, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put the tensors read from `path` into `module`; names and shapes must all agree."""
    own = module.state_dict()
    wrong = sorted(own.keys() ^ state.keys()) or [n for n in own if own[n].shape != state[n].shape]
    if wrong:
        raise StreamfxError(
            f"the weights {path} do not fit this network: '{wrong[0]}' is missing, extra or of another shape"
        )
    module.load_state_dict(dict(state))


def _sizes(path: Path, text: str) -> dict[str, int]:
    try:
        sizes = json.loads(text)
    except (ValueError, RecursionError):
        sizes = None
    if not isinstance(sizes, dict) or not all(isinstance(value, int) and value >= 0 for value in sizes.values()):
        raise StreamfxError(f"{path} does not say how large its network is; train it again")
    return sizes
