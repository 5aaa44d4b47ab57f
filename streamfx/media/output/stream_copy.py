"""Stream copy: audio, subtitles, attachments, cover art, chapters and tags of the source in the output."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from av import Packet
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.rational import AVRational
from av.stream import Disposition, Stream

from streamfx.media.output.audio_transcoder import AudioTranscoder
from streamfx.media.output.formats import lists_codec
from streamfx.media.output.subtitle_converter import SubtitleConverter

if TYPE_CHECKING:
    from av.subtitles.stream import SubtitleStream

    from streamfx.media.input.reader import Reader
    from streamfx.media.output.soundtrack import Soundtrack

log = logging.getLogger("streamfx")

VIDEO_ONLY = frozenset(("image2", "gif", "apng", "yuv4mpegpipe", "rawvideo"))
# all that these muxers may hold: what FFmpeg writes into mpegts besides is unreadable, as is PCM in mp4, and its flv
# muxer aborts the process on some others (found by writing headers of all muxers and codecs)
HOLDABLE = {
    "mpegts": frozenset(("aac", "mp2", "mp3", "ac3", "eac3", "dts", "opus", "truehd", "dvb_subtitle", "dvbsub")),
    "flv": frozenset(("aac", "mp3", "ac3", "eac3", "flac", "opus")),
}
DATA = {"mpegts": frozenset(("klv", "timed_id3"))}  # muxer -> data streams that it holds
CHAPTERS = "bin_data"  # codec of QuickTime's chapter tracks; these, like timecode tracks, are copied in another way
TS_NONSTRICT = 0x20000  # AVFMT_TS_NONSTRICT: equal dts are allowed
COVER_EXTENSIONS = {"mjpeg": "jpg"}  # codec -> file extension, if different
MUXER_TAGS = frozenset(("major_brand", "minor_version", "compatible_brands", "encoder", "duration"))


class StreamCopy:
    """Copies the source's other streams to an output whose header is not written yet."""

    def __init__(self, output: OutputContainer, muxer: str, source: Reader | Soundtrack, *, audio: bool) -> None:
        self._output, self._source = output, source
        self._copied: dict[int, Stream] = {}  # source index -> output stream
        self._transcoded: dict[int, AudioTranscoder | SubtitleConverter] = {}  # by source index
        self._covers: list[Packet[Stream]] = []
        self._lowest_dts: dict[int, int] = {}  # output index -> lowest dts that the muxer accepts next
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
            elif stream.type == "data" and stream.name != CHAPTERS and "timecode" not in stream.metadata:
                self._add_data(stream, muxer)
        output.metadata.update({k: v for k, v in container.metadata.items() if k not in MUXER_TAGS})
        output.set_chapters(list(_chapters(source)))

    def copy(self) -> None:
        """Mux the packets that the source has read so far."""
        while self._covers:
            cover = self._covers.pop()
            self._mux(cover, cover.stream)
        for packet in self._source.take_packets():
            index = packet.stream.index
            if index in self._copied:
                self._mux(packet, self._copied[index])
            elif index in self._transcoded:
                for encoded in self._transcoded[index].encode(packet):
                    self._mux(encoded, encoded.stream)

    def finish(self) -> None:
        """Mux the remaining packets and flush the audio encoders."""
        self.copy()
        for transcoder in self._transcoded.values():
            for encoded in transcoder.finish():
                self._mux(encoded, encoded.stream)

    def _mux(self, packet: Packet[Any], stream: Stream) -> None:
        """Mux a packet; a dts that does not increase as the muxer demands is raised, as the ffmpeg command does."""
        packet.stream = stream
        if stream.time_base:
            packet.rescale_ts(AVRational(stream.time_base))
        if packet.dts is not None:
            lowest = self._lowest_dts.get(stream.index, packet.dts)
            if packet.dts < lowest:
                packet.dts = lowest
                packet.pts = max(lowest, lowest if packet.pts is None else packet.pts)
            self._lowest_dts[stream.index] = packet.dts + (not self._output.format.flags & TS_NONSTRICT)
        self._output.mux(packet)

    def _add(self, stream: Stream, muxer: str) -> None:
        if muxer in VIDEO_ONLY or (stream.type == "attachment" and muxer != "matroska"):
            if stream.type != "attachment":
                log.warning("%s does not support %s: omitted", muxer, _kind(stream))
            return
        if isinstance(stream, AudioStream) and stream.codec_context and not stream.rate:
            log.warning("audio stream %d (%s) has no data: omitted", stream.index, _codec(stream))
        elif stream.type == "attachment" or can_hold(muxer, stream):
            copy = self._output.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
            self._copied[stream.index] = copy
        elif isinstance(stream, AudioStream) and stream.codec_context:
            self._add_transcoded(stream, muxer)
        elif SubtitleConverter.supports(muxer, stream):
            converter = SubtitleConverter(self._output, muxer, cast("SubtitleStream", stream))
            log.warning("%s does not support %s subtitles: converted to %s", muxer, _codec(stream), converter.encoder)
            self._transcoded[stream.index] = converter
        else:
            _warn_omitted(muxer, stream, _codec(stream))

    def _add_data(self, stream: Stream, muxer: str) -> None:
        if stream.name in DATA.get(muxer, ()):
            self._copied[stream.index] = self._output.add_stream_from_template(stream)
        else:
            _warn_omitted(muxer, stream, stream.name or "")

    def _add_cover(self, stream: Stream, muxer: str) -> None:
        image, codec = self._source.covers.get(stream.index), _codec(stream)
        if image and muxer == "matroska":  # as an attachment; a video stream would be a second video
            kind = COVER_EXTENSIONS.get(codec, codec)
            self._output.add_attachment(f"cover.{kind}", f"image/{kind.replace('jpg', 'jpeg')}", image)
        elif image and muxer == "mp4" and can_hold(muxer, stream):
            copy = self._output.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            packet: Packet[Stream] = Packet(image)
            packet.stream, packet.time_base, packet.pts, packet.dts = copy, Fraction(1, 90000), 0, 0
            self._covers.append(packet)
        else:
            log.warning("%s does not support cover art: omitted", muxer)

    def _add_transcoded(self, stream: AudioStream, muxer: str) -> None:
        transcoder = AudioTranscoder(self._output, muxer, stream, self._source.channel_orders.get(stream.index, ()))
        log.warning("%s does not support %s audio: transcoded to %s", muxer, _codec(stream), transcoder.encoder)
        transcoder.stream.metadata.update(stream.metadata)
        transcoder.stream.disposition = stream.disposition
        self._transcoded[stream.index] = transcoder


def can_hold(muxer: str, stream: Stream) -> bool:
    """Whether a container can hold the stream unchanged; tested by writing a header to memory."""
    codec = _codec(stream)
    if (muxer in HOLDABLE and codec not in HOLDABLE[muxer]) or (muxer == "mp4" and codec.startswith("pcm_")):
        return False
    with av.open(io.BytesIO(), "w", format=muxer) as trial:
        if stream.codec_context is None or not lists_codec(trial, stream.codec_context.name):
            return False
        try:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
        except av.error.FFmpegError:
            return False
    return True


def _warn_omitted(muxer: str, stream: Stream, codec: str) -> None:
    log.warning("%s does not support %s%s: omitted", muxer, _kind(stream), f" ({codec})" if codec else "")


def _codec(stream: Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else ""


def _is_cover(stream: Stream) -> bool:
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def _kind(stream: Stream) -> str:
    names = {"subtitle": "subtitles", "video": "cover art", "data": f"data stream {stream.index}"}
    return names.get(stream.type, stream.type)


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
