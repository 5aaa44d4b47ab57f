"""Image sequences as a video: 'frames/%05d.png', or a glob like 'TimeLapse/*.JPG' in natural order."""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av import VideoFrame
from natsort import natsorted

from streamfx.errors import StreamfxError
from streamfx.media.ffmpeg_log import ffmpeg_messages
from streamfx.media.file_names import file_name
from streamfx.media.input.alpha import AlphaMerger, alpha_stream, webm_alpha_decoder
from streamfx.media.input.side_data import upright
from streamfx.media.input.tiled_image import decode_tiled, has_tiles
from streamfx.media.limits import check_messages, check_size, decoder_options
from streamfx.media.probe import TAG_ERRORS

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

IMAGE_ENDINGS = frozenset(
    [
        ".avif",
        ".bmp",
        ".dpx",
        ".exr",
        ".heic",
        ".heif",
        ".jp2",
        ".jpeg",
        ".jpg",
        ".jxl",
        ".pam",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".qoi",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
NUMBER = re.compile(r"%0?(\d*)d")


class ImageSequence:
    """An opened image sequence, with the interface of `Demuxer`. Images come upright; there are no other streams."""

    input = stream = length = None
    can_restart, constant_frame_rate = False, True

    def __init__(self, files: list[Path], *, rate: Fraction, start: Fraction, end: Fraction | None) -> None:
        self.rate: Fraction | None = rate
        self.tick = 1 / rate  # seconds
        self._files = files[round(start * rate) : None if end is None else round(end * rate)]
        self._start = 0
        self.duration: Fraction | None = len(self._files) / rate
        self.offset = Fraction(0)
        self.damaged_at: Fraction | None = None
        self.collects_packets = False
        self.packets: deque[Packet[Stream]] = deque()
        self.covers: dict[int, bytes] = {}
        self.channel_orders: dict[int, tuple[str, ...]] = {}
        self.warns_of_jumps = False

    def video_frames(self) -> Generator[VideoFrame, None, None]:
        return decode_files(self._files, self.tick, self._start)

    def seek(self, time: Fraction) -> bool:
        """Make the next `video_frames()` start at `time`, in seconds; always succeeds."""
        self._start = round(time / self.tick)
        return True

    def disable_restart(self) -> None:
        """Nothing to do: an image sequence cannot be restarted."""

    def read_to_end(self) -> None:
        """Nothing to do: there are no other streams."""

    def read_until(self, time: Fraction | None) -> None:
        """Nothing to do: there are no other streams."""

    def close(self) -> None:
        """Nothing to do: no file stays open."""


def is_pattern(path: str) -> bool:
    """Whether a path is a pattern for several images: it contains %d or a glob wildcard and is not a file itself."""
    if "://" in path or os.path.exists(path):
        return False
    return is_numbered(path) or (Path(path).suffix.lower() in IMAGE_ENDINGS and glob.has_magic(path))


def is_numbered(path: str) -> bool:
    """Whether an image path contains %d or %05d for the frame number."""
    return bool(NUMBER.search(path)) and Path(path).suffix.lower() in IMAGE_ENDINGS


def files_of(pattern: str) -> list[Path]:
    """Return the files that match a pattern, in natural order ("img2" before "img10"); numbers may have gaps."""
    if is_numbered(pattern):
        head, tail = NUMBER.split(pattern)[0], NUMBER.split(pattern)[-1]
        regex = re.compile(re.escape(head) + r"\d+" + re.escape(tail))
        names = [name for name in glob.glob(glob.escape(head) + "*" + glob.escape(tail)) if regex.fullmatch(name)]
    else:
        names = glob.glob(pattern)
    files = [Path(name) for name in natsorted(names) if os.path.isfile(name)]
    if not files:
        raise StreamfxError(f"no file matches '{pattern}'; give a pattern like 'frames/%05d.png' or 'frames/*.jpg'")
    return files


def decode_files(files: list[Path], tick: Fraction, begin: int = 0) -> Generator[VideoFrame, None, None]:
    """Yield one upright frame per file, from index `begin` on; pts is the index, in units of `tick` seconds.

    Raises StreamfxError with the name of a file that is not an image.
    """
    for number, file in enumerate(files[begin:], begin):
        frame = None
        with (
            ffmpeg_messages() as messages,
            suppress(av.error.FFmpegError, IndexError),
            av.open(file_name(file), options=decoder_options(), metadata_errors=TAG_ERRORS) as container,
        ):
            frame = decode_tiled(str(file)) if has_tiles(container) else _first_frame(str(file), container)
        if frame is None:
            check_messages(str(file), [text for _, _, text in messages])
            raise StreamfxError(f"'{file}' is not an image that FFmpeg can read; remove it or narrow the pattern")
        frame.pts, frame.duration, frame.time_base = number, 1, tick
        yield upright(frame)


def _first_frame(name: str, container: InputContainer) -> VideoFrame | None:
    """Decode the image in a container, with its alpha."""
    stream = container.streams.video[0]
    check_size(name, stream.width, stream.height)
    alpha = alpha_stream(container, stream)
    decode = AlphaMerger(stream, alpha).decode if alpha else webm_alpha_decoder(stream) or stream.decode
    streams = [stream, *([alpha] if alpha else [])]
    for one in streams:
        one.codec_context.options = decoder_options()
    return next((frame for packet in container.demux(streams) for frame in decode(packet)), None)


def check_rate(rate: Fraction) -> Fraction:
    """Return the frame rate if it is in range. Raises StreamfxError otherwise."""
    if not 0 < rate <= 1000:
        raise StreamfxError(f"frame rate {float(rate):g} is out of range; give a value above 0 and up to 1000")
    return rate
