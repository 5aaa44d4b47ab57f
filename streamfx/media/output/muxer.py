"""An output file or pipe whose streams are set up: encodes pictures and muxes them with their passengers."""

from __future__ import annotations

import logging
from fractions import Fraction

import av
import av.error
from av import Packet, VideoFrame
from av.video.stream import VideoStream

from streamfx.media.input.reader import Reader
from streamfx.media.output.encoder import Coder, Shape
from streamfx.media.output.encoder_selection import Encoding
from streamfx.media.output.formats import Format
from streamfx.media.output.soundtrack import Song
from streamfx.media.output.stream_copy import Passengers

__all__ = ["Muxer", "Shape"]

log = logging.getLogger("streamfx")

VIDEO_TAGS = ("title", "language", "handler_name", "creation_time")  # that stay true when pictures are encoded anew


class Muxer:
    """Opens `target` (a path, or '-') and writes its header; for one thread.

    Its pictures come to be encoded, or as packets that the same encoder made elsewhere.
    """

    def __init__(
        self,
        target: str,
        form: Format,
        encoding: Encoding,
        shape: Shape,
        source: Reader | None,
        song: Song | None = None,
        *,
        audio: bool,
        settings: str,
    ) -> None:
        self._form = form
        self._container = av.open("pipe:1" if target == "-" else target, "w", format=form.muxer, options=form.options)
        self._coder = Coder(self._container, form, encoding, shape)
        self._source, self._song = source, song
        carried = song or source
        self._passengers = Passengers(self._container, form.muxer, carried, audio=audio) if carried else None
        if settings:
            said = self._container.metadata.get("comment")
            self._container.metadata["comment"] = f"{said}\n{settings}" if said else settings
        if source and source.input:
            tags = source.input.streams[source.picture_index].metadata
            self._coder.stream.metadata.update({key: value for key, value in tags.items() if key in VIDEO_TAGS})
        self._container.start_encoding()

    @property
    def written(self) -> int:
        """Pictures encoded so far."""
        return self._coder.written

    @property
    def header(self) -> bytes:
        """What the encoder says once for all its packets (SPS, PPS and the like)."""
        return self._coder.stream.codec_context.extradata or b""

    def encode(self, picture: VideoFrame) -> None:
        """Encode a picture that has the encoding's pixel format and colour."""
        for packet in self._coder.encode(picture):
            self._container.mux(packet)
        if self._song and picture.pts is not None and picture.time_base:
            self._song.read_until((picture.pts + picture.duration) * picture.time_base)
        if self._passengers:
            self._passengers.carry()

    def copy(self, packet: Packet[VideoStream]) -> None:
        """Mux a packet of pictures that was made elsewhere, and what the source or song carries until then."""
        assert packet.pts is not None
        moment = Fraction(packet.pts) * packet.time_base
        packet.stream = self._coder.stream
        self._container.mux(packet)
        self._read_until(moment)

    def close(self) -> None:
        """Encode what is held back, and write the rest of the file."""
        for packet in self._coder.finish():
            self._container.mux(packet)
        if self._song:
            self._song.read_until(None)
        if self._passengers:
            self._passengers.finish()
        self.say_changed(self._coder.given, self._coder.written)
        self._container.close()

    def close_copied(self) -> None:
        """Write the rest of a file whose pictures were made elsewhere."""
        self._read_until(None)
        if self._passengers:
            self._passengers.finish()
        self._container.close()

    def abandon(self) -> None:
        """Close the file, whatever state it is in."""
        try:
            self._container.close()
        except (av.error.FFmpegError, ValueError, OSError):
            log.info("the output could not be closed")

    def say_changed(self, given: int, written: int) -> None:
        """Tell where the format has made another number of pictures of those that were given."""
        why = "knows only a constant frame rate" if self._form.steady else ""
        if self._form.gap:
            why = f"shows at most {1 / self._form.gap} frames a second"
        if why and given != written:
            log.warning("%s %s: %d frames became %d", self._container.format.name, why, given, written)

    def _read_until(self, moment: Fraction | None) -> None:
        carried = self._song or self._source
        if carried and self._passengers:
            carried.read_until(moment)
            self._passengers.carry()
