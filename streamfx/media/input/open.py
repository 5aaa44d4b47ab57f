"""Open a source and select its video stream, with clear errors."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av import Packet
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from streamfx.errors import StreamfxError
from streamfx.media.ffmpeg_log import ffmpeg_messages
from streamfx.media.file_names import file_name
from streamfx.media.input.alpha import alpha_stream
from streamfx.media.limits import check_messages, check_size, decoder_options
from streamfx.media.probe import TAG_ERRORS, demuxers
from streamfx.media.standard_streams import check_stdin

log = logging.getLogger("streamfx")

HIDDEN = Disposition.attached_pic | Disposition.timed_thumbnails
HLS_START, HLS_END, MAX_PLAYLIST = b"#EXTM3U", b"#EXT-X-ENDLIST", 16 << 20  # bytes
HLS_TIMEOUT = 4.0  # seconds to wait for a playlist file to grow, per reload; FFmpeg reloads it about four times
SEEKABLE_SCHEMES = frozenset(("file", "http", "https", "ftp", "sftp"))
NOT_VIDEO = frozenset(("tty", "bin", "xbin", "adf", "idf"))  # FFmpeg renders text files as video


def open_input(
    name: str, input_format: str | None, rate: Fraction | None, expected: str = "a video or image"
) -> InputContainer:
    """Open a source as an FFmpeg container; `rate` is for raw data and cameras. Raises StreamfxError."""
    check_input_format(input_format)
    if name == "-":
        check_stdin()
    source = "pipe:0" if name == "-" else name
    timeout = None
    options = decoder_options() | ({"framerate": str(rate)} if rate else {})
    if "://" not in source and source != "pipe:0" and not input_format:
        _check_file(Path(source))
        timeout = _playlist_timeout(Path(source))
        source = file_name(source)
    with ffmpeg_messages() as messages:
        try:
            container = av.open(
                source, format=input_format, options=options, timeout=timeout, metadata_errors=TAG_ERRORS
            )
        except Exception as error:  # PyAV raises more than FFmpeg's errors
            raise StreamfxError(
                _why_unreadable(name, input_format, [text for _, _, text in messages], error, expected)
            ) from error
    try:
        if container.format.name in NOT_VIDEO:
            raise StreamfxError(f"'{name}' is a text file, not {expected}")
        if any(stream.codec_context and not stream.width for stream in video_streams(container)):
            check_messages(name, [text for _, _, text in messages])
    except StreamfxError:
        container.close()
        raise
    return container


def check_input_format(name: str | None) -> None:
    """Raise StreamfxError if FFmpeg has no demuxer of this name."""
    if name is not None and name not in demuxers():
        raise StreamfxError(f"unknown input format '{name}'; ffmpeg -demuxers lists them")


def _check_file(path: Path) -> None:
    if not os.path.exists(path):  # unlike Path.exists, never raises
        raise StreamfxError(f"no such file: '{path}'")
    if path.is_dir():
        raise StreamfxError(f"'{path}' is a folder; give a file, or its images as '{path}/*.jpg'")
    if path.is_file() and path.stat().st_size == 0:
        raise StreamfxError(f"'{path}' is empty")
    if not os.access(path, os.R_OK):
        raise StreamfxError(f"cannot read '{path}'; check its permissions")


def demux(container: InputContainer, *streams: Stream) -> Iterator[Packet[Stream]]:
    """Yield the packets of some or all streams of a container, and at the end an empty one for each stream.

    PyAV ends with an IndexError if FFmpeg found more streams while it read, as in joined recordings.
    """
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, IndexError):
            return
        yield packet


def can_seek(name: str) -> bool:
    """Whether FFmpeg can seek in a source. An attempt in a pipe or live stream would lose the data in between."""
    scheme, separator, _ = name.partition("://")
    return scheme.lower() in SEEKABLE_SCHEMES if separator else name != "-" and os.path.isfile(name)


def _playlist_timeout(path: Path) -> float | None:
    """Return the seconds to wait for an HLS playlist (RFC 8216) to grow, else FFmpeg waits forever; None for others."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(len(HLS_START)) != HLS_START:
            return None
    if is_live(path):
        log.warning("playlist '%s' has no end marker; reading until nothing is added for %g s", path, HLS_TIMEOUT)
    return HLS_TIMEOUT


def is_live(path: Path) -> bool:
    """Whether a file is an HLS playlist without an end, to which more may be added."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(HLS_START)) == HLS_START and HLS_END not in file.read(MAX_PLAYLIST)


def _why_unreadable(name: str, input_format: str | None, messages: list[str], error: Exception, expected: str) -> str:
    text = " ".join(messages).lower()
    where = "stdin" if name == "-" else f"'{name}'"
    if "moov atom not found" in text or (name == "-" and "moov" in text):
        return f"{where}: this mp4 has no readable index (moov); the file is incomplete or damaged"
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, av.error.InvalidDataError):
        return f"{where} is not {expected} that FFmpeg can read"
    return f"cannot open {where}: {reason}" + (f" (as {input_format})" if input_format else "")


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the video streams except cover art. A stream that cannot be decoded has no codec_context."""
    return [stream for stream in container.streams.video if not stream.disposition & HIDDEN]


def default_video_stream(name: str, container: InputContainer) -> VideoStream:
    """Return the stream to process, ready to decode; never cover art.

    A stream that moves comes before a still image, then the default stream, then the largest.
    """
    streams = [stream for stream in video_streams(container) if stream.codec_context]
    if not streams and video_streams(container):
        container.close()
        raise StreamfxError(f"this FFmpeg cannot decode the video codec of '{name}'; convert the file first")
    if not streams:
        content = "only audio" if container.streams.audio else "no video"
        art = " and cover art" if container.streams.video else ""
        container.close()
        raise StreamfxError(f"'{name}' has {content}{art}; give a video or an image")
    longest = max(_seconds(stream) for stream in streams)
    chosen = max(
        streams, key=lambda s: (_moves(s, longest), bool(s.disposition & Disposition.default), s.width * s.height)
    )
    alpha = alpha_stream(container, chosen)
    equal = [stream for stream in streams if _moves(stream, longest) == _moves(chosen, longest) and stream is not alpha]
    if len(equal) > 1:
        log.warning("%d video streams in '%s'; using stream %d", len(equal), name, chosen.index)
    try:
        check_size(name, chosen.width, chosen.height)
    except StreamfxError:
        container.close()
        raise
    chosen.codec_context.options = decoder_options()
    return chosen


def _moves(stream: VideoStream, longest: Fraction) -> bool:
    """Whether a stream is a video, and not an image beside one; `longest` is the duration of all streams in seconds."""
    seconds = _seconds(stream)
    # FFmpeg finds no average rate where it has seen only one frame
    return stream.frames != 1 and stream.average_rate is not None and (not seconds or 2 * seconds >= longest)


def _seconds(stream: VideoStream) -> Fraction:
    """The declared duration of a stream in seconds; 0 if it is unknown."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    if match := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = map(Fraction, match.groups())
        return 3600 * hours + 60 * minutes + seconds
    return Fraction(0)
