"""Encode live video and audio once, for several containers."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.stream import Stream
from av.video.frame import PictureType
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streamfx.media.live.receiver import SAMPLE_RATE, AudioBlock
from streamfx.media.pixel_formats import to_video_frame
from streamfx.media.probe import Coding

if TYPE_CHECKING:
    from av import Packet
    from torch import Tensor

TICK = Fraction(1, 90000)  # seconds, of video timestamps
KEY_INTERVAL = Fraction(2)  # seconds between key frames
RESYNC = Fraction(30, 1000)  # seconds by which audio may deviate from its timestamps before it is corrected
MAX_GAP = Fraction(1)  # seconds by which audio may lag behind the video before silence is inserted
_CODING = Coding("yuv420p", 1, 1, 1, 1)  # BT.709, limited range, which streaming sites expect
_AUDIO_BITRATE = 128000  # bits per second


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """An encoded packet that any number of containers can take."""

    data: bytes
    video: bool
    key: bool
    pts: int  # in `time_base`
    dts: int
    duration: int
    time_base: Fraction
    encoded: float  # on the monotonic clock


class LiveEncoder:
    """H.264 and AAC for live streams, without reordering or look-ahead. Not thread-safe.

    Audio waits until the video of the same time has been encoded, so both leave together. It stays in sync with its
    timestamps: a gap is filled with silence, an overlap is cut.
    """

    def __init__(self, size: tuple[int, int], rate: Fraction, *, audio: bool, bitrate: int | None = None) -> None:
        """`size` is height and width; `rate` frames per second; `bitrate` bits per second, by default by quality."""
        self.size = size[0] // 2 * 2, size[1] // 2 * 2  # 4:2:0 needs even sides
        self.rate = rate
        self.audio_offset = Fraction(0)  # seconds by which the audio written last was late relative to its timestamp
        self.force_key = False  # encode the next frame as a key frame
        self._host = av.open(os.devnull, "w", format="null")  # holds the codecs; writes nothing
        self._video = _add_video(self._host, self.size, rate, bitrate)
        self._audio = _add_audio(self._host) if audio else None
        self._host.start_encoding()
        self._waiting: deque[AudioBlock] = deque()
        self._position: int | None = None  # of the audio, in samples
        self._last_pts: int | None = None

    def add_streams(self, container: OutputContainer) -> dict[bool, Stream]:
        """Add streams for the packets to a container; returns those for `EncodedPacket.video` True and False."""
        streams: dict[bool, Stream] = {True: container.add_stream_from_template(self._video)}
        if self._audio:
            streams[False] = container.add_stream_from_template(self._audio)
        return streams

    def push_audio(self, block: AudioBlock) -> None:
        """Queue audio, to be encoded after the video of the same time."""
        if self._audio:
            self._waiting.append(block)

    def encode(self, image: Tensor, when: Fraction) -> Iterator[EncodedPacket]:
        """Encode an image [3, H, W] RGB 0..1, shown from `when` in seconds, and the audio up to then."""
        pts = round(when / TICK)
        if self._last_pts is not None and pts <= self._last_pts:
            return
        self._last_pts = pts
        frame = to_video_frame(image[:, : self.size[0], : self.size[1]], None, _CODING)
        frame.pts, frame.time_base = pts, TICK
        frame.pict_type = PictureType.I if self.force_key else PictureType.NONE
        self.force_key = False
        for packet in self._video.encode(frame):
            yield _packed(packet, True)
        yield from self._encode_audio(when)

    def finish(self) -> Iterator[EncodedPacket]:
        """Encode the waiting audio and flush both encoders."""
        yield from self._encode_audio(None)
        for packet in self._video.encode(None):
            yield _packed(packet, True)
        if self._audio:
            for packet in self._audio.encode(None):
                yield _packed(packet, False)
        self._host.close()

    def _encode_audio(self, until: Fraction | None) -> Iterator[EncodedPacket]:
        if self._audio is None:
            return
        if self._position is None and until is not None:
            self._position = round(until * SAMPLE_RATE)  # audio from before the first frame is cut off
        while self._waiting and (until is None or self._waiting[0].time <= until):
            yield from self._encode_block(self._aligned(self._waiting.popleft()))
        if until is not None:
            latest = round((until - MAX_GAP) * SAMPLE_RATE)
            assert self._position is not None
            if self._position < latest and not self._waiting:
                yield from self._encode_block(np.zeros((2, latest - self._position), np.float32))

    def _aligned(self, block: AudioBlock) -> NDArray[np.float32]:
        """The samples, with silence before them or their start cut off if they deviate from their timestamp."""
        start = round(block.time * SAMPLE_RATE)
        if self._position is None:
            self._position = start
        late = self._position - start
        self.audio_offset = Fraction(late, SAMPLE_RATE)
        if abs(self.audio_offset) <= RESYNC:
            return block.samples
        self.audio_offset = Fraction(0)
        if late > 0:
            return block.samples[:, late:]
        return np.concatenate([np.zeros((2, -late), np.float32), block.samples], axis=1)

    def _encode_block(self, samples: NDArray[np.float32]) -> Iterator[EncodedPacket]:
        assert self._audio is not None
        assert self._position is not None
        if not samples.shape[1]:
            return
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._position, Fraction(1, SAMPLE_RATE)
        self._position += samples.shape[1]
        for packet in self._audio.encode(frame):
            yield _packed(packet, False)


def _add_video(host: OutputContainer, size: tuple[int, int], rate: Fraction, bitrate: int | None) -> VideoStream:
    keys = max(1, round(KEY_INTERVAL * rate))
    options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(keys), "threads": "1"}
    if bitrate is None:
        options["crf"] = "21"
    else:
        options |= {"maxrate": str(bitrate), "bufsize": str(bitrate)}
    stream = host.add_stream("libx264", rate.limit_denominator(100_000), options)
    context = stream.codec_context
    context.height, context.width = size
    context.pix_fmt = _CODING.pix_fmt
    context.time_base = stream.time_base = TICK
    context.color_range, context.colorspace = _CODING.range, _CODING.matrix
    context.color_primaries, context.color_trc = _CODING.primaries, _CODING.transfer
    context.flags |= Flags.global_header
    if bitrate is not None:
        context.bit_rate = bitrate
    return stream


def _add_audio(host: OutputContainer) -> AudioStream:
    stream = host.add_stream("aac", SAMPLE_RATE)
    context = stream.codec_context
    context.layout, context.format = "stereo", "fltp"
    context.bit_rate = _AUDIO_BITRATE
    context.time_base = Fraction(1, SAMPLE_RATE)
    context.flags |= Flags.global_header
    return stream


def _packed(packet: Packet[Stream], video: bool) -> EncodedPacket:
    pts = packet.pts or 0
    dts = pts if packet.dts is None else packet.dts
    base = Fraction(packet.time_base)
    return EncodedPacket(
        bytes(packet), video, packet.is_keyframe, pts, dts, packet.duration or 0, base, time.monotonic()
    )
