"""How large a source's pictures may be: asked of their headers, before memory is asked for.

One limit for the whole process, as Pillow has it: masks, guides and paintings are opened far from any command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isqrt

from streamfx.errors import StreamfxError

PIXELS = 8192 * 8192

_limit = PIXELS


def limit_pixels(count: int) -> None:
    """Let no picture that is read from now on have more than `count` pixels."""
    global _limit
    _limit = count


def decoder_options() -> dict[str, str]:
    """FFmpeg's own limit. Decoders count whole blocks, so that theirs is larger than what is allowed."""
    return {"max_pixels": str(2 * _limit + 1_000_000)}


def check_size(name: str, width: int, height: int) -> None:
    """Raise StreamfxError where a picture of the source `name` has more pixels than are allowed."""
    if width * height > _limit:
        side = isqrt(_limit)
        allowed = f"{side}x{side}" if side * side == _limit else str(_limit)
        raise StreamfxError(
            f"'{name}' has pictures of {width}x{height} pixels, but {allowed} at most are read; "
            "give --max-pixels if it is to be trusted"
        )


def check_said(name: str, messages: Iterable[str]) -> None:
    """The same, where FFmpeg refused a size by itself and says so in one of its `messages`."""
    for text in messages:
        if found := re.search(r"Picture size (\d+)x(\d+)", text):
            check_size(name, int(found[1]), int(found[2]))
