"""--max-pixels: an option of every command that reads pictures."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated

import typer

from streamfx.media.limits import limit_pixels

MAX_PIXELS = "8192x8192"

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def parse_pixels(text: str) -> int:
    """How many pixels "8192x8192", "2000000", "500k" or "1.5M" are."""
    from streamfx.cli._options import Misuse  # which takes the option from here

    given = text.strip().lower()
    if found := re.fullmatch(r"(\d{1,9})x(\d{1,9})", given, re.ASCII):
        count = int(found[1]) * int(found[2])
    else:
        found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)([kmg]?)", given, re.ASCII)
        count = int(Fraction(found[1]) * _UNITS[found[2]]) if found else 0
    if count < 1:
        raise Misuse(f"'{text}' is no number of pixels; give WIDTHxHEIGHT ({MAX_PIXELS}) or a count (1M)")
    return count


def _apply(text: str) -> str:
    limit_pixels(parse_pixels(text))
    return text


MaxPixels = Annotated[
    str, typer.Option(metavar="WxH", help="Read no larger pictures; or a count: 1M.", callback=_apply)
]
VideoMaxPixels = Annotated[
    str,
    typer.Option(
        metavar="WxH", help="Read no larger pictures; or a count: 1M.", callback=_apply, rich_help_panel="Source"
    ),
]
