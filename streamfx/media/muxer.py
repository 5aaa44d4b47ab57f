"""An output file or pipe whose streams are set up: encodes pictures and muxes them with their passengers."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
from av import VideoFrame
from av.codec.context import Flags
from av.video.stream import VideoStream

from streamfx.errors import StreamfxError
from streamfx.media.encoding import Encoding
from streamfx.media.filtergraph import Filter, FilterGraph
from streamfx.media.formats import Format
from streamfx.media.palette import Palettes
from streamfx.media.passengers import Passengers
from streamfx.media.reader import Reader
from streamfx.media.song import Song

log = logging.getLogger("streamfx")

COARSE = frozenset(("mpeg4", "msmpeg4v2", "msmpeg4", "mpeg1video", "mpeg2video", "h263", "flv"))  # count in frames only
GIF_TICK = Fraction(1, 100)  # seconds
VIDEO_TAGS = ("title", "language", "handler_name", "creation_time")  # that stay true when pictures are encoded anew


@dataclass(frozen=True, slots=True)
class Shape:
    """What an encoder must know of the pictures before the first one."""

    height: int
    width: int
    rate: Fraction  # frames a second, on average
    time_base: Fraction  # seconds a tick
    sample_aspect_ratio: Fraction


class Muxer:
    """Opens `target` (a path, or '-') and writes its header; for one thread."""

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
        self.written = 0  # pictures encoded
        self._encoding = encoding
        rate = 1 / form.gap if form.gap and shape.rate * form.gap > 1 else shape.rate if form.steady else None
        steady = [Filter("fps", str(rate))]
        self._graph = FilterGraph(steady, time_base=shape.time_base, rate=shape.rate) if rate else None
        self._palettes = Palettes() if encoding.pix_fmt != encoding.coding.pix_fmt else None
        self._given, self._form = 0, form
        self._last: int | None = None  # pts encoded last, in ticks
        base = 1 / shape.rate if form.steady or encoding.encoder in COARSE else shape.time_base
        if form.gap:
            base = GIF_TICK
        self._gap = round(form.gap / base) if form.gap else 1  # ticks between pictures, at least
        self._container = av.open("pipe:1" if target == "-" else target, "w", format=form.muxer, options=form.options)
        self._stream = self._add_pictures(encoding, shape, base)
        self._song = song
        carried = song or source
        self._passengers = Passengers(self._container, form.muxer, carried, audio=audio) if carried else None
        if settings:
            said = self._container.metadata.get("comment")
            self._container.metadata["comment"] = f"{said}\n{settings}" if said else settings
        if source and source.input:
            tags = source.input.streams[source.picture_index].metadata
            self._stream.metadata.update({key: value for key, value in tags.items() if key in VIDEO_TAGS})
        self._container.start_encoding()

    def encode(self, picture: VideoFrame) -> None:
        """Encode a picture that has the encoding's pixel format and colour."""
        self._given += 1
        for ready in self._graph.push(picture) if self._graph else [picture]:
            self._encode(ready)
        if self._song and picture.pts is not None and picture.time_base:
            self._song.read_until((picture.pts + picture.duration) * picture.time_base)
        if self._passengers:
            self._passengers.carry()

    def close(self) -> None:
        """Encode what is held back, and write the rest of the file."""
        for ready in self._graph.push(None) if self._graph else []:
            self._encode(ready)
        self._container.mux(self._stream.encode(None))
        if self._song:
            self._song.read_until(None)
        if self._passengers:
            self._passengers.finish()
        why = "knows only a constant frame rate" if self._form.steady else ""
        if self._form.gap:
            why = f"shows at most {1 / self._form.gap} frames a second"
        if why and self._given != self.written:
            log.warning("%s %s: %d frames became %d", self._container.format.name, why, self._given, self.written)
        self._container.close()

    def abandon(self) -> None:
        """Close the file, whatever state it is in."""
        try:
            self._container.close()
        except (av.error.FFmpegError, ValueError, OSError):
            log.info("the output could not be closed")

    def _add_pictures(self, encoding: Encoding, shape: Shape, base: Fraction) -> VideoStream:
        options = dict(encoding.options)
        try:
            with encoding.device.coder() if encoding.device else nullcontext() as hardware:
                stream = self._container.add_stream(encoding.encoder, shape.rate, options, hwaccel=hardware)
        except ValueError as error:
            raise StreamfxError(f"{self._container.format.name} cannot hold pictures of {encoding.encoder}") from error
        assert isinstance(stream, VideoStream)
        context, coding = stream.codec_context, encoding.coding
        context.height, context.width, context.pix_fmt = shape.height, shape.width, encoding.pix_fmt
        context.time_base = stream.time_base = base
        context.sample_aspect_ratio = shape.sample_aspect_ratio
        context.color_range, context.colorspace = coding.range, coding.matrix
        context.color_primaries, context.color_trc = coding.primaries, coding.transfer
        context.flags |= Flags.frame_duration
        if self._container.format.name in ("mp4", "mov") and context.codec.canonical_name == "hevc":
            context.codec_tag = "hvc1"  # what Apple's players ask for
        return stream

    def _encode(self, picture: VideoFrame) -> None:
        base = self._stream.codec_context.time_base
        seconds = (picture.pts or 0) * (picture.time_base or base)
        length = (picture.duration or 0) * (picture.time_base or base)
        pts = round(seconds / base)
        if self._last is not None and pts < self._last + self._gap:
            log.info("a picture at %.3f s comes at the time of the one before it: dropped", float(seconds))
            return
        self._last = pts
        if self._palettes:
            picture = self._palettes.mapped(picture)
        picture.pts, picture.time_base, picture.duration = pts, base, round(length / base)
        picture.pict_type = 0  # else every key frame of the source becomes one
        self._container.mux(self._stream.encode(picture))
        self.written += 1
