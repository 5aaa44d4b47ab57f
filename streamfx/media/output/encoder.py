"""Video encoder: frames -> packets, with timestamps that the container can represent."""

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
from streamfx.media.encoding import Encoding
from streamfx.media.filters.graph import Filter, FilterGraph
from streamfx.media.gpu.nvidia import hwaccel_for
from streamfx.media.output.formats import Format, lists_codec
from streamfx.media.output.gif_palette import PaletteMapper
from streamfx.media.threads import codec_threads

log = logging.getLogger("streamfx")

# encoders whose time base must be one frame
FRAME_CLOCK_ENCODERS = frozenset(("mpeg4", "msmpeg4v2", "msmpeg4", "mpeg1video", "mpeg2video", "h263", "flv"))
GIF_TICK = Fraction(1, 100)  # seconds
MAX_REPEAT = 600  # seconds for which a format with a constant frame rate repeats one frame
X265_REORDERED = 2  # frames; libx265 4.1 gives videos of so few frames dts from memory that it did not initialize


@dataclass(frozen=True, slots=True)
class Shape:
    """Stream parameters that an encoder needs before the first frame."""

    height: int
    width: int
    rate: Fraction  # average frames per second
    time_base: Fraction  # seconds per tick
    sample_aspect_ratio: Fraction


@dataclass(frozen=True, slots=True)
class Layout:
    """How frames are encoded; all segments of a video share it."""

    encoding: Encoding
    shape: Shape
    base: Fraction  # time base of frames that come as tensors


class VideoEncoder:
    """Encodes into a new stream of `container`, whose header may not be written yet. Not thread-safe.

    `last` is the pts in ticks of the frame before the first one, if there was one.
    """

    def __init__(
        self, container: OutputContainer, form: Format, encoding: Encoding, shape: Shape, last: int | None = None
    ) -> None:
        self.received = self.written = 0  # frames received and encoded
        self.last = last  # pts of the last encoded frame, in ticks
        shortest = form.min_duration
        rate = 1 / shortest if shortest and shape.rate * shortest > 1 else shape.rate if form.constant_rate else None
        fps = [Filter("fps", str(rate))]
        self._graph = FilterGraph(fps, time_base=shape.time_base, rate=shape.rate) if rate else None
        self._previous: Fraction | None = None  # seconds, of the frame before
        self._is_x265 = encoding.encoder == "libx265"
        self._palette = PaletteMapper() if encoding.pix_fmt != encoding.coding.pix_fmt else None
        base = 1 / shape.rate if form.constant_rate or encoding.encoder in FRAME_CLOCK_ENCODERS else shape.time_base
        if shortest:
            base = GIF_TICK
        self._min_ticks = round(shortest / base) if shortest else 1  # between frames
        self.stream = _add_video_stream(container, encoding, shape, base)

    def follow(self, time: Fraction) -> None:
        """Continue a video whose last frame starts at `time`, in seconds."""
        self.last = round(time / self.stream.codec_context.time_base)

    def encode(self, frame: VideoFrame) -> Iterator[Packet[VideoStream]]:
        """Encode a frame in the encoding's pixel format and color; yields the packets that are ready."""
        self.received += 1
        if self._graph:
            self._check_gap(frame)
        for filtered in self._graph.push(frame) if self._graph else [frame]:
            yield from self._encode(filtered)

    def finish(self) -> Iterator[Packet[VideoStream]]:
        """Flush the encoder and yield the remaining packets; it accepts no more frames."""
        for filtered in self._graph.push(None) if self._graph else []:
            yield from self._encode(filtered)
        for packet in self.stream.encode(None) if self.written else []:
            if self._is_x265 and self.written <= X265_REORDERED:
                packet.dts = packet.pts
            yield packet

    def _check_gap(self, frame: VideoFrame) -> None:
        """Raise StreamfxError if the fps filter would repeat the frame before this one without bound."""
        time = (frame.pts or 0) * (frame.time_base or Fraction(0))
        if self._previous is not None and time - self._previous > MAX_REPEAT:
            raise StreamfxError(
                f"the time jumps from {float(self._previous):.2f} s to {float(time):.2f} s, which this format fills "
                "with copies of one frame; use mp4 or mkv, or stop before the jump with --to"
            )
        self._previous = time

    def _encode(self, frame: VideoFrame) -> Iterator[Packet[VideoStream]]:
        base = self.stream.codec_context.time_base
        seconds = (frame.pts or 0) * (frame.time_base or base)
        duration = (frame.duration or 0) * (frame.time_base or base)
        pts = round(seconds / base)
        if self.last is not None and pts < self.last + self._min_ticks:
            log.info("dropped the frame at %.3f s: too close to the previous one", float(seconds))
            return
        self.last = pts
        if self._palette:
            frame = self._palette.apply(frame)
        frame.pts, frame.time_base, frame.duration = pts, base, round(duration / base)
        frame.pict_type = 0  # otherwise every keyframe of the source forces one
        yield from self.stream.encode(frame)
        self.written += 1


def _add_video_stream(container: OutputContainer, encoding: Encoding, shape: Shape, base: Fraction) -> VideoStream:
    options = dict(encoding.options)
    if not lists_codec(container, encoding.encoder):
        raise StreamfxError(f"{container.format.name} cannot hold {encoding.encoder} video; choose another")
    with hwaccel_for(encoding.device) as hardware:
        stream = container.add_stream(encoding.encoder, shape.rate, options, hwaccel=hardware)
    assert isinstance(stream, VideoStream)
    context, coding = stream.codec_context, encoding.coding
    context.height, context.width, context.pix_fmt = shape.height, shape.width, encoding.pix_fmt
    context.time_base = stream.time_base = base
    context.thread_type = "AUTO"  # PyAV's default, slice threading, makes x264 slower and its files larger
    context.thread_count = codec_threads()
    context.sample_aspect_ratio = shape.sample_aspect_ratio
    context.color_range, context.colorspace = coding.range, coding.matrix
    context.color_primaries, context.color_trc = coding.primaries, coding.transfer
    context.flags |= Flags.frame_duration
    if container.format.name in ("mp4", "mov") and context.codec.canonical_name == "hevc":
        context.codec_tag = "hvc1"  # required by Apple's players
    return stream
