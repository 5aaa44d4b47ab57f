"""How an objective is written: layers and channels with their shares."""

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
_SHOWN = "block10, block8:12, 0.7*block10 - 0.3*block4"


@dataclass(frozen=True, slots=True)
class Part:
    """One term of an objective."""

    layer: str
    channel: int | None = None  # None: all of the layer
    share: float = 1.0  # negative: away from it

    def __str__(self) -> str:
        return self.layer if self.channel is None else f"{self.layer}:{self.channel}"


def parse_objective(text: str) -> tuple[Part, ...]:
    """The parts of "block10", "mixed4a:83", "a+b" or "0.7*mixed4c - 0.3*mixed5a:3". Raises StreamfxError."""
    parts: list[Part] = []
    at = 0
    while at < len(text) or not parts:
        found = _TERM.match(text, at)
        if not found or (parts and not found["sign"]):
            rest = f"at '{text[at : at + 20].strip()}'" if text[at:].strip() else "at the end"
            raise StreamfxError(f"layer is '{text}', which cannot be read {rest}; write it like {_SHOWN}")
        sign = -1.0 if found["sign"] == "-" else 1.0
        channel = None if found["channel"] is None else int(found["channel"][:9])
        parts.append(Part(found["layer"], channel, sign * float(found["share"] or 1)))
        at = found.end()
    if not any(part.share for part in parts):
        raise StreamfxError(f"layer is '{text}', of which nothing is left; at least one share must not be 0")
    return tuple(parts)


def objective_text(parts: Sequence[Part]) -> str:
    """What `parse_objective` makes these parts from."""
    said = ""
    for part in parts:
        size = abs(part.share)
        share = "" if size == 1 else f"{size:.12f}".rstrip("0").rstrip(".") + "*"
        said += ("-" if part.share < 0 else "+" if said else "") + share + str(part)
    return said


def check_channels(parts: Sequence[Part], channels: Mapping[str, int | None], network: str) -> None:
    """Raise StreamfxError where a part asks for a layer or a channel that the network does not have."""
    for part in parts:
        if part.layer not in channels:
            raise unknown(f"layer of {network}", part.layer, channels)
        count = channels[part.layer]
        if part.channel is not None and count is not None and part.channel >= count:
            raise StreamfxError(f"'{part}': {part.layer} of {network} has channels 0 to {count - 1}")
