"""Lossless disk cache for frames that do not fit in memory; each file holds a short run of frames."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import torch
from av import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.media.file_names import file_name

_RATE = 25  # nominal frames per second; readers ignore it
_OPTIONS = {"level": "3", "slicecrc": "1"}  # a checksum per slice, so that damage is detected


def write_chunk(path: Path, images: Tensor) -> None:
    """Write `images` [N, 3, H, W] uint8 RGB to `path` atomically, as FFV1 in NUT. Raises StreamfxError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(file_name(partial), "w", format="nut") as output:
            stream = output.add_stream("ffv1", rate=_RATE, options=dict(_OPTIONS))
            assert isinstance(stream, VideoStream)
            stream.height, stream.width, stream.pix_fmt = images.shape[2], images.shape[3], "bgr0"
            for number, image in enumerate(images):
                frame = VideoFrame.from_ndarray(image.permute(1, 2, 0).contiguous().numpy(), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, _RATE)
                output.mux(stream.encode(frame.reformat(format="bgr0")))
            output.mux(stream.encode(None))
        partial.replace(path)
    except (OSError, av.error.FFmpegError) as error:
        raise StreamfxError(f"cannot cache frames in '{path.parent}': {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def read_chunk(path: Path) -> Tensor:
    """Return the images [N, 3, H, W] uint8 RGB in `path`. Raises StreamfxError if it is missing or damaged."""
    try:
        with av.open(file_name(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (OSError, av.error.FFmpegError, IndexError) as error:
        raise StreamfxError(f"cannot read cached frames from '{path}'; start the run over") from error
    if not frames:
        raise StreamfxError(f"'{path}' contains no cached frames; start the run over")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
