"""Pictures encoded in closed pieces, each a file of packets, and the film that is joined of them without encoding.

Each segment has an encoder of its own, so it begins with a key frame and refers to no other.
"""

from __future__ import annotations

import hashlib
import heapq
import io
import logging
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
from av import Packet, VideoFrame
from av.packet import PacketSideData, packet_sidedata_type_from_literal
from av.video.stream import VideoStream

from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader
from streamfx.media.output.encoder import Coder, Shape
from streamfx.media.output.encoder_selection import Encoding
from streamfx.media.output.formats import Format
from streamfx.media.output.muxer import Muxer
from streamfx.media.output.soundtrack import Song
from streamfx.media.output.stream_copy import PICTURES_ONLY

log = logging.getLogger("streamfx")

_MAGIC = b"streamfx packets 1\n"
_BASE = struct.Struct("<qq")  # seconds a tick
_PACKET = struct.Struct("<qqBIB")  # pts, duration, key frame, bytes, number of side data
_SIDE = struct.Struct("<BI")  # kind, bytes
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """What all segments of a film have in common."""

    encoding: Encoding
    shape: Shape
    base: Fraction  # seconds a tick, of frames that come as tensors


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed file of packets."""

    file: str
    given: int  # pictures that came
    written: int  # pictures that are in it
    first: int  # pts in ticks of the encoder, of the picture shown first
    last: int  # of the one shown last
    end: str  # second at which that one ends, as a fraction
    delay: int  # pictures that have to be decoded before the first one can be shown
    header: str  # digest of what the encoder says once for all packets
    sha256: str


class Segments:
    """Encodes pictures into segments in `folder`, in the place of a Muxer; for one thread."""

    def __init__(self, folder: Path, closed: Iterable[Segment] = (), layout: Layout | None = None) -> None:
        self.folder, self.layout = folder, layout
        self.closed = list(closed)
        self._form: Format | None = None
        self._open: _Growing | None = None

    @property
    def written(self) -> int:
        """Pictures encoded so far, in all segments."""
        return sum(each.written for each in self.closed) + (self._open.coder.written if self._open else 0)

    def begin(self, form: Format, layout: Layout) -> None:
        """Take the form of the film; before the first picture."""
        self._form, self.layout = form, layout

    def encode(self, picture: VideoFrame) -> None:
        """Encode a picture that has the encoding's pixel format and colour."""
        if self._open is None:
            assert self._form is not None
            assert self.layout is not None
            last = self.closed[-1].last if self.closed else None
            file = self.folder / f"{len(self.closed):06d}.packets"
            self._open = _Growing(file, self._form, self.layout, last)
        self._open.encode(picture)

    def cut(self) -> Segment | None:
        """Close the segment and have it on the disk; None where no picture has come since the last one."""
        if self._open is None:
            return None
        made = self._open.close()
        self._open = None
        if made is not None:
            self.closed.append(made)
        return made

    def abandon(self) -> None:
        """Remove the segment that is not closed."""
        if self._open is not None:
            self._open.abandon()
            self._open = None


class _Growing:
    """The segment that is being made."""

    def __init__(self, path: Path, form: Format, layout: Layout, last: int | None) -> None:
        self._path, self._part = path, path.with_suffix(".part")
        # of the film's own format, so that the encoder is told the same; nothing is written to it
        self._container = av.open(io.BytesIO(), "w", format=form.muxer)
        self.coder = Coder(self._container, form, layout.encoding, layout.shape, last)
        self._context = self.coder.stream.codec_context
        self._context.open()
        self._file = self._part.open("wb")
        self._sum = hashlib.sha256()
        self._pts: list[int] = []  # in the order of decoding
        self._early = 0  # packets to be decoded before the first moment, by the encoder's own account
        self._end = Fraction(0)
        base: Fraction = self._context.time_base
        self._write(_MAGIC + _BASE.pack(base.numerator, base.denominator))

    def encode(self, picture: VideoFrame) -> None:
        for packet in self.coder.encode(picture):
            self._put(packet)
        if picture.pts is not None and picture.time_base:
            self._end = (picture.pts + picture.duration) * picture.time_base

    def close(self) -> Segment | None:
        for packet in self.coder.finish():
            self._put(packet)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._container.close()
        if not self._pts:
            self._part.unlink()
            return None
        os.replace(self._part, self._path)
        return Segment(
            self._path.name,
            self.coder.given,
            self.coder.written,
            min(self._pts),
            max(self._pts),
            str(self._end),
            max(_delay(self._pts), self._early),
            digest_of(self._context.extradata or b""),
            self._sum.hexdigest(),
        )

    def abandon(self) -> None:
        with suppress(OSError):  # what cannot be written is not wanted either
            self._file.close()
        self._container.close()
        self._part.unlink(missing_ok=True)

    def _put(self, packet: Packet[VideoStream]) -> None:
        assert packet.pts is not None
        sides = [(each.data_type, bytes(each)) for each in packet.iter_sidedata()]
        data = bytes(packet)
        head = _PACKET.pack(packet.pts, packet.duration or 0, packet.is_keyframe, len(data), len(sides))
        parts = [_side_head(kind, content) + content for kind, content in sides]
        self._write(b"".join([head, *parts, data]))
        self._pts.append(packet.pts)
        if packet.dts is not None and packet.dts < self._pts[0]:  # a segment's first packet is shown first
            self._early += 1

    def _write(self, data: bytes) -> None:
        self._sum.update(data)
        self._file.write(data)


