"""Converts text subtitles to the format that a container supports: subrip, WebVTT, mov_text or ASS."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av.error
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

if TYPE_CHECKING:
    from av import Packet
    from av.container import OutputContainer
    from av.stream import Stream

TEXT_CODECS = frozenset(("ass", "mov_text", "srt", "ssa", "subrip", "text", "webvtt"))
ENCODERS = {"matroska": "subrip", "webm": "webvtt", "mp4": "mov_text", "mov": "mov_text"}  # muxer -> encoder
MILLISECOND = Fraction(1, 1000)


class SubtitleConverter:
    """Adds a stream to an output whose header is not written yet, and converts the packets of `source` for it."""

    def __init__(self, output: OutputContainer, muxer: str, source: SubtitleStream) -> None:
        self.encoder = ENCODERS[muxer]
        self._source = source
        source.codec_context.open(strict=False)  # only then its header, with the styles, is known
        target = output.add_stream(self.encoder)
        assert isinstance(target, SubtitleStream)
        self.stream, self._context = target, target.codec_context
        self._context.subtitle_header = source.codec_context.subtitle_header
        self._context.time_base = target.time_base = MILLISECOND
        target.metadata.update(source.metadata)
        target.disposition = source.disposition

    @staticmethod
    def supports(muxer: str, stream: Stream) -> bool:
        """Whether a stream holds text subtitles that can be converted for a muxer."""
        if muxer not in ENCODERS or not isinstance(stream, SubtitleStream) or not stream.codec_context:
            return False
        return stream.codec_context.codec.canonical_name in TEXT_CODECS

    def encode(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """Yield the converted packets of one packet, which are for the added stream; damaged ones are left out."""
        if packet.pts is None or packet.time_base is None:
            return
        try:
            decoded = self._source.decode2(packet)
        except av.error.FFmpegError:
            return
        start, length = packet.pts * packet.time_base, (packet.duration or 0) * packet.time_base
        milliseconds = round(length / MILLISECOND) or (decoded.end_display_time if decoded else 0)
        for line in decoded or ():
            if isinstance(line, AssSubtitle) and line.ass:
                yield self._event(line.ass, round(start / MILLISECOND), milliseconds)

    def finish(self) -> Iterator[Packet[Any]]:
        """Yield the remaining packets: none."""
        return iter(())

    def _event(self, text: bytes, start: int, length: int) -> Packet[Any]:
        packet = self._context.encode_subtitle(SubtitleSet.create(text, 0, length))
        packet.stream, packet.time_base = self.stream, MILLISECOND
        packet.pts = packet.dts = start
        packet.duration = length
        return packet
