"""Ground-truth motion as .flo files, the format of Middlebury's and Sintel's optical flow benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamfx.errors import StreamfxError

MAGIC = b"PIEH"  # 202021.25 as a little-endian float
HEADER = 12  # bytes: the magic, width and height
UNKNOWN = 1e9  # pixels; longer motion stands for a motion that is not known


def find_flows(folder: str | Path, height: int, width: int) -> list[Path]:
    """The .flo files of a folder by name (frame_0001.flo, ...): motion from each frame of a film to its next one.

    Raises StreamfxError where there are none, or one is no .flo file or not of this size.
    """
    home = Path(folder)
    if not home.is_dir():
        raise StreamfxError(
            f"no folder '{folder}'; give the folder with the film's frame_0001.flo, frame_0002.flo, ..."
        )
    files = sorted(home.glob("*.flo"))
    if not files:
        raise StreamfxError(f"'{folder}' has no .flo files; one for each frame but the last is needed")
    for file in files:
        _check(file, height, width)
    return files


def load_flow(file: Path) -> Tensor:
    """The motion [2, H, W] in pixels, first to the right, then down; NaN where it is not known.

    Of a file that `find_flows` found; raises StreamfxError where it has changed since.
    """
    data = file.read_bytes()
    width, height = np.frombuffer(data, "<i4", 2, 4).tolist() if len(data) >= HEADER else (0, 0)
    if min(width, height) < 1 or data[:4] != MAGIC or len(data) != HEADER + 8 * height * width:
        raise StreamfxError(f"'{file}' is no whole .flo file; copy it anew")
    values = np.frombuffer(data, "<f4", 2 * height * width, HEADER).reshape(height, width, 2)
    flow = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)
    return torch.where(flow.abs() > UNKNOWN, torch.nan, flow)


def _check(file: Path, height: int, width: int) -> None:
    """That the file holds the motion of pictures of this size; reads its first bytes only."""
    with file.open("rb") as opened:
        head = opened.read(HEADER)
    if len(head) < HEADER or head[:4] != MAGIC:
        raise StreamfxError(f"'{file}' is no .flo file: it does not begin with {MAGIC.decode()} and a size")
    across, down = np.frombuffer(head, "<i4", 2, 4).tolist()
    if (across, down) != (width, height):
        raise StreamfxError(f"'{file}' is motion of {across}x{down} pixels, but the source has {width}x{height}")
    wanted, found = HEADER + 8 * height * width, file.stat().st_size
    if found != wanted:
        raise StreamfxError(f"'{file}' has {found} bytes, but {width}x{height} pixels need {wanted}; copy it anew")
