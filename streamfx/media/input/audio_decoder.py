"""Decode the audio of any file to mono samples at any rate, in blocks."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import TypeAlias, cast

import av
import av.error
import numpy as np
from av import Packet
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from streamfx.errors import StreamfxError
from streamfx.media.input.channel_layout import settle_layout
from streamfx.media.input.open import demux, open_input
from streamfx.media.invalid_samples import silence_invalid

log = logging.getLogger("streamfx")

Samples: TypeAlias = NDArray[np.float32]

_MAX_DELAY = 600  # seconds of leading silence; a later audio start is taken for a wrong timestamp


def read_audio(source: str, rate: int, seconds: float = 10.0) -> Generator[Samples, None, None]:
    """Yield the default audio stream of `source`, mixed to mono, as blocks [N] float32, mostly -1..1.

    All blocks but the last are `seconds` long. They start at the start of the file, with silence if the audio starts
    later. Damaged packets are skipped with a warning. Raises StreamfxError if there is no file or no decodable audio.
    """
    size = round(seconds * rate)
    with open_input(source, None, None, "a file with audio") as container:
        pending: list[Samples] = []
        length = 0
        for chunk in _decode_mono(source, container, rate):
            pending.append(chunk)
            length += len(chunk)
            while length >= size:
                joined = np.concatenate(pending)
                yield joined[:size]
                pending, length = [joined[size:]], length - size
        if length:
            yield np.concatenate(pending)


def _decode_mono(source: str, container: InputContainer, rate: int) -> Iterator[Samples]:
    """Yield decoded audio, resampled and mixed to mono."""
    stream, _ = default_audio_stream(source, container)
    resampler, audio_format = None, None
    count, invalid = 0, False
    for frame in _decode(source, container, stream):
        if frame is not None and (frame.format.name, frame.layout.name, frame.rate) != audio_format:  # it may change
            if resampler is None and (silence := _delay(container, frame, rate)):
                yield np.zeros(silence, np.float32)
            resampler = av.AudioResampler(format="flt", rate=rate)  # PyAV reads 8 planar channels out of bounds
            audio_format = (frame.format.name, frame.layout.name, frame.rate)
        for resampled in _resample(source, resampler, frame) if resampler else ():
            count += resampled.samples
            mono = resampled.to_ndarray().reshape(resampled.samples, -1).mean(axis=1)
            invalid |= silence_invalid(mono)
            yield mono
    if invalid:
        log.warning("samples in the audio of '%s' are not numbers, or much too large; they count as 0", source)
    if not count:
        raise StreamfxError(f"no audio of '{source}' can be decoded")


def _resample(source: str, resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
    """Resample a frame; None flushes. Raises StreamfxError for unsupported rates and channel layouts."""
    try:
        return resampler.resample(frame)
    except av.error.FFmpegError as error:
        details = f" ({frame.rate} Hz, {len(frame.layout.channels)} channels)" if frame else ""
        raise StreamfxError(f"cannot resample the audio of '{source}'{details}: {error.strerror}") from error


def default_audio_stream(source: str, container: InputContainer) -> tuple[AudioStream, tuple[str, ...]]:
    """Return the default audio stream of a file, and its channels if they are not in native order.

    Raises StreamfxError if there is none.
    """
    streams = [stream for stream in container.streams.audio if stream.codec_context]
    if not streams and container.streams.audio:
        raise StreamfxError(f"this FFmpeg cannot decode the audio codec of '{source}'; convert the file first")
    if not streams:
        raise StreamfxError(f"'{source}' has no audio; give a file with audio")
    default = max(streams, key=lambda stream: bool(stream.disposition & Disposition.default))
    return default, settle_layout(default)


def _decode(source: str, container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame | None]:
    """Yield frames in order and None at the end; packets that cannot be decoded are skipped, as players do."""
    damaged = 0
    packets = demux(container, stream)
    while True:
        try:
            packet = cast("Packet[AudioStream]", next(packets))
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
        log.warning("some audio of '%s' is damaged", source)
    yield None


def _delay(container: InputContainer, frame: av.AudioFrame, rate: int) -> int:
    """Return the number of samples of silence between the start of the file and its first audio."""
    if frame.pts is None or frame.time_base is None:
        return 0
    delay = frame.pts * frame.time_base - Fraction(container.start_time or 0, av.time_base)
    return round(delay * rate) if 0 < delay < _MAX_DELAY else 0
