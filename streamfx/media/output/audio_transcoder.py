"""Audio transcoder: re-encodes an audio stream that the container cannot hold, at the nearest rate and layout."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import av.error
from av import AudioFrame, Packet
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.codec.codec import Codec
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.filter import Graph
from av.stream import Stream

from streamfx.media.ffmpeg_log import ffmpeg_messages
from streamfx.media.input.channel_layout import channel_names
from streamfx.media.invalid_samples import silence_invalid_frame

log = logging.getLogger("streamfx")

ENCODERS = {"webm": "libopus"}  # muxer -> encoder; others get AAC
SAMPLE_FORMATS = {"libopus": "flt", "aac": "fltp"}
OPUS_RATE = 48_000  # Hz; what every Opus decoder returns
LAYOUTS = ("mono", "stereo", "2.1", "3.0", "4.0", "quad", "5.0", "5.1", "6.0", "6.1", "7.0", "7.1")
BITS_PER_CHANNEL = 96_000  # bits per second


class AudioTranscoder:
    """Decodes the packets of `source` and encodes them into a new stream of `output`, whose header is not written yet.

    `channels` are those of the source in stream order, if that is not the native order. Packets that cannot be decoded
    are skipped, and samples that are not numbers become silence.
    """

    def __init__(self, output: OutputContainer, muxer: str, source: AudioStream, channels: Sequence[str]) -> None:
        self.encoder = ENCODERS.get(muxer, "aac")
        self.source, self._channels = source, channels
        stream = output.add_stream(self.encoder, rate=nearest_rate(self.encoder, source.rate or OPUS_RATE))
        assert isinstance(stream, AudioStream)
        self.stream = stream
        stream.layout = nearest_layout(self.encoder, stream.rate, source.layout.name)
        stream.bit_rate = BITS_PER_CHANNEL * stream.channels
        stream.format = SAMPLE_FORMATS[self.encoder]
        self._undecodable = self._decoded = 0  # packets, frames
        self._invalid = False  # whether there are invalid samples
        self._graph: Graph | None = None
        self._audio_format: tuple[str, str, int] | None = None  # of the graph's input

    def encode(self, packet: Packet[Stream]) -> Iterator[Packet[AudioStream]]:
        """Yield the encoded packets that are ready."""
        try:
            frames = self.source.decode(packet)
        except av.error.FFmpegError:
            self._undecodable += 1
            return
        self._decoded += len(frames)
        for frame in frames:
            audio_format = (frame.format.name, frame.layout.name, frame.rate)
            if audio_format != self._audio_format:  # it may change
                yield from self._encode(None)
                self._graph, self._audio_format = self._resampler(frame), audio_format
            yield from self._encode(frame)

    def finish(self) -> Iterator[Packet[AudioStream]]:
        """Flush the encoder and yield the remaining packets; warn of damage."""
        if self._undecodable and self._decoded:
            log.warning("%d packets of the audio are damaged and left out", self._undecodable)
        elif self._undecodable:
            log.warning("none of the audio can be decoded")
        yield from self._encode(None)
        if self._invalid:
            log.warning("samples of the audio are not numbers, or much too large; they are silent in the output")
        yield from self.stream.encode(None)

    def _encode(self, frame: AudioFrame | None) -> Iterator[Packet[AudioStream]]:
        """Resample and encode a frame; None flushes the resampler."""
        if self._graph is None:
            return
        self._graph.push(frame)
        while True:
            try:
                resampled = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(resampled, AudioFrame)
            self._invalid |= silence_invalid_frame(resampled)
            yield from self.stream.encode(resampled)

    def _resampler(self, frame: AudioFrame) -> Graph:
        """A filter graph from the format, layout and rate of a decoded frame to those of the encoder."""
        graph, target = Graph(), self.stream.codec_context
        nodes = [
            graph.add(
                "abuffer",
                sample_rate=str(frame.rate),
                sample_fmt=frame.format.name,
                channel_layout=frame.layout.name,
                time_base=str(frame.time_base),
            )
        ]
        if len(self._channels) == frame.layout.nb_channels:
            order = "|".join(f"{index}-{name}" for index, name in enumerate(self._channels))
            nodes.append(graph.add("channelmap", f"map={order}"))
        elif mix := _mono_mix(frame.layout.name, frame.layout.nb_channels):
            nodes.append(graph.add("pan", mix))
        output = f"sample_rates={target.rate}:sample_fmts={target.format.name}:channel_layouts={target.layout.name}"
        nodes += [graph.add("aformat", output), graph.add("abuffersink")]
        graph.link_nodes(*nodes).configure()
        return graph


def nearest_rate(encoder: str, rate: int) -> int:
    """The sample rate in Hz nearest to `rate` that the encoder supports."""
    if encoder == "libopus":
        return OPUS_RATE
    return min(Codec(encoder, "w").audio_rates or [rate], key=lambda supported: abs(supported - rate))


def nearest_layout(encoder: str, rate: int, layout: str) -> str:
    """The name of the layout that the encoder supports and that loses the fewest channels of the named `layout`."""
    if _mono_mix(layout, 0):
        return "mono"
    wanted = channel_names(layout)

    def distance(candidate: str) -> tuple[int, int]:
        names = channel_names(candidate)
        return len(wanted - names), abs(len(names) - len(wanted))

    candidates = [layout, *sorted(LAYOUTS, key=distance)]
    return next((name for name in candidates if _opens(encoder, rate, name)), "stereo")


def _mono_mix(layout: str, count: int) -> str:
    """Options of the pan filter for a layout that FFmpeg cannot mix, which becomes mono; "" for other layouts."""
    if layout.startswith("ambisonic"):
        return "mono|c0=c0"  # the omnidirectional channel
    if layout.endswith(" channels"):  # unknown positions
        return "mono|c0<" + "+".join(f"c{index}" for index in range(count))
    return ""


def _opens(encoder: str, rate: int, layout: str) -> bool:
    context = CodecContext.create(encoder, "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout = rate, layout
    formats = context.codec.audio_formats
    if formats:
        context.format = formats[0]
    with ffmpeg_messages():
        try:
            context.open()
        except av.error.FFmpegError:
            return False
    return True
