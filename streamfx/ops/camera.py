"""Where a camera that moves over a flat picture looks: moves as 3x3 matrices, and what they show."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, floor, radians, sin

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.ops.warp import Border, Filter, warp

STEEPEST = 80.0  # degrees of a tilt

_NEAREST = 1e-3  # what is nearer to the camera than this share of the picture's distance, or behind it, counts as this
_FLAT = 1e-12  # a depth that is none: the picture is seen from its side
_FARTHEST = 1e6  # pixels that anything is looked for away from its place
_ROOM = 2  # pixels around a place that bicubic sampling mixes
_PADDING = {"replicate": "border", "reflect": "reflection", "wrap": "zeros", "zeros": "zeros"}  # grid_sample's words


@dataclass(frozen=True, slots=True)
class View:
    """One move, as Deforum counts: first the shift, then rotation and zoom about the centre, then the tilts.

    Tilts turn the picture out of its plane, seen from as far away as its longer side: a viewing angle of 53 degrees.
    """

    zoom: float = 1.0  # factor; above 1 enlarges
    angle: float = 0.0  # degrees; positive turns the picture counter-clockwise
    shift_x: float = 0.0  # pixels; positive moves the picture right
    shift_y: float = 0.0  # pixels; positive moves it down
    centre_x: float = 0.5  # share of the width
    centre_y: float = 0.5  # share of the height
    tilt_x: float = 0.0  # degrees about a horizontal line; positive moves the upper edge away
    tilt_y: float = 0.0  # degrees about a vertical line; positive moves the right edge away

    def __post_init__(self) -> None:
        if not 0 < self.zoom < float("inf"):
            raise StreamfxError(f"zoom is {self.zoom:g}, but must be a number above 0; 1 changes nothing")
        for name in ("tilt_x", "tilt_y"):
            if not abs(getattr(self, name)) <= STEEPEST:
                raise StreamfxError(f"{name} is {getattr(self, name):g}, but must be from -80 to 80 degrees")

    def matrix(self, height: int, width: int) -> Tensor:
        """[3, 3] float64: where each point (x, y, 1) of a picture of this size goes, in pixels from its first one's.

        Moves that follow each other are multiplied from the left: `second.matrix(...) @ first.matrix(...)`.
        """
        x, y = self.centre_x * width - 0.5, self.centre_y * height - 0.5  # between the two middle pixels of four
        turned, down = radians(self.angle), self.zoom
        c, s = down * cos(turned), down * sin(turned)
        shift = _matrix([[1, 0, self.shift_x - x], [0, 1, self.shift_y - y], [0, 0, 1]])
        turn = _matrix([[c, s, 0], [-s, c, 0], [0, 0, 1]])  # y goes down, so this is counter-clockwise
        back = _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])
        matrix: Tensor = back @ self._tilt(max(height, width)) @ turn @ shift
        return matrix

    def _tilt(self, distance: float) -> Tensor:
        """The plane turned about its centre, seen in perspective."""
        a, b = radians(self.tilt_x), radians(self.tilt_y)
        x_axis = (cos(b), 0.0, sin(b))  # where (1, 0) and (0, 1) of the plane go in space; z leads away
        y_axis = (sin(a) * sin(b), cos(a), -sin(a) * cos(b))
        rows = [[x_axis[i], y_axis[i], 0.0] for i in (0, 1)]
        return _matrix([*rows, [x_axis[2] / distance, y_axis[2] / distance, 1.0]])


def _matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def flow_of(matrix: Tensor, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """[2, H, W] pixels: the flow through which `warp` shows a picture of this size moved by `matrix` [3, 3]."""
    across, down = _places(matrix, height, width)
    x, y = torch.arange(width, dtype=across.dtype), torch.arange(height, dtype=down.dtype)[:, None]
    flow = torch.stack([across.sub_(x), down.sub_(y)])
    return flow.clamp(-_FARTHEST, _FARTHEST).to(device, torch.float32)


def _inverse(matrix: Tensor) -> Tensor:
    """The way back, on the CPU."""
    back: Tensor
    back, failed = torch.linalg.inv_ex(matrix.detach().cpu().double())
    if failed or not back.isfinite().all():
        raise StreamfxError("the camera has zoomed or tilted out of all bounds; let zoom go about 1")
    return back


def _places(matrix: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(x, y) [H, W] of what each pixel shows once `matrix` has moved all."""
    back = _inverse(matrix)
    x, y = torch.arange(width, dtype=torch.float64), torch.arange(height, dtype=torch.float64)[:, None]
    if not back[2, :2].any():  # no tilt: lines stay lines, and the last sum may be rounded
        back = back / back[2, 2]
        across, down = ((row[0] * x).float() + (row[1] * y + row[2]).float() for row in back[:2])
        return across, down
    rows = [row[0] * x + (row[1] * y + row[2]) for row in back]
    middle = float(back[2, 0] * (width - 1) / 2 + back[2, 1] * (height - 1) / 2 + back[2, 2])
    middle = middle if abs(middle) > _FLAT else _FLAT
    depth = (rows[2] / middle).clamp(min=_NEAREST) * middle  # of the middle where the picture is nearer than it can be
    return rows[0] / depth, rows[1] / depth


