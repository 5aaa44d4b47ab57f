"""Opening a source, finding its picture stream, and saying why where that fails."""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import ffmpeg_messages
from streamfx.media.limits import check_said, check_size, decoder_options

log = logging.getLogger("streamfx")

HIDDEN = Disposition.attached_pic | Disposition.timed_thumbnails
LIST, LIST_ENDS, LONGEST_LIST = b"#EXTM3U", b"#EXT-X-ENDLIST", 16 << 20  # bytes
PATIENCE = 4.0  # seconds that a list in a file is waited on, each time that it is read: some four times in all
NOT_VIDEO = frozenset(("tty", "bin", "xbin", "adf", "idf"))  # FFmpeg draws text files as pictures


def open_input(
    name: str, input_format: str | None, rate: Fraction | None, wanted: str = "a video or picture"
) -> InputContainer:
    """FFmpeg's container of a source; a StreamfxError says why there is none. `rate` is for raw data and cameras."""
    source = "pipe:0" if name == "-" else name
    patience = None
    options = decoder_options() | ({"framerate": str(rate)} if rate else {})
    if "://" not in source and source != "pipe:0" and not input_format:
        _check_file(Path(source))
        patience = _patience(Path(source))
    with ffmpeg_messages() as messages:
        try:
            container = av.open(source, format=input_format, options=options, timeout=patience)
        except av.error.FFmpegError as error:
            raise StreamfxError(
                _why_unreadable(name, input_format, [text for _, _, text in messages], error, wanted)
            ) from error
        except ValueError as error:
            raise StreamfxError(f"unknown input format '{input_format}'; ffmpeg -demuxers lists them") from error
    try:
        if container.format.name in NOT_VIDEO:
            raise StreamfxError(f"'{name}' is a text file, not {wanted}")
        if any(stream.codec_context and not stream.width for stream in pictures_of(container)):
            check_said(name, [text for _, _, text in messages])
    except StreamfxError:
        container.close()
        raise
    return container


def _check_file(path: Path) -> None:
    if not os.path.exists(path):  # which the longest name does not make raise
        raise StreamfxError(f"no such file: '{path}'")
    if path.is_dir():
        raise StreamfxError(f"'{path}' is a folder; give a file, or its pictures as '{path}/*.jpg'")
    if path.is_file() and path.stat().st_size == 0:
        raise StreamfxError(f"'{path}' is empty")
    if not os.access(path, os.R_OK):
        raise StreamfxError(f"'{path}' may not be read; check its permissions")


def _patience(path: Path) -> float | None:
    """Seconds to wait for more of a list of parts (HLS, RFC 8216), on which FFmpeg waits for ever; None for others."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(len(LIST)) != LIST:
            return None
        if LIST_ENDS not in file.read(LONGEST_LIST):
            log.warning("'%s' does not tell its end: it is where nothing has come for %g s", path, PATIENCE)
    return PATIENCE


def _why_unreadable(name: str, input_format: str | None, messages: list[str], error: Exception, wanted: str) -> str:
    said = " ".join(messages).lower()
    where = "stdin" if name == "-" else f"'{name}'"
    if "moov atom not found" in said or (name == "-" and "moov" in said):
        return f"{where}: this mp4 has no index (moov) that can be read; it is incomplete or broken"
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, av.error.InvalidDataError):
        return f"{where} is not {wanted} that FFmpeg can read"
    return f"cannot open {where}: {reason}" + (f" (as {input_format})" if input_format else "")


def pictures_of(container: InputContainer) -> list[VideoStream]:
    """The streams of moving pictures; cover art is none. Those that cannot be decoded have no codec_context."""
    return [stream for stream in container.streams.video if not stream.disposition & HIDDEN]


def picture_stream(name: str, container: InputContainer) -> VideoStream:
    """The stream to work on, ready to be decoded: the default one or else the largest; cover art is none."""
    streams = [stream for stream in pictures_of(container) if stream.codec_context]
    if not streams and pictures_of(container):
        container.close()
        raise StreamfxError(f"'{name}' has pictures in a coding that this FFmpeg cannot decode; convert it first")
    if not streams:
        found = "sound only" if container.streams.audio else "no pictures"
        art = ", its cover art aside" if container.streams.video else ""
        container.close()
        raise StreamfxError(f"'{name}' has {found}{art}; give a video or a picture")
    chosen = max(streams, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height))
    if len(streams) > 1:
        log.warning("%d picture streams in '%s': working on number %d", len(streams), name, chosen.index)
    try:
        check_size(name, chosen.width, chosen.height)
    except StreamfxError:
        container.close()
        raise
    chosen.codec_context.options = decoder_options()
    return chosen
