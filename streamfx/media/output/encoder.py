"""An encoder at work: pictures -> packets, at times that the container can count."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from av import Packet, VideoFrame
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import Filter, FilterGraph
from streamfx.media.gpu.nvidia import coder_on
from streamfx.media.output.encoder_selection import Encoding
from streamfx.media.output.formats import Format
from streamfx.media.output.gif_palette import Palettes

log = logging.getLogger("streamfx")

COARSE = frozenset(("mpeg4", "msmpeg4v2", "msmpeg4", "mpeg1video", "mpeg2video", "h263", "flv"))  # count in frames only
GIF_TICK = Fraction(1, 100)  # seconds


@dataclass(frozen=True, slots=True)
class Shape:
    """What an encoder must know of the pictures before the first one."""

    height: int
    width: int
    rate: Fraction  # frames a second, on average
    time_base: Fraction  # seconds a tick
    sample_aspect_ratio: Fraction


class Coder:
    """Encodes into a new stream of `container`, whose header need not be written; for one thread.

    `last` is the pts of the picture before the first one, in ticks, where there was one.
    """

    def __init__(
        self, container: OutputContainer, form: Format, encoding: Encoding, shape: Shape, last: int | None = None
    ) -> None:
        self.given = self.written = 0  # pictures that came, and that were encoded
        self.last = last  # pts encoded last, in ticks
        rate = 1 / form.gap if form.gap and shape.rate * form.gap > 1 else shape.rate if form.steady else None
        steady = [Filter("fps", str(rate))]
        self._graph = FilterGraph(steady, time_base=shape.time_base, rate=shape.rate) if rate else None
        self._palettes = Palettes() if encoding.pix_fmt != encoding.coding.pix_fmt else None
        base = 1 / shape.rate if form.steady or encoding.encoder in COARSE else shape.time_base
        if form.gap:
            base = GIF_TICK
        self._gap = round(form.gap / base) if form.gap else 1  # ticks between pictures, at least
        self.stream = _add_pictures(container, encoding, shape, base)

    def encode(self, picture: VideoFrame) -> Iterator[Packet[VideoStream]]:
        """The packets that are ready; the picture has the encoding's pixel format and colour."""
        self.given += 1
        for ready in self._graph.push(picture) if self._graph else [picture]:
            yield from self._encode(ready)

    def finish(self) -> Iterator[Packet[VideoStream]]:
        """The packets that are held back; nothing can be encoded any more."""
        for ready in self._graph.push(None) if self._graph else []:
            yield from self._encode(ready)
        if self.written:
            yield from self.stream.encode(None)

    def _encode(self, picture: VideoFrame) -> Iterator[Packet[VideoStream]]:
        base = self.stream.codec_context.time_base
        seconds = (picture.pts or 0) * (picture.time_base or base)
        length = (picture.duration or 0) * (picture.time_base or base)
        pts = round(seconds / base)
        if self.last is not None and pts < self.last + self._gap:
            log.info("a picture at %.3f s comes at the time of the one before it: dropped", float(seconds))
            return
        self.last = pts
        if self._palettes:
            picture = self._palettes.mapped(picture)
        picture.pts, picture.time_base, picture.duration = pts, base, round(length / base)
        picture.pict_type = 0  # else every key frame of the source becomes one
        yield from self.stream.encode(picture)
        self.written += 1


def _add_pictures(container: OutputContainer, encoding: Encoding, shape: Shape, base: Fraction) -> VideoStream:
    options = dict(encoding.options)
    try:
        with coder_on(encoding.device) as hardware:
            stream = container.add_stream(encoding.encoder, shape.rate, options, hwaccel=hardware)
    except ValueError as error:
        raise StreamfxError(f"{container.format.name} cannot hold pictures of {encoding.encoder}") from error
    assert isinstance(stream, VideoStream)
    context, coding = stream.codec_context, encoding.coding
    context.height, context.width, context.pix_fmt = shape.height, shape.width, encoding.pix_fmt
    context.time_base = stream.time_base = base
    context.thread_type = "AUTO"  # PyAV asks for slices, of which x264 makes larger files, slower
    context.sample_aspect_ratio = shape.sample_aspect_ratio
    context.color_range, context.colorspace = coding.range, coding.matrix
    context.color_primaries, context.color_trc = coding.primaries, coding.transfer
    context.flags |= Flags.frame_duration
    if container.format.name in ("mp4", "mov") and context.codec.canonical_name == "hevc":
        context.codec_tag = "hvc1"  # what Apple's players ask for
    return stream
