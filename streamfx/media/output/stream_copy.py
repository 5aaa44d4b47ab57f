"""What of a source is no picture, carried over to the output: sound, subtitles, attachments, chapters, tags."""

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
    from streamfx.media.output.soundtrack import Song

log = logging.getLogger("streamfx")

PICTURES_ONLY = frozenset(("image2", "gif", "apng", "yuv4mpegpipe", "rawvideo"))
TS_SOUND = frozenset(
    ("aac", "mp2", "mp3", "ac3", "eac3", "dts", "opus", "truehd")
)  # mpegts takes any, as unreadable data
SOUND_ENCODERS = {"webm": ("libopus", 48000)}  # where sound must be coded anew; elsewhere AAC at its own rate
LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")  # by number of channels, as encoders take them
BIT_RATE = 96_000  # bits a second and channel, of sound that is coded anew
COVERS = {"mjpeg": "jpg"}  # codec -> ending of its files, where they differ
MUXERS_OWN = frozenset(("major_brand", "minor_version", "compatible_brands", "encoder", "duration"))


class Passengers:
    """The source's other streams in an output whose header is not yet written; packets go over as they come."""

    def __init__(self, output: OutputContainer, muxer: str, source: Reader | Song, *, audio: bool) -> None:
        self._output, self._source = output, source
        self._copied: dict[int, Stream] = {}  # index in the source -> stream of the output
        self._coded: dict[int, tuple[AudioStream, AudioStream]] = {}  # index -> (of the source, of the output)
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
        output.metadata.update({k: v for k, v in container.metadata.items() if k not in MUXERS_OWN})
        output.set_chapters(list(_chapters(source)))

    def carry(self) -> None:
        """Mux what the source has read of them so far."""
        while self._covers:
            self._output.mux(self._covers.pop())
        for packet in self._source.take_packets():
            index = packet.stream.index
            if index in self._copied:
                packet.stream = self._copied[index]
                self._output.mux(packet)
            elif index in self._coded:
                self._code(packet, *self._coded[index])

    def finish(self) -> None:
        """Mux the rest of them, and what the encoders of sound still hold."""
        self.carry()
        for _, target in self._coded.values():
            self._output.mux(target.encode(None))

    def _add(self, stream: Stream, muxer: str) -> None:
        if muxer in PICTURES_ONLY or (stream.type == "attachment" and muxer != "matroska"):
            if stream.type != "attachment":
                log.warning("%s holds no %s: left out", muxer, _word(stream))
            return
        if stream.type == "attachment" or holds(muxer, stream):
            copy = self._output.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
            self._copied[stream.index] = copy
        elif isinstance(stream, AudioStream) and stream.codec_context:
            self._add_coded(stream, muxer)
        else:
            log.warning("%s holds no %s (%s): left out", muxer, _word(stream), _codec(stream))

    def _add_cover(self, stream: Stream, muxer: str) -> None:
        picture, codec = self._source.covers.get(stream.index), _codec(stream)
        if picture and muxer == "matroska":  # as an attachment; a second stream of pictures would be a second film
            kind = COVERS.get(codec, codec)
            self._output.add_attachment(f"cover.{kind}", f"image/{kind.replace('jpg', 'jpeg')}", picture)
        elif picture and muxer == "mp4":
            copy = self._output.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            packet: Packet[Stream] = Packet(picture)
            packet.stream, packet.time_base, packet.pts, packet.dts = copy, Fraction(1, 90000), 0, 0
            self._covers.append(packet)
        else:
            log.warning("%s holds no cover art: left out", muxer)

    def _add_coded(self, stream: AudioStream, muxer: str) -> None:
        encoder, rate = SOUND_ENCODERS.get(muxer, ("aac", stream.rate))
        log.warning("%s holds no %s sound: coded anew as %s", muxer, _codec(stream), encoder)
        target = self._output.add_stream(encoder, rate=rate)
        assert isinstance(target, AudioStream)
        target.layout = LAYOUTS[min(stream.channels, len(LAYOUTS)) - 1]
        target.bit_rate = BIT_RATE * target.channels
        target.metadata.update(stream.metadata)
        target.disposition = stream.disposition
        self._coded[stream.index] = (stream, target)

    def _code(self, packet: Packet[Stream], source: AudioStream, target: AudioStream) -> None:
        try:
            frames = source.decode(packet)
        except av.error.InvalidDataError:
            return
        for frame in frames:
            self._output.mux(target.encode(frame))


def holds(muxer: str, stream: Stream) -> bool:
    """Whether a container takes the stream as it is: asked by writing a header into memory."""
    if muxer == "mpegts":
        return _codec(stream) in TS_SOUND if stream.type == "audio" else _codec(stream) in ("dvb_subtitle", "dvbsub")
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


def _word(stream: Stream) -> str:
    return {"audio": "sound", "subtitle": "subtitles", "video": "cover art"}.get(stream.type, stream.type)


def _chapters(source: Reader | Song) -> Iterator[av.container.Chapter]:
    """The chapters, moved by the offset that all times are and cut as the film is."""
    assert source.input is not None
    for chapter in source.input.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        shift = round(source.offset / base)
        start, end = max(chapter["start"] - shift, 0), chapter["end"] - shift
        if source.length is not None:
            end = min(end, round(source.length / base))
        if end > start:
            yield {**chapter, "start": start, "end": end}
