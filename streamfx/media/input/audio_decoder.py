"""The sound of any file as samples: one channel, at any rate, in blocks."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import TypeAlias

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from streamfx.errors import StreamfxError
from streamfx.media.input.open import open_input

log = logging.getLogger("streamfx")

Samples: TypeAlias = NDArray[np.float32]

_LATEST = 600  # seconds of silence that may stand before the first sound; a later start is not believed


def read_sound(source: str, rate: int, seconds: float = 10.0) -> Generator[Samples, None, None]:
    """The default sound stream of `source`, the mean of its channels, as blocks [N] float32, mostly -1..1.

    All blocks but the last are `seconds` long. They begin where the file does, with silence if its sound sets in later.
    Places that cannot be decoded are passed over, with a warning. Raises StreamfxError for no file, no sound, or none
    that can be decoded.
    """
    size = round(seconds * rate)
    with open_input(source, None, None, "a song or a film with sound") as container:
        held: list[Samples] = []
        length = 0
        for piece in _pieces(source, container, rate):
            held.append(piece)
            length += len(piece)
            while length >= size:
                joined = np.concatenate(held)
                yield joined[:size]
                held, length = [joined[size:]], length - size
        if length:
            yield np.concatenate(held)


def _pieces(source: str, container: InputContainer, rate: int) -> Iterator[Samples]:
    """What the decoder gives, resampled."""
    stream = sound_stream(source, container)
    resampler, setup = None, None
    made = 0
    for frame in _decoded(source, container, stream):
        if frame is not None and (frame.format.name, frame.layout.name, frame.rate) != setup:  # streams may change it
            if resampler is None and (late := _delay(container, frame, rate)):
                yield np.zeros(late, np.float32)
            resampler = av.AudioResampler(format="fltp", rate=rate)
            setup = (frame.format.name, frame.layout.name, frame.rate)
        for done in _resampled(source, resampler, frame) if resampler else ():
            made += done.samples
            yield done.to_ndarray().mean(axis=0)
    if not made:
        raise StreamfxError(f"'{source}' has no sound that can be decoded")


def _resampled(source: str, resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
    """What the resampler makes of a frame. Raises StreamfxError for rates and channels that nobody has."""
    try:
        return resampler.resample(frame)
    except av.error.FFmpegError as error:
        told = f" at {frame.rate} samples a second in {len(frame.layout.channels)} channels" if frame else ""
        raise StreamfxError(f"'{source}' has sound{told}, which cannot be converted: {error.strerror}") from error


def sound_stream(source: str, container: InputContainer) -> AudioStream:
    """The default sound stream of a file. Raises StreamfxError where there is none."""
    streams = [stream for stream in container.streams.audio if stream.codec_context]
    if not streams and container.streams.audio:
        raise StreamfxError(f"'{source}' has sound in a coding that this FFmpeg cannot decode; convert it first")
    if not streams:
        raise StreamfxError(f"'{source}' has no sound; give a song or a film with sound")
    return max(streams, key=lambda stream: bool(stream.disposition & Disposition.default))


def _decoded(source: str, container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame | None]:
    """Frames in order, None at the end; packets that cannot be decoded are passed over, as players do."""
    damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.error.FFmpegError:
            damaged += 1
            break
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            damaged += 1
    if damaged:
        log.warning("'%s': some of its sound is damaged", source)
    yield None


def _delay(container: InputContainer, frame: av.AudioFrame, rate: int) -> int:
    """Samples of silence between the start of the file and its first sound."""
    if frame.pts is None or frame.time_base is None:
        return 0
    late = frame.pts * frame.time_base - Fraction(container.start_time or 0, av.time_base)
    return round(late * rate) if 0 < late < _LATEST else 0
