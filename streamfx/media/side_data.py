"""What travels beside the samples of a decoded picture: how it is turned, and the light it was mastered for."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import Type as SideDataType

from streamfx.media.filters.graph import Filter, FilterGraph

TURNS = {  # signs of (a, b, c, d) of a display matrix -> the filters that turn the picture upright
    (-1, 0, 0, 1): (Filter("hflip"),),
    (1, 0, 0, -1): (Filter("vflip"),),
    (-1, 0, 0, -1): (Filter("hflip"), Filter("vflip")),
    (0, 1, -1, 0): (Filter("transpose", "clock"),),
    (0, -1, 1, 0): (Filter("transpose", "cclock"),),
    (0, 1, 1, 0): (Filter("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (Filter("transpose", "clock_flip"),),
}

NO_PROFILE = Filter("sidedata", "mode=delete:type=ICC_PROFILE")


def _unlisted(kind: type[SideDataType], value: int) -> SideDataType:
    """A kind of side data that is newer than the bindings' list of them, like the EXIF of photographs."""
    member = object.__new__(kind)
    member._name_ = f"TYPE_{value}"
    member._value_ = value  # type: ignore[assignment]
    return member


# without it, no side data at all can be had from a picture that carries one of an unlisted kind
SideDataType._missing_ = classmethod(_unlisted)  # type: ignore[assignment]


def side_data(picture: VideoFrame, kind: SideDataType) -> bytes | None:
    """The first side data of a kind that a decoded picture carries, as FFmpeg lays it out."""
    # the bindings free a colour profile's name twice, so it goes before they see it
    plain = next(FilterGraph([NO_PROFILE], time_base=picture.time_base or Fraction(1)).push(picture))
    carried: Mapping[Any, Any] = plain.side_data
    data = carried.get(kind)
    return None if data is None else bytes(memoryview(data))


def turn_of(picture: VideoFrame) -> tuple[Filter, ...]:
    """The filters that turn a picture upright, from the display matrix that the container or camera gave it.

    The matrix (FFmpeg's libavutil/display.h) maps a stored pixel (x, y) to (a x + c y, b x + d y) on the screen.
    """
    stored = side_data(picture, SideDataType.DISPLAYMATRIX)
    if stored is None:
        return ()
    matrix = np.frombuffer(stored, np.int32)[[0, 1, 3, 4]].astype(np.int64)
    a, b, c, d = (np.sign(matrix) * (2 * np.abs(matrix) >= np.abs(matrix).max())).tolist()
    return TURNS.get((a, b, c, d), ())  # a skewed picture has no upright one: it is left as it is


def upright(picture: VideoFrame) -> VideoFrame:
    """The picture turned upright, by itself; its time is kept."""
    turn = turn_of(picture)
    if not turn:
        return picture
    assert picture.time_base is not None
    turned = next(FilterGraph(turn, time_base=picture.time_base).push(picture))
    turned.time_base = picture.time_base
    return turned
