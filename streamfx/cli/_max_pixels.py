"""--max-pixels, an option of all commands that read images."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated

import typer

from streamfx.errors import Misuse
from streamfx.media.limits import limit_pixels

MAX_PIXELS = "8192x8192"

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def parse_pixels(text: str) -> int:
    """The number of pixels in "8192x8192", "2000000", "500k" or "1.5M"."""
    value = text.strip().lower()
    if match := re.fullmatch(r"(\d{1,9})x(\d{1,9})", value, re.ASCII):
        count = int(match[1]) * int(match[2])
    else:
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)([kmg]?)", value, re.ASCII)
        count = int(Fraction(match[1]) * _UNITS[match[2]]) if match else 0
    if count < 1:
        raise Misuse(f"'{text}' is not a number of pixels; give WIDTHxHEIGHT ({MAX_PIXELS}) or a count (1M)")
    return count


def _apply(text: str) -> str:
    limit_pixels(parse_pixels(text))
    return text


MaxPixels = Annotated[
    str, typer.Option(metavar="WxH", help="Maximum input size, or number of pixels: 1M.", callback=_apply)
]
VideoMaxPixels = Annotated[
    str,
    typer.Option(
        metavar="WxH", help="Maximum input size, or number of pixels: 1M.", callback=_apply, rich_help_panel="Source"
    ),
]
