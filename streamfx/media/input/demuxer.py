"""A file, pipe, network stream or camera as the decoder gives it: pictures, and the packets of everything else."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import cached_property

import av.error
from av import Packet, VideoFrame
from av.codec.context import CodecContext
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import hush
from streamfx.media.input.open import open_input, picture_stream
from streamfx.media.limits import check_size, decoder_options
from streamfx.media.probe import decoders

log = logging.getLogger("streamfx")

# formats whose header says how long they are, so that an early end can be told from the real one
DECLARES_DURATION = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "asf", "mxf"))
MICROSECOND = Fraction(1, 1_000_000)
MOST_KEPT = 1000  # packets; where the first picture lies further on, they are let go
SLACK = Fraction(1, 2)  # seconds that a source may end before its declared duration and still be whole


class Container:
    """An opened source. `pictures()` decodes the picture stream; packets of the other streams gather in `packets`.

    All times handed out are shifted by one offset, so that the film starts where the source, or `start`, begins.
    """

    def __init__(
        self, name: str, *, input_format: str | None, rate: Fraction | None, start: Fraction, end: Fraction | None
    ) -> None:
        self.name = name
        self.input = open_input(name, input_format, rate)
        self.stream = picture_stream(name, self.input)
        self.stream.thread_type = "AUTO"
        apart = _alpha_decoder(self.stream)
        self._decode = self._usual = apart or self.stream.decode
        self._fed: list[Packet[Stream]] | None = [] if apart is None else None  # so far, for `pictures_again`
        self._again: deque[Packet[Stream]] = deque()
        self._read = False  # to its end
        self.packets: deque[Packet[Stream]] = deque()  # of the other streams, times shifted; in file order
        self._aside: dict[int, int] = {}  # index of a stream -> the least dts that may follow
        self.gathers = True  # else packets of the other streams are dropped
        self.covers: dict[int, bytes] = {}  # index of a stream of cover art -> its picture as a file
        self.broken: Fraction | None = None  # seconds from the start of the source where it broke
        self._first = (self.input.start_time or 0) * MICROSECOND  # of any stream, on the source's own clock
        self.offset = self._first + start
        self._end = None if end is None else self._first + end
        self.tick = self.stream.time_base or MICROSECOND  # seconds
        self._guessed = self.stream.guessed_rate or self.stream.average_rate
        self._last: int | None = None  # pts decoded last, in ticks
        self._zero: int | None = None  # dts of the first picture of an avi, which orders by dts alone
        self._seen = self._first  # the latest moment that any packet reached
        # formats whose pts are missing or wrong: their times are made from dts or the rate
        self._counts = self.input.format.name in ("avi", "h264", "hevc", "m4v", "mjpeg", "rawvideo", "obu")
        self._sought = not self._counts and apart is None
        if rate is not None and self._guessed != rate:
            log.warning("'%s' has its own times: --input-fps %s changes nothing", name, rate)
        if start and not self._counts:
            self._seek()

    @property
    def rate(self) -> Fraction | None:
        """Frames a second, on average."""
        return self._guessed if self._counts else self.stream.average_rate or self._guessed

    @property
    def constant(self) -> bool:
        """Whether every picture seems to last as long as the others."""
        return self._counts or self.stream.average_rate == self.stream.guessed_rate

    @property
    def length(self) -> Fraction | None:
        """Seconds from the offset to where the user cuts; None where that is the end."""
        return None if self._end is None else self._end - self.offset

    @property
    def duration(self) -> Fraction | None:
        """Seconds from the offset to the declared end; None where the source does not say."""
        own = self.stream.duration
        if own is not None and self.stream.time_base is not None:
            whole: Fraction | None = own * self.tick
        elif self.input.duration is not None:
            whole = self.input.duration * MICROSECOND
        else:
            whole = None
        if self._end is not None:
            asked = self._end - self._first
            whole = asked if whole is None else min(whole, asked)
        return None if whole is None else max(whole - (self.offset - self._first), Fraction(0))

    def pictures(self) -> Generator[VideoFrame, None, None]:
        """Decoded pictures in order, with pts in ticks of the stream's time base, shifted by the offset."""
        shift = round(self.offset / self.tick)
        stop = None if self._end is None else round(self._end / self.tick)
        for moment, picture in self._lasting():
            if stop is not None and moment >= stop:
                break
            if moment + picture.duration <= shift:
                continue
            picture.pts = max(0, moment - shift)
            picture.time_base = self.tick
            yield picture
        self._finish()

    @property
    def plain(self) -> bool:
        """Whether pictures could come of another decoder: what was decoded is at hand, and no alpha lies beside it."""
        return self._fed is not None

    def pictures_again(self, decode: Callable[[Packet[Stream]], list[VideoFrame]] | None) -> Generator[VideoFrame]:
        """`pictures` from the first one on, by another decoder, or by FFmpeg's own again."""
        assert self._fed is not None
        if decode is None:
            self.stream.codec_context.flush_buffers()
        self._decode = decode or self._usual
        self._again.extendleft(reversed(self._fed))
        self._fed.clear()
        self._last = self._zero = None
        return self.pictures()

    def forget(self) -> None:
        """Pictures will not be asked for again."""
        self._fed = None

    def drain(self) -> None:
        """Read on to the end, or to where the user cuts, without decoding: for the packets of other streams."""
        if not self.gathers:
            return
        if self._end is not None:
            self._finish()
            return
        for _ in self._demuxed():
            pass

    def read_until(self, moment: Fraction | None) -> None:
        """Read on for the packets of other streams up to `moment`, in seconds; None: to the end, or to the cut."""
        if moment is None:
            self.drain()
            return
        while self._seen - self.offset <= moment and next(self._passing, None) is not None:
            pass

    @cached_property
    def _passing(self) -> Iterator[Packet[Stream]]:
        return self._demuxed()

    def go_to(self, moment: Fraction) -> bool:
        """Have `pictures()`, begun anew, start at a key frame before `moment`, in seconds; whether that can be."""
        if not self._sought:
            return False
        self._last = None
        for earlier in (0, 10):
            target = self.offset + moment - earlier
            try:
                self.input.seek(int(max(target, self._first) / MICROSECOND))
                first = next(self.input.decode(self.stream), None)
                self.input.seek(int(max(target, self._first) / MICROSECOND))
            except av.error.FFmpegError:
                return False
            if first is not None and first.pts is not None and first.pts * self.tick <= self.offset + moment:
                return True
        return False

    def close(self) -> None:
        hush()
        self.input.close()

    def _lasting(self) -> Iterator[tuple[int, VideoFrame]]:
        """Moment and picture; each lasts until the next one, the last to the end: packets tell it in decoding order."""
        held: tuple[int, VideoFrame] | None = None
        for picture in self._decoded():
            if self._counts or not picture.duration:
                picture.duration = max(1, round(1 / (self._guessed or 25) / self.tick))
            moment = self._last = self._timestamp(picture)
            if held is not None:
                held[1].duration = moment - held[0] if moment > held[0] else held[1].duration
                yield held
            held = moment, picture
        if held is not None:
            left = (self.stream.start_time or 0) + (self.stream.duration or 0) - held[0]
            if left > 0 and self.input.format.name.startswith("mov"):
                held[1].duration = left
            yield held

    def _timestamp(self, picture: VideoFrame) -> int:
        """The moment of a picture; made from the rate where the container has none that can be believed."""
        if not self._counts and picture.pts is not None:
            return picture.pts
        if self._counts and self.input.format.name == "avi" and picture.dts is not None:
            self._zero = picture.dts if self._zero is None else self._zero
            return max(picture.dts - self._zero, 0 if self._last is None else self._last + 1)
        return 0 if self._last is None else self._last + picture.duration

    def _decoded(self) -> Iterator[VideoFrame]:
        """Decoded pictures; an error in the data marks where the source broke, and decoding goes on behind it."""
        for packet in self._packets():
            if packet.stream is not self.stream or (packet.size == 0 and packet.pts is not None):
                continue  # an empty packet inside the film says that the last picture stays; the one at the end, flush
            if self._fed is not None:
                self._fed.append(packet)
                if len(self._fed) > MOST_KEPT and self._decode == self._usual:
                    self.forget()
            try:
                for picture in self._decode(packet):
                    check_size(self.name, picture.width, picture.height)
                    yield picture
            except av.error.FFmpegError:
                if self._last is not None:
                    self._break(self._last * self.tick)

    def _packets(self) -> Iterator[Packet[Stream]]:
        """Those to be decoded again, and then those that were never read."""
        while self._again:
            yield self._again.popleft()
        if not self._read:
            yield from self._demuxed()

    def _demuxed(self) -> Iterator[Packet[Stream]]:
        """All packets in file order; those of other streams are put aside with their times shifted."""
        packets = self.input.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self._read = True
                self._check_end()
                return
            except av.error.FFmpegError as error:
                if self._last is None:
                    raise StreamfxError(self._why_unplayable(error)) from error
                self._break(self._seen)
                return
            self._watch(packet)
            if packet.stream is not self.stream:
                self._put_aside(packet)
            yield packet

    def _watch(self, packet: Packet[Stream]) -> None:
        """Keep account of how far the source has been read, and of packets that are marked as damaged."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or packet.stream.time_base is None:
            return
        length = packet.duration or 0
        if packet.stream is self.stream and not length and self._guessed:
            length = round(1 / self._guessed / packet.stream.time_base)
        self._seen = max(self._seen, (time + length) * packet.stream.time_base)
        if packet.is_corrupt:
            self._break(time * packet.stream.time_base)

    def _put_aside(self, packet: Packet[Stream]) -> None:
        if packet.stream.disposition & Disposition.attached_pic:
            self.covers.setdefault(packet.stream.index, bytes(packet))
            return
        if not self.gathers or packet.size == 0 or packet.pts is None or packet.stream.time_base is None:
            return
        base = packet.stream.time_base
        moment = packet.pts * base
        if (self._end is not None and moment >= self._end) or (self.offset > self._first and moment < self.offset):
            return
        shift = round(self.offset / base)
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        if packet.dts < self._aside.get(packet.stream.index, packet.dts):  # no muxer takes what goes back in time
            self._break(moment)
            return
        self._aside[packet.stream.index] = packet.dts + (packet.stream.type == "audio")
        self.packets.append(packet)

    def _finish(self) -> None:
        """Read on where the picture was cut at `end`, until the sound has reached it too."""
        waiting = {s.index for s in self.input.streams.audio}
        if self._end is None or not waiting:
            return
        for packet in self._demuxed():
            if packet.pts is not None and packet.stream.time_base and packet.pts * packet.stream.time_base >= self._end:
                waiting.discard(packet.stream.index)
            if not waiting:
                return

    def _check_end(self) -> None:
        declared = self.input.duration
        if declared is None or self.input.format.name not in DECLARES_DURATION:
            return
        if self._first + declared * MICROSECOND - self._seen > SLACK:
            self._break(self._seen)

    def _break(self, moment: Fraction) -> None:
        if self.broken is None:
            self.broken = moment - self._first

    def _why_unplayable(self, error: av.error.FFmpegError) -> str:
        if self.name == "-" and self.input.format.name.startswith("mov"):
            return (
                "stdin: this mp4 has its index at its end, which a pipe cannot reach; "
                "give the file's name, or make it with ffmpeg's -movflags +faststart"
            )
        return f"cannot read '{self.name}': {error.strerror}"

    def _seek(self) -> None:
        """Go to a key frame before the start, where the source can; else all before it is decoded and dropped.

        Where a format has no index, FFmpeg may land behind the key frame, so what comes first there is looked at.
        """
        for target in (self.offset, self.offset - 10, min(self._first, Fraction(0))):
            try:
                self.input.seek(int(target / MICROSECOND))
                first = next(self.input.decode(self.stream), None)
                self.input.seek(int(target / MICROSECOND))
            except av.error.FFmpegError:
                log.info("'%s' cannot be searched; reading it from its start", self.name)
                return
            if first is not None and first.pts is not None and first.pts * self.tick <= self.offset:
                return


def _alpha_decoder(stream: VideoStream) -> Callable[[Packet[Stream]], list[VideoFrame]] | None:
    """Decoding that keeps the alpha of WebM, a second coded picture beside each, which FFmpeg's own decoder drops."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name, "")
    if stream.metadata.get("alpha_mode") != "1" or name not in decoders():
        return None
    context = CodecContext.create(name, "r")
    assert isinstance(context, VideoCodecContext)
    context.options = decoder_options()
    return context.decode
