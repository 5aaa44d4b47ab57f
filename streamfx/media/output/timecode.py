"""SMPTE timecodes: the hour, minute, second and frame at which a recording starts."""

from __future__ import annotations

import re
from fractions import Fraction

MUXERS = frozenset(("mov", "mp4", "matroska"))  # that keep a timecode
_PATTERN = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)", re.ASCII)
_DAY = 24 * 60  # minutes


def shifted(timecode: str, start: Fraction, rate: Fraction) -> str:
    """The timecode `start` seconds later at `rate` frames per second; unchanged if it cannot be computed.

    A ';' or '.' before the frame marks drop-frame timecode (SMPTE 12M): at 29.97 and 59.94 frames per second, each
    minute begins without its first 2 or 4 numbers, except every tenth.
    """
    match = _PATTERN.fullmatch(timecode.strip())
    number = round(start * rate)
    if match is None or not number:
        return timecode
    hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
    base = round(rate)  # numbers per second
    dropped = 0 if match[4] == ":" else 2 * (base // 30)  # numbers per minute
    minutes += 60 * hours
    count = (minutes * 60 + seconds) * base + frames - dropped * (minutes - minutes // 10) + number
    if dropped:
        tens, rest = divmod(count, 600 * base - 9 * dropped)
        single = max(0, rest - dropped) // (60 * base - dropped)
        count += dropped * (9 * tens + single)
    minutes, rest = divmod(count, 60 * base)
    seconds, frames = divmod(rest, base)
    minutes %= _DAY
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{match[4]}{frames:02d}"
