"""Compiled networks on disk, each under a key of everything that it depends on."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from platformdirs import user_cache_dir
from torch import nn

_log = logging.getLogger("streamfx")

_MOST = 50  # compiled networks kept, of a few megabytes each; the oldest are removed


def engine_file(name: str) -> Path:
    """A file in the cache folder of compiled networks; the folder may not exist."""
    return Path(user_cache_dir("streamfx", appauthor=False)) / "engines" / name


def engine_key(module: nn.Module, shapes: Sequence[tuple[int, ...]], machine: tuple[str, ...]) -> str:
    """A hash of everything that a compiled network depends on: code, weights, shapes, libraries and processor."""
    digest = hashlib.sha256(repr((str(module), tuple(map(tuple, shapes)), torch.__version__, machine)).encode())
    for source in sorted(filter(None, {inspect.getsourcefile(type(part)) for part in _own_parts(module)})):
        digest.update(Path(source).read_bytes())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def _own_parts(module: nn.Module) -> Iterator[nn.Module]:
    """The module and its parts defined in this package, whose source code the key covers."""
    yield module
    yield from (part for part in module.modules() if type(part).__module__.startswith("streamfx."))


def load_cached(file: Path) -> bytes | None:
    """The content of `file`, or None where it is missing, unreadable or damaged."""
    try:
        stored = file.read_bytes()
    except OSError:
        return None
    check, content = stored[:32], stored[32:]
    return content if hashlib.sha256(content).digest() == check else None


def store(content: bytes, file: Path) -> None:
    """Write `content` after its checksum, whole or not at all; without a writable cache, do nothing."""
    beside = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(hashlib.sha256(content).digest() + content)
        beside.replace(file)
        for old in sorted(file.parent.glob("*.blob"), key=lambda entry: entry.stat().st_mtime)[:-_MOST]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.debug("%s is not cached: %s", file.name, error)
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
