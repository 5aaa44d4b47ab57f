"""An audio file as the soundtrack of generated video; its packets are copied."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av.error
from av import Packet

from streamfx.media.input.audio_decoder import default_audio_stream
from streamfx.media.input.discontinuities import Discontinuities
from streamfx.media.input.open import demux, open_input

if TYPE_CHECKING:
    from types import TracebackType

    from av.stream import Stream

log = logging.getLogger("streamfx")

MICROSECOND = Fraction(1, 1_000_000)


class Soundtrack:
    """The default audio stream of a file, from `start` for `length` seconds. Raises StreamfxError if there is none.

    `read_until` reads packets, `take_packets` returns them. Not thread-safe.
    """

    def __init__(self, source: str | Path, length: Fraction | None = None, start: Fraction = Fraction(0)) -> None:
        self.name = str(source)
        self.length, self.start = length, start
        self.covers: dict[int, bytes] = {}  # cover art is not copied
        self.input = open_input(self.name, None, None, "a file with audio")
        self._stream, order = default_audio_stream(self.name, self.input)
        self.channel_orders = {self._stream.index: order}
        self.offset = (self.input.start_time or 0) * MICROSECOND + start  # time of `start` in the file, in seconds
        self._packets = demux(self.input, self._stream)
        self._ready: deque[Packet[Stream]] = deque()
        self._reached = Fraction(0)  # seconds
        self._ended = False
        self._discontinuities = Discontinuities(self.input)

    @property
    def streams(self) -> list[Stream]:
        """The streams that are copied."""
        return [self._stream]

    def read_until(self, time: Fraction | None) -> None:
        """Read packets up to `time` in seconds; None: up to the end or `length`."""
        while not self._ended and (time is None or self._reached < time):
            try:
                packet = next(self._packets)
            except StopIteration:
                self._ended = True
                return
            except av.error.FFmpegError:
                log.warning("'%s' is damaged at %.2f s; the audio before is used", self.name, self._reached)
                self._ended = True
                return
            self._discontinuities.correct(packet)
            packet.pts = packet.dts if packet.pts is None else packet.pts
            if packet.size == 0 or packet.pts is None or packet.time_base is None:
                continue
            shift = round(self.offset / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            self._reached = packet.pts * packet.time_base
            if self.start and self._reached < 0:  # with no `start`, packets before 0 prime the decoder
                continue
            if self.length is not None and self._reached >= self.length:
                self._ended = True
                return
            self._ready.append(packet)

    def take_packets(self) -> Iterator[Packet[Stream]]:
        """The packets read since the last call, in order; their times count from `start`."""
        while self._ready:
            yield self._ready.popleft()

    def reopen(self, length: Fraction | None = None) -> Soundtrack:
        """The same soundtrack, opened again at its start and cut to `length` if given."""
        return Soundtrack(self.name, self.length if length is None else length, self.start)

    def close(self) -> None:
        self.input.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
