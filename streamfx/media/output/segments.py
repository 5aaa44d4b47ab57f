"""Segments: video encoded into separate packet files, and joined into one file without re-encoding.

Each segment has its own encoder, so it starts with a keyframe and references no other segment.
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
from streamfx.media.output.encoder import Layout, VideoEncoder
from streamfx.media.output.formats import Format
from streamfx.media.output.muxer import Muxer
from streamfx.media.output.soundtrack import Soundtrack
from streamfx.media.output.stream_copy import VIDEO_ONLY

log = logging.getLogger("streamfx")

_MAGIC = b"streamfx packets 1\n"
_BASE = struct.Struct("<qq")  # time base
_PACKET = struct.Struct("<qqBIB")  # pts, duration, keyframe, bytes, number of side data entries
_SIDE = struct.Struct("<BI")  # length of the type name, bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed file of packets."""

    file: str
    received: int  # frames
    written: int  # frames encoded
    first: int  # pts of the frame shown first, in ticks of the encoder
    last: int  # pts of the frame shown last
    end: str  # second at which the last frame ends, as a fraction
    delay: int  # frames to decode before the first one can be shown
    header: str  # SHA-256 of the encoder's global header
    sha256: str


class Segments:
    """Encodes frames into segments in `folder`, with the interface of a Muxer. Not thread-safe.

    `name` is the file of the only segment here, and `previous` the time in seconds of the frame before it.
    """

    def __init__(
        self,
        folder: Path,
        closed: Iterable[Segment] = (),
        layout: Layout | None = None,
        *,
        name: str = "",
        previous: Fraction | None = None,
    ) -> None:
        self.folder, self.layout = folder, layout
        self.closed = list(closed)
        self._name, self._previous = name, previous
        self._form: Format | None = None
        self._open: _OpenSegment | None = None

    @property
    def written(self) -> int:
        """Frames encoded so far, in all segments."""
        return sum(segment.written for segment in self.closed) + (self._open.encoder.written if self._open else 0)

    def configure(self, form: Format, layout: Layout) -> None:
        """Set the format and layout; call it before the first frame."""
        self._form, self.layout = form, layout

    def encode(self, frame: VideoFrame) -> None:
        """Encode a frame in the encoding's pixel format and color."""
        if self._open is None:
            assert self._form is not None
            assert self.layout is not None
            file = self.folder / (self._name or segment_name(len(self.closed)))
            last = self.closed[-1].last if self.closed else None
            self._open = _OpenSegment(file, self._form, self.layout, last)
            if last is None and self._previous is not None:
                self._open.encoder.follow(self._previous)
        self._open.encode(frame)

    def close_segment(self) -> Segment | None:
        """Close the open segment and flush it to disk; None if it has no frames."""
        if self._open is None:
            return None
        segment = self._open.close()
        self._open = None
        if segment is not None:
            self.closed.append(segment)
        return segment

    def abandon(self) -> None:
        """Delete the open segment."""
        if self._open is not None:
            self._open.abandon()
            self._open = None


def segment_name(number: int, token: str = "") -> str:
    """The file name of a segment; a `token` distinguishes files with the same segment."""
    return f"{number:06d}.{token}.packets" if token else f"{number:06d}.packets"


class _OpenSegment:
    """The segment that is being written."""

    def __init__(self, path: Path, form: Format, layout: Layout, last: int | None) -> None:
        self._path, self._part = path, path.with_suffix(".part")
        # the format of the final video, so that the encoder gets the same flags; nothing is written to it
        self._container = av.open(io.BytesIO(), "w", format=form.muxer)
        self.encoder = VideoEncoder(self._container, form, layout.encoding, layout.shape, last)
        self._context = self.encoder.stream.codec_context
        self._context.open()
        self._file = self._part.open("wb")
        self._sha256 = hashlib.sha256()
        self._pts: list[int] = []  # in decoding order
        self._early = 0  # packets that the encoder timed before the first pts
        self._end = Fraction(0)
        base: Fraction = self._context.time_base
        self._write(_MAGIC + _BASE.pack(base.numerator, base.denominator))

    def encode(self, frame: VideoFrame) -> None:
        for packet in self.encoder.encode(frame):
            self._write_packet(packet)
        if frame.pts is not None and frame.time_base:
            self._end = (frame.pts + frame.duration) * frame.time_base

    def close(self) -> Segment | None:
        for packet in self.encoder.finish():
            self._write_packet(packet)
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
            self.encoder.received,
            self.encoder.written,
            min(self._pts),
            max(self._pts),
            str(self._end),
            max(_delay(self._pts), self._early),
            digest_of(self._context.extradata or b""),
            self._sha256.hexdigest(),
        )

    def abandon(self) -> None:
        with suppress(OSError):  # the file is deleted anyway
            self._file.close()
        self._container.close()
        self._part.unlink(missing_ok=True)

    def _write_packet(self, packet: Packet[VideoStream]) -> None:
        assert packet.pts is not None
        sides = [(side.data_type, bytes(side)) for side in packet.iter_sidedata()]
        data = bytes(packet)
        head = _PACKET.pack(packet.pts, packet.duration or 0, packet.is_keyframe, len(data), len(sides))
        parts = [_side_head(kind, content) + content for kind, content in sides]
        self._write(b"".join([head, *parts, data]))
        self._pts.append(packet.pts)
        if packet.dts is not None and packet.dts < self._pts[0]:  # the first packet of a segment is the first one shown
            self._early += 1

    def _write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._file.write(data)


