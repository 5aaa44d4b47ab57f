"""Ground-truth optical flow in .flo files, the format of the Middlebury and Sintel benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from natsort import natsorted
from torch import Tensor

from streamfx.errors import StreamfxError

MAGIC = b"PIEH"  # 202021.25 as a little-endian float
HEADER = 12  # bytes: magic, width and height
UNKNOWN = 1e9  # pixels; larger values mean unknown flow


def find_flows(folder: str | Path, height: int, width: int) -> list[Path]:
    """The .flo files of a folder in natural order (frame_0001.flo, ...): flow from each frame of a video to the next.

    Raises StreamfxError if there are none, or if one is not a .flo file of this size.
    """
    path = Path(folder)
    if not path.is_dir():
        raise StreamfxError(f"folder not found: '{folder}'; give the folder with frame_0001.flo, frame_0002.flo, ...")
    files = natsorted(path.glob("*.flo"))
    if not files:
        raise StreamfxError(f"'{folder}' has no .flo files; one is needed for each frame except the last")
    for file in files:
        _check(file, height, width)
    return files


def load_flow(file: Path) -> Tensor:
    """The flow [2, H, W] in pixels, x then y; NaN where unknown. Raises StreamfxError for a damaged file."""
    data = file.read_bytes()
    width, height = np.frombuffer(data, "<i4", 2, 4).tolist() if len(data) >= HEADER else (0, 0)
    if min(width, height) < 1 or data[:4] != MAGIC or len(data) != HEADER + 8 * height * width:
        raise StreamfxError(f"'{file}' is not a complete .flo file; copy it again")
    values = np.frombuffer(data, "<f4", 2 * height * width, HEADER).reshape(height, width, 2)
    flow = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)
    return torch.where(flow.abs() > UNKNOWN, torch.nan, flow)


def _check(file: Path, height: int, width: int) -> None:
    """Raise StreamfxError unless the file has the flow of frames of this size; reads only the header."""
    with file.open("rb") as stream:
        head = stream.read(HEADER)
    if len(head) < HEADER or head[:4] != MAGIC:
        raise StreamfxError(f"'{file}' is not a .flo file: it does not start with {MAGIC.decode()} and a size")
    columns, rows = np.frombuffer(head, "<i4", 2, 4).tolist()
    if (columns, rows) != (width, height):
        raise StreamfxError(f"'{file}' has {columns}x{rows} pixels, but the source has {width}x{height}")
    expected, size = HEADER + 8 * height * width, file.stat().st_size
    if size != expected:
        raise StreamfxError(f"'{file}' has {size} bytes, but {width}x{height} pixels need {expected}; copy it again")