def reference(
    still: Tensor, matrix: Tensor, height: int, width: int, filter: Filter = "bicubic", border: Border = "reflect"
) -> Tensor:
    """[C, H, W]: `still` [C, h, w] of any size, fitted to H x W by crop and moved by `matrix` [3, 3], in one sampling.

    `matrix` is that of a canvas of H x W, all moves so far multiplied; so nothing blurs, however many they are. What
    would be shown at less than half its size is averaged over whole pixels first. Beyond its borders the still goes on
    as in `warp`; where the crop has cut something off, that comes first.
    """
    fit = fitting(still.shape[-2], still.shape[-1], height, width)
    whole = _inverse(fit) @ _inverse(matrix)  # of a pixel of the canvas -> of the still
    shrink = min(_shrink(whole, height, width), *still.shape[-2:])
    if shrink > 1:
        still = F.avg_pool2d(still[None], shrink, ceil_mode=True, count_include_pad=False)[0]
        less = 1 / shrink
        fit = fit @ _inverse(_matrix([[less, 0, less / 2 - 0.5], [0, less, less / 2 - 0.5], [0, 0, 1]]))
    if still.shape[-2:] == (height, width):
        return warp(still, flow_of(matrix @ fit, height, width, still.device), filter, border)
    return _sampled(still, *_places(matrix.cpu() @ fit, height, width), filter, border)


def fitting(height: int, width: int, canvas_height: int, canvas_width: int) -> Tensor:
    """[3, 3]: what makes a picture just fill a canvas, its middle in the middle, and crops the rest."""
    scale = max(canvas_height / height, canvas_width / width)
    x, y = ((canvas - 1 - scale * (own - 1)) / 2 for canvas, own in ((canvas_width, width), (canvas_height, height)))
    return _matrix([[scale, 0, x], [0, scale, y], [0, 0, 1]])


def _shrink(back: Tensor, height: int, width: int) -> int:
    """How many whole pixels of the still lie side by side in one of the canvas, at its middle; at least 1."""
    point = _matrix([[(width - 1) / 2], [(height - 1) / 2], [1]])
    x, y, depth = (back @ point)[:, 0]
    across = (back[:2, :2] - torch.stack([x, y])[:, None] / depth * back[2:, :2]) / depth
    return max(1, floor(min(float(torch.linalg.svdvals(across)[-1]) + 1e-9, _FARTHEST)))


def _sampled(still: Tensor, across: Tensor, down: Tensor, filter: Filter, border: Border) -> Tensor:
    """`still` [C, h, w] at the places x and y [H, W], in pixels."""
    rows, columns = still.shape[-2:]
    if border == "wrap":  # more pixels all round, so that what lies between the last and the first is mixed of both
        across, down = across % columns + _ROOM, down % rows + _ROOM
        around = [torch.arange(-_ROOM, side + _ROOM) % side for side in (rows, columns)]
        still = still[:, around[0][:, None], around[1]]
        rows, columns = still.shape[-2:]
    places = (across.clamp(-_FARTHEST, _FARTHEST), down.clamp(-_FARTHEST, _FARTHEST))
    scaled = [place * (2 / max(1, side - 1)) - 1 for place, side in zip(places, (columns, rows))]
    grid = torch.stack(scaled, dim=-1).to(still)
    return F.grid_sample(still[None], grid[None], filter, _PADDING[border], align_corners=True)[0]
