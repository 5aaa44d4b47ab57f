"""A song beside pictures that come from elsewhere: its packets, as a writer carries them over."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import av.error
from av import Packet

from streamfx.media.input.audio_decoder import sound_stream
from streamfx.media.input.open import open_input

if TYPE_CHECKING:
    from types import TracebackType

    from av.stream import Stream

MICROSECOND = Fraction(1, 1_000_000)


class Song:
    """The default sound stream of a file, from `start` on, cut `length` seconds later. Raises StreamfxError for none.

    It is read as far as `read_until` says; what was read lies ready for `take_packets`. For one thread.
    """

    def __init__(self, source: str | Path, length: Fraction | None = None, start: Fraction = Fraction(0)) -> None:
        self.name = str(source)
        self.length, self.start = length, start
        self.covers: dict[int, bytes] = {}  # cover art would be a second picture
        self.input = open_input(self.name, None, None, "a song or a film with sound")
        self._stream = sound_stream(self.name, self.input)
        self.offset = (self.input.start_time or 0) * MICROSECOND + start  # seconds on its own clock where it begins
        self._packets = cast("Iterator[Packet[Stream]]", self.input.demux(self._stream))
        self._ready: deque[Packet[Stream]] = deque()
        self._reached = Fraction(0)  # seconds
        self._over = False
        self._least = -(1 << 62)  # dts that may follow, in ticks

    @property
    def streams(self) -> list[Stream]:
        """What is carried over."""
        return [self._stream]

    def read_until(self, moment: Fraction | None) -> None:
        """Read what sounds up to `moment`, in seconds; None: to the end, or to the cut."""
        while not self._over and (moment is None or self._reached < moment):
            try:
                packet = next(self._packets)
            except (StopIteration, av.error.FFmpegError):  # of a damaged song, what can be read
                self._over = True
                return
            if packet.size == 0 or packet.pts is None or packet.time_base is None:
                continue
            shift = round(self.offset / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            if packet.dts < self._least:  # no muxer takes what goes back in time
                continue
            self._least = packet.dts + 1
            self._reached = packet.pts * packet.time_base
            if self.start and self._reached < 0:  # before it; what a song has before its own start primes its decoder
                continue
            if self.length is not None and self._reached >= self.length:
                self._over = True
                return
            self._ready.append(packet)

    def take_packets(self) -> Iterator[Packet[Stream]]:
        """What was read and not yet taken, in order; times count from the song's beginning."""
        while self._ready:
            yield self._ready.popleft()

    def again(self, length: Fraction | None = None) -> Song:
        """The same song from its beginning, cut at `length` if that is given."""
        return Song(self.name, self.length if length is None else length, self.start)

    def close(self) -> None:
        self.input.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
