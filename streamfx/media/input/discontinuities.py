"""Timestamps that start over or jump are shifted so that they continue, as the ffmpeg command does."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av import Packet
from av.container import InputContainer
from av.video.stream import VideoStream

TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT
MAX_JUMP = Fraction(10)  # seconds, ffmpeg's -dts_delta_threshold
MAX_STEP_BACK = Fraction(1, 10)  # seconds


@dataclass(slots=True)
class _Position:
    """How far a stream has been read, in corrected seconds."""

    last: Fraction  # dts of the last packet
    next: Fraction  # expected dts of the next packet


class Discontinuities:
    """Corrects the packets of a container in the order in which they are read.

    Formats whose timestamps may be discontinuous (MPEG-TS, MPEG-PS, HLS, Ogg) get one offset for all streams, which
    changes where the timestamps of an audio or video stream jump. Other formats are not changed.
    """

    def __init__(self, container: InputContainer) -> None:
        self.possible = bool(container.format.flags & TS_DISCONT)
        self.offset = Fraction(0)  # seconds, added to the timestamps of all streams
        self.count = 0  # discontinuities found
        self._positions: dict[int, _Position] = {}
        self._latest: Fraction | None = None  # dts of the last packet of any stream

    def reset(self) -> None:
        """Forget the positions, after seeking."""
        self._positions.clear()
        self._latest = None

    def correct(self, packet: Packet[Any]) -> None:
        """Shift the timestamps of a packet; one without timestamps gets those expected in its stream."""
        base, stream = packet.stream.time_base, packet.stream
        if base is None or packet.size == 0:
            return
        if packet.pts is None and packet.dts is None:
            if stream.type == "audio" and stream.index in self._positions:
                packet.pts = packet.dts = round(self._positions[stream.index].next / base)
        elif self.offset:
            _shift(packet, self.offset, base)
        if packet.dts is None or stream.type not in ("audio", "video"):
            return
        if self.possible and (jump := self._jump(packet.dts * base, stream.index)):
            self.offset -= jump
            self.count += 1
            _shift(packet, -jump, base)
        time = packet.dts * base
        self._positions[stream.index] = _Position(time, time + _duration(packet, base))
        self._latest = time

    def _jump(self, time: Fraction, index: int) -> Fraction:
        """Seconds by which a dts is off; 0 if it continues its stream."""
        position = self._positions.get(index)
        if position is None:
            jump = time - self._latest if self._latest is not None else Fraction(0)
            return jump if abs(jump) > MAX_JUMP else Fraction(0)
        jump = time - position.next
        return jump if abs(jump) > MAX_JUMP or time + MAX_STEP_BACK < position.last else Fraction(0)


def _shift(packet: Packet[Any], seconds: Fraction, base: Fraction) -> None:
    ticks = round(seconds / base)
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks


def _duration(packet: Packet[Any], base: Fraction) -> Fraction:
    """Seconds until the next packet of the stream."""
    if packet.duration:
        return packet.duration * base
    stream = packet.stream
    return 1 / stream.guessed_rate if isinstance(stream, VideoStream) and stream.guessed_rate else Fraction(0)
