"""Maximum frame size of sources, checked against file headers before memory is allocated.

The limit is process-wide, like Pillow's: masks, guides and paintings are opened far from any command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isqrt

from streamfx.errors import StreamfxError

DEFAULT_MAX_PIXELS = 8192 * 8192

_limit = DEFAULT_MAX_PIXELS


def limit_pixels(count: int) -> None:
    """Reject frames and images of more than `count` pixels from now on."""
    global _limit
    _limit = count


def pixel_limit() -> int:
    """The largest number of pixels of a frame."""
    return _limit


def decoder_options() -> dict[str, str]:
    """Return FFmpeg's option for the limit, with headroom: decoders count the padding to whole blocks."""
    return {"max_pixels": str(2 * _limit + 1_000_000)}


def check_size(name: str, width: int, height: int) -> None:
    """Raise StreamfxError if frames of the source `name` exceed the limit."""
    if width * height > _limit:
        side = isqrt(_limit)
        allowed = f"{side}x{side}" if side * side == _limit else str(_limit)
        raise StreamfxError(
            f"'{name}' is {width}x{height} pixels, but the limit is {allowed}; "
            "raise it with --max-pixels if you trust this file"
        )


def check_messages(name: str, messages: Iterable[str]) -> None:
    """Like `check_size`, for a size that FFmpeg itself rejected in one of its log `messages`."""
    for text in messages:
        if match := re.search(r"Picture size (\d+)x(\d+)", text):
            check_size(name, int(match[1]), int(match[2]))
