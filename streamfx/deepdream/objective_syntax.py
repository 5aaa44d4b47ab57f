"""Objective syntax: layers and channels with their shares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamfx.errors import StreamfxError, unknown

_TERM = re.compile(
    r"\s*(?P<sign>[+-])?\s*(?:(?P<share>\d+(?:\.\d*)?|\.\d+)\s*\*\s*)?"
    r"(?P<layer>[A-Za-z_][\w./]*)(?:\s*:\s*(?P<channel>\d+))?\s*",
    re.ASCII,
)
_EXAMPLES = "block10, block8:12, 0.7*block10 - 0.3*block4"


@dataclass(frozen=True, slots=True)
class Part:
    """One term of an objective."""

    layer: str
    channel: int | None = None  # None: the whole layer
    share: float = 1.0  # negative: minimized

    def __str__(self) -> str:
        return self.layer if self.channel is None else f"{self.layer}:{self.channel}"


def parse_objective(text: str) -> tuple[Part, ...]:
    """Parse "block10", "mixed4a:83", "a+b" or "0.7*mixed4c - 0.3*mixed5a:3". Raises StreamfxError."""
    parts: list[Part] = []
    position = 0
    while position < len(text) or not parts:
        term = _TERM.match(text, position)
        if not term or (parts and not term["sign"]):
            rest = f"at '{text[position : position + 20].strip()}'" if text[position:].strip() else "at the end"
            raise StreamfxError(f"invalid layer '{text}': syntax error {rest}; examples: {_EXAMPLES}")
        sign = -1.0 if term["sign"] == "-" else 1.0
        channel = None if term["channel"] is None else int(term["channel"][:9])
        parts.append(Part(term["layer"], channel, sign * float(term["share"] or 1)))
        position = term.end()
    if not any(part.share for part in parts):
        raise StreamfxError(f"invalid layer '{text}': all shares are 0; at least one must not be 0")
    return tuple(parts)


def check_channels(parts: Sequence[Part], channels: Mapping[str, int | None], network: str) -> None:
    """Raise StreamfxError for a layer or channel that the network does not have. `channels`: layer -> count."""
    for part in parts:
        if part.layer not in channels:
            raise unknown(f"layer of {network}", part.layer, channels)
        count = channels[part.layer]
        if part.channel is not None and count is not None and part.channel >= count:
            raise StreamfxError(f"invalid channel '{part}': {part.layer} of {network} has channels 0 to {count - 1}")
