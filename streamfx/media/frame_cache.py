"""Pictures put by on disk, as many as do not fit in memory: a few in each file, without loss."""

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

_RATE = 25  # frames a second of a file; nobody looks at it
_OPTIONS = {"level": "3", "slicecrc": "1"}  # damage is found out


def write_chunk(path: Path, pictures: Tensor) -> None:
    """Write `pictures` [N, 3, H, W] uint8 RGB to `path`, whole or not at all: FFV1 in NUT. Raises StreamfxError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(beside), "w", format="nut") as output:
            stream = output.add_stream("ffv1", rate=_RATE, options=dict(_OPTIONS))
            assert isinstance(stream, VideoStream)
            stream.height, stream.width, stream.pix_fmt = pictures.shape[2], pictures.shape[3], "bgr0"
            for number, picture in enumerate(pictures):
                frame = VideoFrame.from_ndarray(picture.permute(1, 2, 0).contiguous().numpy(), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, _RATE)
                output.mux(stream.encode(frame.reformat(format="bgr0")))
            output.mux(stream.encode(None))
        beside.replace(path)
    except (OSError, av.error.FFmpegError) as error:
        raise StreamfxError(f"cannot put pictures by in '{path.parent}': {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def read_chunk(path: Path) -> Tensor:
    """The pictures [N, 3, H, W] uint8 RGB in `path`. Raises StreamfxError where it is missing or damaged."""
    try:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (OSError, av.error.FFmpegError, IndexError) as error:
        raise StreamfxError(f"'{path}', put by earlier, cannot be read; start the film anew") from error
    if not frames:
        raise StreamfxError(f"'{path}', put by earlier, holds no picture; start the film anew")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