def _side_head(kind: str, content: bytes) -> bytes:
    return _SIDE.pack(len(kind), len(content)) + kind.encode()


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def can_hold_segments(form: Format) -> bool:
    """Whether a video of this format can be joined from segments."""
    return not form.single_frame and form.muxer not in VIDEO_ONLY


def join(
    target: str,
    form: Format,
    segments: Segments,
    source: Reader | None,
    soundtrack: Soundtrack | None,
    *,
    audio: bool,
    comment: str,
) -> None:
    """Join all closed segments, with the streams copied from the newly opened source or soundtrack.

    Raises StreamfxError if another build of the encoder wrote the segments.
    """
    assert segments.layout is not None
    layout, closed = segments.layout, segments.closed
    with warnings_muted():
        muxer = Muxer(target, form, layout, source, soundtrack, audio=audio, comment=comment)
    try:
        if any(segment.header != digest_of(muxer.header) for segment in closed):
            raise StreamfxError(
                f"the segments in '{segments.folder}' were written by another build of {layout.encoding.encoder}; "
                "join them with that build, or start over with -y"
            )
        packets = (packet for segment in closed for packet in read_packets(segments.folder / segment.file))
        for packet in with_dts(packets, max(segment.delay for segment in closed)):
            muxer.copy(packet)
        muxer.close_copied()
        muxer.warn_if_count_changed(sum(segment.received for segment in closed), segments.written)
    except BaseException:
        muxer.abandon()
        raise


def read_packets(path: Path) -> Iterator[Packet[VideoStream]]:
    """The packets of a segment in decoding order, without dts. The caller has verified the checksum."""
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise StreamfxError(f"'{path}' is not a segment of this version; start over with -y")
        base = Fraction(*_BASE.unpack(stream.read(_BASE.size)))
        while head := stream.read(_PACKET.size):
            pts, duration, key, size, sides = _PACKET.unpack(head)
            side_data = [_read_side(stream) for _ in range(sides)]
            packet = cast("Packet[VideoStream]", Packet(stream.read(size)))
            for side in side_data:
                packet.set_sidedata(side)
            packet.pts, packet.duration, packet.time_base, packet.is_keyframe = pts, duration, base, bool(key)
            yield packet


def _read_side(stream: BinaryIO) -> PacketSideData:
    name, size = _SIDE.unpack(stream.read(_SIDE.size))
    kind = packet_sidedata_type_from_literal(stream.read(name).decode())  # type: ignore[arg-type]
    side = PacketSideData(kind, size)  # type: ignore[call-arg]  # its stub has no arguments
    side.update(stream.read(size))
    return side


def with_dts(packets: Iterable[Packet[VideoStream]], delay: int) -> Iterator[Packet[VideoStream]]:
    """Sets the dts of packets in decoding order, as x264 does: the sorted pts, `delay` packets late.

    The first `delay` dts lie before the first pts, spaced like the first pts.
    """
    pending: list[Packet[VideoStream]] = []  # without dts
    unused: list[int] = []  # heap of the pts not yet used as dts
    started = False
    for packet in packets:
        assert packet.pts is not None
        pending.append(packet)
        heapq.heappush(unused, packet.pts)
        if not started and len(pending) <= 2 * delay:
            continue
        yield from _start(pending, unused, delay) if not started else _drain(pending, unused)
        started = True
    if not started:
        yield from _start(pending, unused, delay)


def _start(pending: list[Packet[VideoStream]], unused: list[int], delay: int) -> Iterator[Packet[VideoStream]]:
    """The first packets; `delay` of them are decoded before the first frame is shown."""
    if not pending:
        return
    first = sorted(unused)
    shift = first[min(delay, len(first) - 1)] - first[0]
    if len(first) <= delay:  # a video of one or two frames
        shift = max(shift, 1) * delay
    for number, packet in enumerate(pending[:delay]):
        packet.dts = first[min(number, len(first) - 1)] - shift
    yield from pending[:delay]
    del pending[:delay]
    yield from _drain(pending, unused)


def _drain(pending: list[Packet[VideoStream]], unused: list[int]) -> Iterator[Packet[VideoStream]]:
    for packet in pending:
        packet.dts = heapq.heappop(unused)
        yield packet
    pending.clear()


def _delay(pts: list[int]) -> int:
    """The largest number of packets by which decoding lags behind display, from pts in decoding order."""
    rank = {time: number for number, time in enumerate(sorted(pts))}
    return max((number - rank[time] for number, time in enumerate(pts)), default=0)


@contextmanager
def warnings_muted() -> Iterator[None]:
    """Suppress warnings, which were already logged when the output was first opened."""
    log.addFilter(_is_error)
    try:
        yield
    finally:
        log.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING
