"""Photos stored as a grid of tiles (HEIC of iPhones, large AVIF), whose layout FFmpeg's demuxer does not pass on."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import av
import av.error
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from streamfx.errors import StreamfxError
from streamfx.media.file_names import file_name
from streamfx.media.input.alpha import HEIF_BRANDS
from streamfx.media.limits import check_size, decoder_options

Samples: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

_FORMATS = {"RGB": "rgb24", "RGBA": "rgba", "RGB;16": "rgb48le", "RGBA;16": "rgba64le"}  # mode -> pixel format
_DAMAGE = (OSError, EOFError, RuntimeError, SyntaxError, ValueError)  # what Pillow and pillow-heif raise


def is_tiled(name: str) -> bool:
    """Whether a file is an image in tiles."""
    path = Path(name)
    try:
        if "://" in name or not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:  # whoever opens it says why
        return False
    if head[4:8] != b"ftyp" or head[8:12].decode("latin-1") not in HEIF_BRANDS:
        return False
    try:
        with av.open(file_name(path), options=decoder_options(), metadata_errors="replace") as container:
            return has_tiles(container)
    except av.error.FFmpegError:
        return False


def has_tiles(container: InputContainer) -> bool:
    """Whether all video streams of a container are tiles of an image."""
    streams = container.streams.video
    return bool(streams) and all(stream.disposition & Disposition.dependent for stream in streams)


def decode_tiled(name: str) -> VideoFrame:
    """Decode an image in tiles, upright, as RGB with 8 or 16 bits, and alpha if it has any.

    Raises StreamfxError if the package that assembles HEIC is missing, or if the file is damaged.
    """
    _check_complete(name)
    with Path(name).open("rb") as file:
        is_avif = file.read(12)[8:11] == b"avi"
    mode, samples = _read_avif(name) if is_avif else _read_heic(name)
    return VideoFrame.from_ndarray(samples, format=_FORMATS[mode])


def _check_complete(name: str) -> None:
    """Raise StreamfxError if the data of a tile is missing, for which libheif gives a gray area."""
    with av.open(file_name(Path(name)), metadata_errors="replace") as container:
        tiles = container.streams.video
        try:
            complete = {packet.stream.index for packet in container.demux(tiles) if packet.size}
        except av.error.FFmpegError:
            complete = set()
        if len(complete) < len(tiles):
            raise StreamfxError(f"'{name}' is incomplete: {len(complete)} of {len(tiles)} tiles can be read")


def _read_heic(name: str) -> tuple[str, Samples]:
    try:
        import pillow_heif
    except ImportError as error:
        raise StreamfxError(
            f"'{name}' is a HEIC photo in tiles; install streamfx[heif], or convert it to jpg or png"
        ) from error
    try:
        image = pillow_heif.open_heif(name, convert_hdr_to_8bit=False)
        check_size(name, *image.size)
        if image.mode in _FORMATS:
            return image.mode, np.ascontiguousarray(image)
        return "RGB", np.ascontiguousarray(image.to_pillow().convert("RGB"))
    except _DAMAGE as error:
        raise StreamfxError(f"'{name}' is a damaged HEIC photo: {error}") from error


def _read_avif(name: str) -> tuple[str, Samples]:
    from PIL import Image

    try:
        with Image.open(name) as image:
            check_size(name, *image.size)
            mode = image.mode if image.mode in _FORMATS else "RGB"
            return mode, np.ascontiguousarray(image.convert(mode))
    except _DAMAGE as error:
        raise StreamfxError(f"'{name}' is a damaged AVIF image: {error}") from error
