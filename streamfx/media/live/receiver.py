"""Receive a live source: decoded frames and audio in the order of arrival."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av import AudioFrame, AudioResampler, VideoFrame
from av.codec.context import Flags
from numpy.typing import NDArray

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import FilterGraph
from streamfx.media.input.captions import CODECS as CAPTION_CODECS
from streamfx.media.input.open import NOT_VIDEO, check_input_format, default_video_stream, demux
from streamfx.media.input.side_data import upright_filters
from streamfx.media.invalid_samples import silence_invalid
from streamfx.media.live.address import LiveSource
from streamfx.media.pixel_formats import coding_of, tag, to_image
from streamfx.media.probe import TAG_ERRORS

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream
    from torch import Tensor

log = logging.getLogger("streamfx")

SAMPLE_RATE = 48000  # Hz, of all live audio
CHANNELS = 2


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A block of audio."""

    samples: NDArray[np.float32]  # [CHANNELS, N] at SAMPLE_RATE
    time: Fraction  # seconds, of the first sample

    @property
    def end(self) -> Fraction:
        return self.time + Fraction(self.samples.shape[1], SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame of a live source, upright."""

    frame: VideoFrame
    time: Fraction  # seconds on the source's clock

    def image(self, size: tuple[int, int]) -> Tensor:
        """RGB [3, H, W] float 0..1, scaled to `size`, height and width."""
        frame = self.frame
        if (frame.height, frame.width) != size:
            coding = coding_of(frame)
            frame = frame.reformat(size[1], size[0], interpolation="BICUBIC")
            tag(frame, coding)
        return to_image(frame)[0]


class SourceLostError(StreamfxError):
    """The source does not open, sends nothing, or failed while it was read."""


class Receiver:
    """An opened live source, decoded without frames of delay. Not thread-safe.

    Raises SourceLostError where a reconnection may help, and StreamfxError for a source without video.
    """

    def __init__(self, source: LiveSource) -> None:
        self.name = source.name
        self._container = _open(source)
        if self._container.format.name in NOT_VIDEO:
            self._container.close()
            raise StreamfxError(f"'{source.name}' is a text file, not a video")
        self._video = default_video_stream(source.name, self._container)
        self._video.codec_context.thread_type = "SLICE"  # frame threads would delay each frame by several others
        self._video.codec_context.flags |= Flags.low_delay
        self._audio = next((stream for stream in self._container.streams.audio if stream.codec_context), None)
        self._upright: FilterGraph | None = None  # rotates the frames of a source that declares a rotation
        self._started = False
        self._invalid = False  # whether a sample was invalid
        self._resampler = AudioResampler("fltp", "stereo", SAMPLE_RATE)
        self.rate: Fraction | None = self._video.average_rate or self._video.guessed_rate
        self.size = self._video.height, self._video.width

    @property
    def has_audio(self) -> bool:
        return self._audio is not None

    @property
    def may_have_captions(self) -> bool:
        """Whether frames may have closed captions, because the codec supports them."""
        return self._video.codec_context.codec.canonical_name in CAPTION_CODECS

    @property
    def omitted(self) -> str:
        """The kinds of streams that are not received, such as "subtitles, data"; "" if there are none."""
        used = {self._video.index, self._audio.index if self._audio else -1}
        kinds = [stream.type for stream in self._container.streams if stream.index not in used]
        names = {"audio": "other audio", "video": "other video", "subtitle": "subtitles", "attachment": "attachments"}
        return ", ".join(dict.fromkeys(names.get(kind, kind) for kind in kinds))

    def arrivals(self) -> Iterator[Picture | AudioBlock]:
        """Yield frames and blocks of audio in the order of arrival; returns at the end of the source."""
        streams: list[Stream] = [self._video, *([self._audio] if self._audio else [])]
        failures = 0
        packets = demux(self._container, *streams)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                decoded = packet.decode()
                failures = 0
            except (av.error.InvalidDataError, av.error.PatchWelcomeError):  # joined between two key frames, or damaged
                failures += 1
                if failures > 1000:
                    raise SourceLostError(f"'{self.name}' sends data that cannot be decoded") from None
                continue
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                raise SourceLostError(f"'{self.name}': {_reason(error)}") from error
            yield from self._converted(packet, decoded)

    def close(self) -> None:
        self._container.close()

    def _rotated(self, frame: VideoFrame) -> VideoFrame:
        if not self._started:
            self._started = True
            if filters := upright_filters(frame):
                self._upright = FilterGraph(filters, time_base=frame.time_base or Fraction(1, 1000))
        return frame if self._upright is None else next(self._upright.push(frame))

    def _converted(self, packet: Packet[Stream], decoded: Sequence[object]) -> Iterator[Picture | AudioBlock]:
        for frame in decoded:
            if isinstance(frame, VideoFrame):
                time = frame.pts if frame.pts is not None else frame.dts
                if time is not None and frame.time_base:
                    yield Picture(self._rotated(frame), time * frame.time_base)
            elif isinstance(frame, AudioFrame) and frame.pts is not None:
                for block in self._resampler.resample(frame):
                    if block.pts is not None and block.time_base and block.samples:
                        samples = block.to_ndarray().astype(np.float32, copy=False)
                        if silence_invalid(samples) and not self._invalid:
                            self._invalid = True
                            log.warning("samples of the audio are not numbers, or much too large; they become silence")
                        yield AudioBlock(samples, block.pts * block.time_base)


def _open(source: LiveSource) -> InputContainer:
    check_input_format(source.format)
    timeout, options = (source.open_timeout, source.stall), dict(source.options)
    try:
        return av.open(source.url, format=source.format, options=options, timeout=timeout, metadata_errors=TAG_ERRORS)
    except Exception as error:  # PyAV raises more than FFmpeg's errors
        kind = SourceLostError if source.reconnects else StreamfxError
        raise kind(f"cannot open '{source.name}': {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):
        return "no data arrives"
    return (getattr(error, "strerror", None) or str(error)).lower()
