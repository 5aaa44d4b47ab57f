"""Side data of decoded frames: display rotation and HDR mastering metadata."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import Type as SideDataType

from streamfx.media.filters.graph import Filter, FilterGraph

UPRIGHT_FILTERS = {  # signs of (a, b, c, d) of a display matrix -> filters that rotate the frame upright
    (-1, 0, 0, 1): (Filter("hflip"),),
    (1, 0, 0, -1): (Filter("vflip"),),
    (-1, 0, 0, -1): (Filter("hflip"), Filter("vflip")),
    (0, 1, -1, 0): (Filter("transpose", "clock"),),
    (0, -1, 1, 0): (Filter("transpose", "cclock"),),
    (0, 1, 1, 0): (Filter("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (Filter("transpose", "clock_flip"),),
}

DROP_ICC_PROFILE = Filter("sidedata", "mode=delete:type=ICC_PROFILE")


def _unknown_kind(kind: type[SideDataType], value: int) -> SideDataType:
    """Create an enum member for side data that PyAV does not know yet, such as the EXIF data of photos."""
    member = object.__new__(kind)
    member._name_ = f"TYPE_{value}"
    member._value_ = value  # type: ignore[assignment]
    return member


# otherwise PyAV raises for any access to the side data of a frame with one unknown kind
SideDataType._missing_ = classmethod(_unknown_kind)  # type: ignore[assignment]


def side_data(frame: VideoFrame, kind: SideDataType) -> bytes | None:
    """Return a frame's first side data of a kind, as FFmpeg's raw struct; None if it has none."""
    # PyAV frees the name of an ICC profile twice, so remove the profile before PyAV reads it
    plain = next(FilterGraph([DROP_ICC_PROFILE], time_base=frame.time_base or Fraction(1)).push(frame))
    entries: Mapping[Any, Any] = plain.side_data
    data = entries.get(kind)
    return None if data is None else bytes(memoryview(data))


def upright_filters(frame: VideoFrame) -> tuple[Filter, ...]:
    """Return the filters that rotate a frame upright, from the display matrix set by the container or camera.

    The matrix (FFmpeg's libavutil/display.h) maps a stored pixel (x, y) to (a x + c y, b x + d y) on the screen.
    """
    stored = side_data(frame, SideDataType.DISPLAYMATRIX)
    if stored is None:
        return ()
    matrix = np.frombuffer(stored, np.int32)[[0, 1, 3, 4]].astype(np.int64)
    a, b, c, d = (np.sign(matrix) * (2 * np.abs(matrix) >= np.abs(matrix).max())).tolist()
    return UPRIGHT_FILTERS.get((a, b, c, d), ())  # a skewed matrix has no upright equivalent; ignore it


def upright(frame: VideoFrame) -> VideoFrame:
    """Return a single frame rotated upright; its timestamp is kept."""
    filters = upright_filters(frame)
    if not filters:
        return frame
    assert frame.time_base is not None
    rotated = next(FilterGraph(filters, time_base=frame.time_base).push(frame))
    rotated.time_base = frame.time_base
    return rotated
