"""Disk cache of compiled networks, keyed by everything that they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from streamfx.resources import cache_folder

_log = logging.getLogger("streamfx")

_MAX_ENGINES = 50  # of a few megabytes each; the oldest are removed


def engine_file(name: str) -> Path:
    """A file in the cache folder of compiled networks; the folder may not exist."""
    return cache_folder() / "engines" / name


def engine_key(module: nn.Module, shapes: Sequence[tuple[int, ...]], machine: tuple[str, ...]) -> str:
    """A hash of everything that a compiled network depends on: code, weights, shapes, libraries and processor."""
    digest = hashlib.sha256(repr((str(module), tuple(map(tuple, shapes)), torch.__version__, machine)).encode())
    for source in sorted(filter(None, {inspect.getsourcefile(type(own)) for own in _own_modules(module)})):
        digest.update(Path(source).read_bytes())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def _own_modules(module: nn.Module) -> Iterator[nn.Module]:
    """The module and its submodules defined in this package, whose source code is part of the key."""
    yield module
    yield from (child for child in module.modules() if type(child).__module__.startswith("streamfx."))


def load_cached(file: Path) -> bytes | None:
    """The content of `file`, or None if it is missing, unreadable or damaged."""
    try:
        stored = file.read_bytes()
    except OSError:
        return None
    checksum, content = stored[:32], stored[32:]
    return content if hashlib.sha256(content).digest() == checksum else None


def store(content: bytes, file: Path) -> None:
    """Write a checksum and `content` atomically; does nothing if the cache is not writable."""
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        temporary.replace(file)
        for old in sorted(file.parent.glob("*.blob"), key=lambda entry: entry.stat().st_mtime)[:-_MAX_ENGINES]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.debug("%s is not cached: %s", file.name, error)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