def _side_head(kind: str, content: bytes) -> bytes:
    return _SIDE.pack(len(kind), len(content)) + kind.encode()


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def can_hold_segments(form: Format) -> bool:
    """Whether a film of this format can be joined of segments."""
    return not form.one_picture and form.muxer not in PICTURES_ONLY


def join(
    target: str,
    form: Format,
    segments: Segments,
    source: Reader | None,
    song: Song | None,
    *,
    audio: bool,
    settings: str,
) -> None:
    """Write the film of all closed segments, with what is copied from the source or song, which is newly opened.

    Raises StreamfxError where the encoder is no longer the one that made them.
    """
    assert segments.layout is not None
    layout, closed = segments.layout, segments.closed
    muxer = Muxer(target, form, layout.encoding, layout.shape, source, song, audio=audio, settings=settings)
    try:
        if any(each.header != digest_of(muxer.header) for each in closed):
            raise StreamfxError(
                f"the segments in '{segments.folder}' were made by another build of {layout.encoding.encoder}; "
                "join them there, or begin anew with -y"
            )
        packets = (packet for each in closed for packet in read_packets(segments.folder / each.file))
        for packet in in_order(packets, max(each.delay for each in closed)):
            muxer.copy(packet)
        muxer.close_copied()
        muxer.say_changed(sum(each.given for each in closed), segments.written)
    except BaseException:
        muxer.abandon()
        raise


def read_packets(path: Path) -> Iterator[Packet[VideoStream]]:
    """The packets of a segment whose checksum was right, in the order of decoding, without dts."""
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise StreamfxError(f"'{path}' is no segment of this version")
        base = Fraction(*_BASE.unpack(stream.read(_BASE.size)))
        while head := stream.read(_PACKET.size):
            pts, duration, key, size, sides = _PACKET.unpack(head)
            carried = [_read_side(stream) for _ in range(sides)]
            packet = cast("Packet[VideoStream]", Packet(stream.read(size)))
            for side in carried:
                packet.set_sidedata(side)
            packet.pts, packet.duration, packet.time_base, packet.is_keyframe = pts, duration, base, bool(key)
            yield packet


def _read_side(stream: BinaryIO) -> PacketSideData:
    name, size = _SIDE.unpack(stream.read(_SIDE.size))
    kind = packet_sidedata_type_from_literal(stream.read(name).decode())  # type: ignore[arg-type]
    side = PacketSideData(kind, size)  # type: ignore[call-arg]  # its stub has no arguments
    side.update(stream.read(size))
    return side


def in_order(packets: Iterable[Packet[VideoStream]], delay: int) -> Iterator[Packet[VideoStream]]:
    """The packets with dts: the pts of all of them sorted, `delay` packets late, as x264 makes them.

    Before the first pts there are `delay` dts, as far apart as the first pts are.
    """
    waiting: list[Packet[VideoStream]] = []  # whose dts is not known
    ahead: list[int] = []  # a heap of the pts that are no dts yet
    begun = False
    for packet in packets:
        assert packet.pts is not None
        waiting.append(packet)
        heapq.heappush(ahead, packet.pts)
        if not begun and len(waiting) <= 2 * delay:
            continue
        yield from _begin(waiting, ahead, delay) if not begun else _timed(waiting, ahead)
        begun = True
    if not begun:
        yield from _begin(waiting, ahead, delay)


def _begin(waiting: list[Packet[VideoStream]], ahead: list[int], delay: int) -> Iterator[Packet[VideoStream]]:
    """The first packets: `delay` of them are decoded before anything is shown."""
    if not waiting:
        return
    first = sorted(ahead)
    span = first[min(delay, len(first) - 1)] - first[0]
    if len(first) <= delay:  # a film of a picture or two
        span = max(span, 1) * delay
    for number, packet in enumerate(waiting[:delay]):
        packet.dts = first[min(number, len(first) - 1)] - span
    yield from waiting[:delay]
    del waiting[:delay]
    yield from _timed(waiting, ahead)


def _timed(waiting: list[Packet[VideoStream]], ahead: list[int]) -> Iterator[Packet[VideoStream]]:
    for packet in waiting:
        packet.dts = heapq.heappop(ahead)
        yield packet
    waiting.clear()


def _delay(pts: list[int]) -> int:
    """How many packets a picture is decoded late at most, of pts in the order of decoding."""
    rank = {moment: number for number, moment in enumerate(sorted(pts))}
    return max((number - rank[moment] for number, moment in enumerate(pts)), default=0)


@contextmanager
def unheard() -> Iterator[None]:
    """Warnings that were given when the film was begun are not given again."""
    log.addFilter(_silent)
    try:
        yield
    finally:
        log.removeFilter(_silent)


def _silent(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING
