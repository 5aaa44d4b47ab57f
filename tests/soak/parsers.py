"""Fuzzes the parsers of chains, schedules, presets and blends with Atheris: they may raise only StreamfxErrors.

    pip install atheris && python tests/soak/parsers.py schedule -max_total_time=60
    python tests/soak/parsers.py preset corpus/ -max_total_time=600

The first argument is one of TARGETS, the rest are libFuzzer's. Atheris needs Python 3.11 to 3.13 on Linux.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["streamfx", "tomllib"]):
    from streamfx.animation.context import Context
    from streamfx.animation.schedule import parse_schedule
    from streamfx.chain import build_chain
    from streamfx.errors import StreamfxError
    from streamfx.media.filters.graph import Filter
    from streamfx.media.path_sandbox import check_filters, check_source
    from streamfx.presets import load_preset, parse_blend

FILE = Path(tempfile.mkdtemp(prefix="parsers-")) / "any.toml"


def chain(data: bytes) -> None:
    text = data.decode(errors="replace")
    if not any(word in text for word in ("movie", "sendcmd", "lut", "file")):  # filters that may access files
        build_chain(text)


def schedule(data: bytes) -> None:
    parse_schedule(data.decode(errors="replace")).values(10, Context(last=9))


def preset(data: bytes) -> None:
    FILE.write_bytes(data)
    load_preset(str(FILE))


def blend(data: bytes) -> None:
    parse_blend(data.decode(errors="replace"))


def sandbox(data: bytes) -> None:
    name, _, rest = data.decode(errors="replace").partition("=")
    check_source(rest, FILE.parent)
    check_filters([Filter(name, rest)])


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (chain, schedule, preset, blend, sandbox)
}


def main() -> None:
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        raise SystemExit(f"give one of {', '.join(TARGETS)}")

    def once(data: bytes) -> None:
        with suppress(StreamfxError):
            TARGETS[name](data)

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
