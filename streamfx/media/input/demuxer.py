"""Demux a file, pipe, network stream or camera: decoded video frames, and the packets of all other streams."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av.error
from av import Packet, VideoFrame
from av.stream import Disposition, Stream

from streamfx.errors import StreamfxError
from streamfx.media.ffmpeg_log import mute_ffmpeg
from streamfx.media.input.alpha import AlphaMerger, alpha_stream, webm_alpha_decoder
from streamfx.media.input.channel_layout import settle_layout
from streamfx.media.input.damage import MICROSECOND, Damage
from streamfx.media.input.discontinuities import Discontinuities
from streamfx.media.input.joined_duration import joined_duration
from streamfx.media.input.open import can_seek, default_video_stream, demux, is_live, open_input
from streamfx.media.limits import check_size
from streamfx.media.probe import plausible
from streamfx.media.threads import codec_threads

log = logging.getLogger("streamfx")

MAX_FED_PACKETS = 1000  # packets kept for `restart`; it is impossible if the first frame comes later


class Demuxer:
    """An opened source. `video_frames()` decodes the video stream; packets of the other streams collect in `packets`.

    One offset is subtracted from all times, so that time 0 is the start of the source, or `start`.
    """

    def __init__(
        self, name: str, *, input_format: str | None, rate: Fraction | None, start: Fraction, end: Fraction | None
    ) -> None:
        self.name = name
        self.input = open_input(name, input_format, rate)
        self.stream = default_video_stream(name, self.input)
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = codec_threads()
        alpha_decode, self._decoded = webm_alpha_decoder(self.stream), [self.stream]
        if alpha := alpha_stream(self.input, self.stream):
            merger = AlphaMerger(self.stream, alpha)
            alpha_decode, self._decoded = merger.decode, list(merger.streams)
        self._decode = self._default_decode = alpha_decode or self.stream.decode
        self._fed_packets: list[Packet[Stream]] | None = [] if alpha_decode is None else None  # for `restart`
        self._replay: deque[Packet[Stream]] = deque()  # packets to decode again
        self._at_end = False
        self.packets: deque[Packet[Stream]] = deque()  # of the other streams, in file order, times shifted
        self.collects_packets = True  # False drops the packets of the other streams
        self.covers: dict[int, bytes] = {}  # stream index of cover art -> image file
        self.channel_orders = {stream.index: settle_layout(stream) for stream in self.input.streams.audio}
        self._discontinuities = Discontinuities(self.input)
        self.warns_of_jumps = True
        self._open_options = input_format, rate
        self._source_start = (self.input.start_time or 0) * MICROSECOND  # on its own clock
        self._damage = Damage(self._source_start)
        self.offset = self._source_start + start
        self._end = None if end is None else self._source_start + end
        self.tick = self.stream.time_base or MICROSECOND  # seconds
        self._average_rate = plausible(self.stream.average_rate)
        self._guessed_rate = plausible(self.stream.guessed_rate) or self._average_rate
        self._last_pts: int | None = None  # pts of the last decoded frame, in ticks
        self._first_dts: int | None = None  # dts of the first frame of an AVI, which has no pts
        self._latest = self._source_start  # end of the packets read so far
        # formats with missing or wrong pts: times come from dts or the frame rate
        self._unreliable_pts = self.input.format.name in ("avi", "h264", "hevc", "m4v", "mjpeg", "rawvideo", "obu")
        self._seekable = can_seek(name) and not self._unreliable_pts and alpha_decode is None
        if rate is not None and self._guessed_rate != rate:
            log.warning("'%s' has its own timestamps; ignoring --input-fps %s", name, rate)
        if start and not self._unreliable_pts and len(self._decoded) == 1:
            self._seek()

    @property
    def damaged_at(self) -> Fraction | None:
        """Seconds from the start of the source at which the data is damaged; None if it is intact so far."""
        return self._damage.at

    @damaged_at.setter
    def damaged_at(self, time: Fraction | None) -> None:
        self._damage.at = time

    @property
    def rate(self) -> Fraction | None:
        """Average frames per second; None if unknown."""
        return self._guessed_rate if self._unreliable_pts else self._average_rate or self._guessed_rate

    @property
    def constant_frame_rate(self) -> bool:
        """Whether all frames appear to have the same duration."""
        return self._unreliable_pts or self.rate == self._guessed_rate

    @property
    def length(self) -> Fraction | None:
        """Seconds from the offset to the requested end; None without one."""
        return None if self._end is None else self._end - self.offset

    @property
    def duration(self) -> Fraction | None:
        """Seconds from the offset to the declared or requested end; None if unknown."""
        ticks = self.stream.duration
        if self._joined_duration is not None:
            total: Fraction | None = self._joined_duration
        elif ticks is not None and self.stream.time_base is not None:
            total = ticks * self.tick
        elif self.input.duration is not None:
            total = self.input.duration * MICROSECOND
        else:
            total = None
        if self._end is not None:
            requested = self._end - self._source_start
            total = requested if total is None else min(total, requested)
        return None if total is None else max(total - (self.offset - self._source_start), Fraction(0))

    def video_frames(self) -> Generator[VideoFrame, None, None]:
        """Yield decoded frames in order, with pts in ticks of the stream's time base, shifted by the offset."""
        shift = round(self.offset / self.tick)
        stop = None if self._end is None else round(self._end / self.tick)
        for pts, frame in self._timed():
            if stop is not None and pts >= stop:
                break
            if pts + frame.duration <= shift:
                continue
            frame.pts = max(0, pts - shift)
            frame.time_base = self.tick
            yield frame
        self._read_audio_to_end()

    @property
    def can_restart(self) -> bool:
        """Whether `restart` is possible: all decoded packets are kept, and there is no separately coded alpha."""
        return self._fed_packets is not None

    def restart(self, decode: Callable[[Packet[Stream]], list[VideoFrame]] | None) -> Generator[VideoFrame]:
        """Return `video_frames()` from the first frame, decoded by `decode`, or by FFmpeg's own decoder if None."""
        assert self._fed_packets is not None
        if decode is None:
            self.stream.codec_context.flush_buffers()
        self._decode = decode or self._default_decode
        self._replay.extendleft(reversed(self._fed_packets))
        self._fed_packets.clear()
        self._last_pts = self._first_dts = None
        return self.video_frames()

    def disable_restart(self) -> None:
        """Drop the packets kept for `restart`."""
        self._fed_packets = None

    def read_to_end(self) -> None:
        """Read to the end, or the requested end, without decoding, to collect the packets of other streams."""
        if not self.collects_packets:
            return
        if self._end is not None:
            self._read_audio_to_end()
            return
        for _ in self._demuxed():
            pass

    def read_until(self, time: Fraction | None) -> None:
        """Collect packets of other streams up to `time`, in seconds; None reads to the end or the requested end."""
        if time is None:
            self.read_to_end()
            return
        while self._latest - self.offset <= time and next(self._remaining, None) is not None:
            pass

    @cached_property
    def _joined_duration(self) -> Fraction | None:
        """Seconds of a file whose timestamps jump; None for all others."""
        can_jump = self._discontinuities.possible and can_seek(self.name) and "://" not in self.name
        return joined_duration(Path(self.name), self.input.format.name) if can_jump else None

    @cached_property
    def _remaining(self) -> Iterator[Packet[Stream]]:
        return self._demuxed()

    def seek(self, time: Fraction) -> bool:
        """Make the next `video_frames()` start at a key frame before `time`, in seconds; return whether it worked."""
        if not self._seekable or not self._continuous_until(self.offset + time):
            return False
        self._last_pts = None
        self._discontinuities.reset()
        for margin in (0, 10):
            target = self.offset + time - margin
            try:
                self.input.seek(int(max(target, self._source_start) / MICROSECOND))
                first = self._first_after_seeking()
                self.input.seek(int(max(target, self._source_start) / MICROSECOND))
            except av.error.FFmpegError:
                return False
            if first is not None and first.pts is not None and first.pts * self.tick <= self.offset + time:
                return True
        return False

    def close(self) -> None:
        mute_ffmpeg()
        self.input.close()

    def _timed(self) -> Iterator[tuple[int, VideoFrame]]:
        """Yield (pts, frame); each frame's duration extends to the next frame's pts."""
        pending: tuple[int, VideoFrame] | None = None
        for frame in self._decode_packets():
            if self._unreliable_pts or not frame.duration:
                frame.duration = max(1, round(1 / (self._guessed_rate or 25) / self.tick))
            pts = self._last_pts = self._timestamp(frame)
            if pending is not None:
                pending[1].duration = pts - pending[0] if pts > pending[0] else pending[1].duration
                yield pending
            pending = pts, frame
        if pending is not None:
            left = (self.stream.start_time or 0) + (self.stream.duration or 0) - pending[0]
            if left > 0 and self.input.format.name.startswith("mov"):
                pending[1].duration = left
            yield pending

    def _timestamp(self, frame: VideoFrame) -> int:
        """Return the pts of a frame in ticks; computed from dts or frame rate if the container has no reliable pts."""
        if not self._unreliable_pts and frame.pts is not None:
            return frame.pts
        if self._unreliable_pts and self.input.format.name == "avi" and frame.dts is not None:
            self._first_dts = frame.dts if self._first_dts is None else self._first_dts
            return max(frame.dts - self._first_dts, 0 if self._last_pts is None else self._last_pts + 1)
        return 0 if self._last_pts is None else self._last_pts + frame.duration

    def _decode_packets(self) -> Iterator[VideoFrame]:
        """Yield decoded frames; a decoding error is damage, and decoding continues after it."""
        for packet in self._packets():
            if packet.stream not in self._decoded or (packet.size == 0 and packet.pts is not None):
                continue  # an empty packet repeats the last frame; the one without pts, at the end, flushes
            if self._fed_packets is not None:
                self._fed_packets.append(packet)
                if len(self._fed_packets) > MAX_FED_PACKETS and self._decode == self._default_decode:
                    self.disable_restart()
            try:
                for frame in self._decode(packet):
                    check_size(self.name, frame.width, frame.height)
                    yield frame
            except av.error.FFmpegError:
                if self._last_pts is not None:
                    self._damage.mark(self._last_pts * self.tick)

    def _packets(self) -> Iterator[Packet[Stream]]:
        """Yield the packets to decode again, then the rest of the source."""
        while self._replay:
            yield self._replay.popleft()
        if not self._at_end:
            yield from self._demuxed()

    def _demuxed(self) -> Iterator[Packet[Stream]]:
        """Yield all packets in file order; those of other streams are also collected, with shifted times."""
        packets = demux(self.input)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self._at_end = True
                self._damage.ended(self.input, self.stream, self._latest)
                return
            except av.error.FFmpegError as error:
                if self._last_pts is None:
                    raise StreamfxError(self._read_error(error)) from error
                self._damage.mark(self._latest)
                yield from self._flushes()
                return
            self._correct(packet)
            self._track(packet)
            if packet.stream is not self.stream:
                self._collect(packet)
            yield packet

    def _flushes(self) -> Iterator[Packet[Stream]]:
        """Yield the packets that make the decoders return their last frames, as at the end of a source."""
        for stream in self._decoded:
            packet: Packet[Stream] = Packet()
            packet.stream = stream
            yield packet

    def _correct(self, packet: Packet[Stream]) -> None:
        """Correct the timestamps of a packet, and note where discontinuities are."""
        found = self._discontinuities.count
        self._discontinuities.correct(packet)
        if self._discontinuities.count > found:
            self._damage.discontinuity(self._latest)
            if not found and self.warns_of_jumps:
                at = float(self._latest - self._source_start)
                log.warning("the timestamps of '%s' jump at %.2f s; the parts are joined without a gap", self.name, at)

    def _track(self, packet: Packet[Stream]) -> None:
        """Record how far the source has been read, and packets flagged as corrupt."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or packet.stream.time_base is None:
            return
        length = packet.duration or 0
        if packet.stream is self.stream and not length and self._guessed_rate:
            length = round(1 / self._guessed_rate / packet.stream.time_base)
        self._latest = max(self._latest, (time + length) * packet.stream.time_base)
        self._damage.reached(self._latest, flagged=time * packet.stream.time_base if packet.is_corrupt else None)

    def _collect(self, packet: Packet[Stream]) -> None:
        if packet.stream.disposition & Disposition.attached_pic:
            self.covers.setdefault(packet.stream.index, bytes(packet))
            return
        packet.pts = packet.dts if packet.pts is None else packet.pts
        if not self.collects_packets or packet.size == 0 or packet.pts is None or packet.stream.time_base is None:
            return
        base = packet.stream.time_base
        time = packet.pts * base
        trimmed = self.offset > self._source_start
        if (self._end is not None and time >= self._end) or (trimmed and time < self.offset):
            return
        shift = round(self.offset / base)
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        self.packets.append(packet)

    def _read_audio_to_end(self) -> None:
        """Read on, after the last video frame before the requested end, until all audio streams reach that end too."""
        pending_audio = {s.index for s in self.input.streams.audio}
        if self._end is None or not pending_audio:
            return
        for packet in self._demuxed():
            if packet.pts is not None and packet.stream.time_base and packet.pts * packet.stream.time_base >= self._end:
                pending_audio.discard(packet.stream.index)
            if not pending_audio:
                return

    def _read_error(self, error: av.error.FFmpegError) -> str:
        if self.name == "-" and self.input.format.name.startswith("mov"):
            return (
                "stdin: this mp4 has its index at the end, where a pipe cannot seek; "
                "give the file name, or create the file with ffmpeg's -movflags +faststart"
            )
        return f"cannot read '{self.name}': {error.strerror}"

    def _first_after_seeking(self) -> VideoFrame | None:
        return next((frame for packet in demux(self.input, self.stream) for frame in self.stream.decode(packet)), None)

    def _continuous_until(self, time: Fraction) -> bool:
        """Whether the source has no discontinuity before `time`, on its own clock, so that seeking finds that time."""
        if not self._discontinuities.possible or "://" in self.name or is_live(Path(self.name)):
            return True
        with open_input(self.name, *self._open_options) as scan:
            discontinuities = Discontinuities(scan)
            try:
                for packet in demux(scan, *scan.streams.video[:1]):
                    discontinuities.correct(packet)
                    if discontinuities.count or (packet.dts is not None and packet.dts * packet.time_base > time):
                        break
            except av.error.FFmpegError:
                return False
        return not discontinuities.count

    def _seek(self) -> None:
        """Seek to a key frame before the start; if the source cannot seek, all earlier frames are decoded and dropped.

        In formats without an index FFmpeg may land after the start, so check the first frame and try further back.
        """
        if not can_seek(self.name) or not self._continuous_until(self.offset):
            log.info("cannot seek in '%s'; decoding from the start", self.name)
            return
        for target in (self.offset, self.offset - 10, min(self._source_start, Fraction(0))):
            try:
                self.input.seek(int(target / MICROSECOND))
                first = self._first_after_seeking()
                self.input.seek(int(target / MICROSECOND))
            except av.error.FFmpegError:
                log.info("cannot seek in '%s'; decoding from the start", self.name)
                return
            if first is not None and first.pts is not None and first.pts * self.tick <= self.offset:
                return
