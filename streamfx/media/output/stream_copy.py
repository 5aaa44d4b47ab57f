"""Stream copy: audio, subtitles, attachments, cover art, chapters and tags of the source in the output."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
from av import Packet
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition, Stream

if TYPE_CHECKING:
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.soundtrack import Soundtrack

log = logging.getLogger("streamfx")

VIDEO_ONLY = frozenset(("image2", "gif", "apng", "yuv4mpegpipe", "rawvideo"))
MPEGTS_AUDIO = frozenset(("aac", "mp2", "mp3", "ac3", "eac3", "dts", "opus", "truehd"))  # others are unreadable
AUDIO_ENCODERS = {"webm": ("libopus", 48000)}  # for transcoding; otherwise AAC at the source's rate
LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")  # supported by encoders, by channel count
BITS_PER_CHANNEL = 96_000  # bits per second, for transcoded audio
COVER_EXTENSIONS = {"mjpeg": "jpg"}  # codec -> file extension, if different
MUXER_TAGS = frozenset(("major_brand", "minor_version", "compatible_brands", "encoder", "duration"))


class StreamCopy:
    """Copies the source's other streams to an output whose header is not written yet."""

    def __init__(self, output: OutputContainer, muxer: str, source: Reader | Soundtrack, *, audio: bool) -> None:
        self._output, self._source = output, source
        self._copied: dict[int, Stream] = {}  # source index -> output stream
        self._transcoded: dict[int, tuple[AudioStream, AudioStream]] = {}  # source index -> (source, output)
        self._covers: list[Packet[Stream]] = []
        container = source.input
        if container is None:
            return
        for stream in source.streams:
            if stream.type == "audio" and not audio:
                continue
            if stream.type in ("audio", "subtitle", "attachment"):
                self._add(stream, muxer)
            elif _is_cover(stream):
                self._add_cover(stream, muxer)
        output.metadata.update({k: v for k, v in container.metadata.items() if k not in MUXER_TAGS})
        output.set_chapters(list(_chapters(source)))

    def copy(self) -> None:
        """Mux the packets that the source has read so far."""
        while self._covers:
            self._output.mux(self._covers.pop())
        for packet in self._source.take_packets():
            index = packet.stream.index
            if index in self._copied:
                packet.stream = self._copied[index]
                self._output.mux(packet)
            elif index in self._transcoded:
                self._transcode(packet, *self._transcoded[index])

    def finish(self) -> None:
        """Mux the remaining packets and flush the audio encoders."""
        self.copy()
        for _, target in self._transcoded.values():
            self._output.mux(target.encode(None))

    def _add(self, stream: Stream, muxer: str) -> None:
        if muxer in VIDEO_ONLY or (stream.type == "attachment" and muxer != "matroska"):
            if stream.type != "attachment":
                log.warning("%s does not support %s: omitted", muxer, _kind(stream))
            return
        if stream.type == "attachment" or can_hold(muxer, stream):
            copy = self._output.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
            self._copied[stream.index] = copy
        elif isinstance(stream, AudioStream) and stream.codec_context:
            self._add_transcoded(stream, muxer)
        else:
            log.warning("%s does not support %s (%s): omitted", muxer, _kind(stream), _codec(stream))

    def _add_cover(self, stream: Stream, muxer: str) -> None:
        image, codec = self._source.covers.get(stream.index), _codec(stream)
        if image and muxer == "matroska":  # as an attachment; a video stream would be a second video
            kind = COVER_EXTENSIONS.get(codec, codec)
            self._output.add_attachment(f"cover.{kind}", f"image/{kind.replace('jpg', 'jpeg')}", image)
        elif image and muxer == "mp4":
            copy = self._output.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            packet: Packet[Stream] = Packet(image)
            packet.stream, packet.time_base, packet.pts, packet.dts = copy, Fraction(1, 90000), 0, 0
            self._covers.append(packet)
        else:
            log.warning("%s does not support cover art: omitted", muxer)

    def _add_transcoded(self, stream: AudioStream, muxer: str) -> None:
        encoder, rate = AUDIO_ENCODERS.get(muxer, ("aac", stream.rate))
        log.warning("%s does not support %s audio: transcoded to %s", muxer, _codec(stream), encoder)
        target = self._output.add_stream(encoder, rate=rate)
        assert isinstance(target, AudioStream)
        target.layout = LAYOUTS[min(stream.channels, len(LAYOUTS)) - 1]
        target.bit_rate = BITS_PER_CHANNEL * target.channels
        target.metadata.update(stream.metadata)
        target.disposition = stream.disposition
        self._transcoded[stream.index] = (stream, target)

    def _transcode(self, packet: Packet[Stream], source: AudioStream, target: AudioStream) -> None:
        try:
            frames = source.decode(packet)
        except av.error.InvalidDataError:
            return
        for frame in frames:
            self._output.mux(target.encode(frame))


def can_hold(muxer: str, stream: Stream) -> bool:
    """Whether a container can hold the stream unchanged; tested by writing a header to memory."""
    if muxer == "mpegts":
        return _codec(stream) in (MPEGTS_AUDIO if stream.type == "audio" else ("dvb_subtitle", "dvbsub"))
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _codec(stream: Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else ""


def _is_cover(stream: Stream) -> bool:
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def _kind(stream: Stream) -> str:
    return {"subtitle": "subtitles", "video": "cover art"}.get(stream.type, stream.type)


def _chapters(source: Reader | Soundtrack) -> Iterator[av.container.Chapter]:
    """The chapters, shifted and cut like the video."""
    assert source.input is not None
    for chapter in source.input.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        shift = round(source.offset / base)
        start, end = max(chapter["start"] - shift, 0), chapter["end"] - shift
        if source.length is not None:
            end = min(end, round(source.length / base))
        if end > start:
            yield {**chapter, "start": start, "end": end}
