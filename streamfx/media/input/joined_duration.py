"""The duration of MPEG-TS and MPEG-PS files whose clock starts over or jumps, where FFmpeg compares only both ends."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import BinaryIO, TypeAlias

from streamfx.media.input.discontinuities import MAX_JUMP

PLACES = 37  # where the clock is read at first; a prime number, as joined parts may have equal lengths
_WINDOW, _STEP = 1 << 20, 1 << 16  # bytes: in which a clock reference must follow, and which are read at a time
_TICK = Fraction(1, 90000)  # seconds
_TS_SYNC = re.compile(rb"G(?=.{187}G.{187}G|.{191}G.{191}G|.{203}G.{203}G)", re.DOTALL)  # 188, 192 or 204 bytes apart
_PS_PACK = re.compile(rb"\x00\x00\x01\xba(?=(.{5}))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Reference:
    """A clock reference in a file."""

    offset: int  # bytes
    ticks: int
    clock: int  # number, as a file may have several programs


_Find: TypeAlias = "Callable[[bytes], Iterator[_Reference]]"  # the references in some bytes


def joined_duration(path: Path, format_name: str) -> Fraction | None:
    """Seconds of a file without the jumps of its clock; None if there are none.

    `format_name` is that of FFmpeg's demuxer; only "mpegts" and "mpeg" have clocks.
    """
    find = {"mpegts": _find_pcr, "mpeg": _find_scr}.get(format_name)
    if find is None or not path.is_file():
        return None
    with path.open("rb") as file:
        clock = _Clock(file, find)
        return clock.total * _TICK if clock.jumps else None


class _Clock:
    """Adds up the time between references of the first clock of a file; between most of them, nothing is read."""

    def __init__(self, file: BinaryIO, find: _Find) -> None:
        self._file, self._find = file, find
        self._clock: int | None = None
        self.jumps = 0
        size = os.fstat(file.fileno()).st_size
        found = (self._read(number * size // PLACES, size) for number in range(PLACES))
        places = list({place.offset: place for place in found if place}.values())
        pairs = list(pairwise(places))
        usual = median([after.ticks - before.ticks for before, after in pairs] or [0])
        self._longest = max(round(MAX_JUMP / _TICK), round(4 * usual))  # ticks between two places
        self.total = sum(self._ticks_between(before, after) for before, after in pairs)
        if places:
            self.total += self._rest(places[-1], size)

    def _ticks_between(self, before: _Reference, after: _Reference) -> int:
        """Ticks between two places without the jumps, which are found by bisection."""
        ticks = after.ticks - before.ticks
        if 0 <= ticks <= self._longest:
            return ticks
        start, end = before.offset + 1, after.offset
        while start < end:
            middle = self._read((start + end) // 2, after.offset)
            if middle is not None:
                return self._ticks_between(before, middle) + self._ticks_between(middle, after)
            end = (start + end) // 2
        self.jumps += 1
        return 0

    def _rest(self, last: _Reference, size: int) -> int:
        """Ticks from the last place to the end of the file."""
        total, offset = 0, last.offset + 1
        while (place := self._read(max(offset, size - _STEP), size)) is not None and place.offset > last.offset:
            total += self._ticks_between(last, place)
            last, offset = place, place.offset + 1
        return total

    def _read(self, offset: int, end: int) -> _Reference | None:
        """The first clock reference at or after an offset, and before `end`."""
        self._file.seek(offset)
        data = b""
        while len(data) < min(_WINDOW, end - offset):
            more = self._file.read(min(_STEP, end - offset - len(data)))
            data += more
            for found in self._find(data):
                if self._clock in (None, found.clock):
                    self._clock = found.clock
                    return replace(found, offset=offset + found.offset)
            if not more:
                break
        return None


def _find_pcr(data: bytes) -> Iterator[_Reference]:
    """Yield the program clock references of MPEG-TS (ISO/IEC 13818-1, 2.4.3.5)."""
    for match in _TS_SYNC.finditer(data):
        at = match.start()
        if data[at + 3] & 0x20 and data[at + 4] >= 7 and data[at + 5] & 0x10:
            ticks = int.from_bytes(data[at + 6 : at + 11], "big") >> 7
            yield _Reference(at, ticks, int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF)


def _find_scr(data: bytes) -> Iterator[_Reference]:
    """Yield the system clock references of MPEG-PS: of MPEG-2 (ISO/IEC 13818-1, 2.5.3.3) or MPEG-1."""
    for match in _PS_PACK.finditer(data):
        bits = int.from_bytes(match[1], "big")
        if bits >> 38 == 1:
            yield _Reference(
                match.start(), (bits >> 35 & 7) << 30 | (bits >> 19 & 0x7FFF) << 15 | bits >> 3 & 0x7FFF, 0
            )
        elif bits >> 36 == 2:
            yield _Reference(
                match.start(), (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF, 0
            )
