"""A virtual camera over a flat image: moves as 3x3 matrices, and the images that they produce."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, floor, radians, sin

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.ops.resize import Filter
from streamfx.ops.warp import Border, warp

MAX_TILT = 80.0  # degrees

_MIN_DEPTH = 1e-3  # minimum distance to the camera, as a share of the image center's
_FLAT = 1e-12  # center depth below which the image is seen edge-on
_MAX_OFFSET = 1e6  # pixels, limit of displacements
_TAPS = 2  # pixels on each side that bicubic sampling reads
_PADDING = {"replicate": "border", "reflect": "reflection", "wrap": "zeros", "zeros": "zeros"}  # names in grid_sample


@dataclass(frozen=True, slots=True)
class View:
    """One move in Deforum's order: first the shift, then rotation and zoom about the center, then the tilts.

    Tilts rotate the image out of its plane. The viewing distance is its longer side: a field of view of 53 degrees.
    """

    zoom: float = 1.0  # factor; above 1 enlarges
    angle: float = 0.0  # degrees; positive rotates counterclockwise
    shift_x: float = 0.0  # pixels; positive moves the image right
    shift_y: float = 0.0  # pixels; positive moves it down
    center_x: float = 0.5  # share of the width
    center_y: float = 0.5  # share of the height
    tilt_x: float = 0.0  # degrees about the horizontal axis; positive moves the top edge away
    tilt_y: float = 0.0  # degrees about the vertical axis; positive moves the right edge away

    def __post_init__(self) -> None:
        if not 0 < self.zoom < float("inf"):
            raise StreamfxError(f"zoom is {self.zoom:g}, but must be above 0; 1 changes nothing")
        for name in ("tilt_x", "tilt_y"):
            if not abs(getattr(self, name)) <= MAX_TILT:
                raise StreamfxError(f"{name} is {getattr(self, name):g}, but must be from -80 to 80 degrees")

    def matrix(self, height: int, width: int) -> Tensor:
        """[3, 3] float64: maps each point (x, y, 1) of an image of this size; (0, 0) is the center of its first pixel.

        Consecutive moves are multiplied from the left: `second.matrix(...) @ first.matrix(...)`.
        """
        x, y = self.center_x * width - 0.5, self.center_y * height - 0.5  # pixel centers have integer coordinates
        angle = radians(self.angle)
        c, s = self.zoom * cos(angle), self.zoom * sin(angle)
        shift = _matrix([[1, 0, self.shift_x - x], [0, 1, self.shift_y - y], [0, 0, 1]])
        turn = _matrix([[c, s, 0], [-s, c, 0], [0, 0, 1]])  # counterclockwise, as y points down
        unshift = _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])
        matrix: Tensor = unshift @ self._tilt(max(height, width)) @ turn @ shift
        return matrix

    def _tilt(self, distance: float) -> Tensor:
        """Rotation of the plane about its center, in perspective."""
        a, b = radians(self.tilt_x), radians(self.tilt_y)
        x_axis = (cos(b), 0.0, sin(b))  # directions of the plane's x and y in space; z points away
        y_axis = (sin(a) * sin(b), cos(a), -sin(a) * cos(b))
        rows = [[x_axis[i], y_axis[i], 0.0] for i in (0, 1)]
        return _matrix([*rows, [x_axis[2] / distance, y_axis[2] / distance, 1.0]])


def _matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def matrix_flow(matrix: Tensor, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Flow [2, H, W] in pixels with which `warp` moves an image of this size by `matrix` [3, 3]."""
    across, down = _source_points(matrix, height, width)
    x, y = torch.arange(width, dtype=across.dtype), torch.arange(height, dtype=down.dtype)[:, None]
    flow = torch.stack([across.sub_(x), down.sub_(y)])
    return flow.clamp(-_MAX_OFFSET, _MAX_OFFSET).to(device, torch.float32)


def _inverse(matrix: Tensor) -> Tensor:
    """The inverse on the CPU, float64. Raises StreamfxError."""
    inverse: Tensor
    inverse, failed = torch.linalg.inv_ex(matrix.detach().cpu().double())
    if failed or not inverse.isfinite().all():
        raise StreamfxError("the camera has zoomed or tilted too far; keep zoom near 1 on average")
    return inverse


def _source_points(matrix: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(x, y) [H, W]: the source point of each pixel after a move by `matrix`."""
    inverse = _inverse(matrix)
    x, y = torch.arange(width, dtype=torch.float64), torch.arange(height, dtype=torch.float64)[:, None]
    if not inverse[2, :2].any():  # no tilt: affine, so float32 sums are precise enough
        inverse = inverse / inverse[2, 2]
        across, down = ((row[0] * x).float() + (row[1] * y + row[2]).float() for row in inverse[:2])
        return across, down
    rows = [row[0] * x + (row[1] * y + row[2]) for row in inverse]
    center = float(inverse[2, 0] * (width - 1) / 2 + inverse[2, 1] * (height - 1) / 2 + inverse[2, 2])
    center = center if abs(center) > _FLAT else _FLAT
    depth = (rows[2] / center).clamp(min=_MIN_DEPTH) * center  # points near or behind the camera count as near
    return rows[0] / depth, rows[1] / depth


def render_still(
    still: Tensor, matrix: Tensor, height: int, width: int, filter: Filter = "bicubic", border: Border = "reflect"
) -> Tensor:
    """[C, H, W]: `still` [C, h, w] of any size, scaled and cropped to H x W, then moved by `matrix` [3, 3].

    `matrix` is the product of all moves so far, for an image of H x W. The still is sampled only once, so it does not
    blur. If it is shrunk by 2 or more, whole pixels are averaged first. Beyond the borders, the parts removed by the
    crop appear first, then the border as in `warp`.
    """
    fit = fit_matrix(still.shape[-2], still.shape[-1], height, width)
    whole = _inverse(fit) @ _inverse(matrix)  # output pixel -> pixel of the still
    shrink = min(_shrink(whole, height, width), *still.shape[-2:])
    if shrink > 1:
        still = F.avg_pool2d(still[None], shrink, ceil_mode=True, count_include_pad=False)[0]
        scale = 1 / shrink
        fit = fit @ _inverse(_matrix([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5], [0, 0, 1]]))
    if still.shape[-2:] == (height, width):
        return warp(still, matrix_flow(matrix @ fit, height, width, still.device), filter, border)
    return _sampled(still, *_source_points(matrix.cpu() @ fit, height, width), filter, border)


def fit_matrix(height: int, width: int, target_height: int, target_width: int) -> Tensor:
    """[3, 3]: scales an image to fill the target size, centered; the rest is cropped."""
    scale = max(target_height / height, target_width / width)
    x, y = ((target - 1 - scale * (side - 1)) / 2 for target, side in ((target_width, width), (target_height, height)))
    return _matrix([[scale, 0, x], [0, scale, y], [0, 0, 1]])


def _shrink(inverse: Tensor, height: int, width: int) -> int:
    """Whole pixels of the still per output pixel at the center; at least 1."""
    point = _matrix([[(width - 1) / 2], [(height - 1) / 2], [1]])
    x, y, depth = (inverse @ point)[:, 0]
    jacobian = (inverse[:2, :2] - torch.stack([x, y])[:, None] / depth * inverse[2:, :2]) / depth
    return max(1, floor(min(float(torch.linalg.svdvals(jacobian)[-1]) + 1e-9, _MAX_OFFSET)))


def _sampled(still: Tensor, across: Tensor, down: Tensor, filter: Filter, border: Border) -> Tensor:
    """`still` [C, h, w] sampled at the points x and y [H, W], in pixels."""
    rows, columns = still.shape[-2:]
    if border == "wrap":  # pad, to interpolate between the last and the first pixel
        across, down = across % columns + _TAPS, down % rows + _TAPS
        indices = [torch.arange(-_TAPS, side + _TAPS) % side for side in (rows, columns)]
        still = still[:, indices[0][:, None], indices[1]]
        rows, columns = still.shape[-2:]
    points = (across.clamp(-_MAX_OFFSET, _MAX_OFFSET), down.clamp(-_MAX_OFFSET, _MAX_OFFSET))
    scaled = [point * (2 / max(1, side - 1)) - 1 for point, side in zip(points, (columns, rows))]
    grid = torch.stack(scaled, dim=-1).to(still)
    return F.grid_sample(still[None], grid[None], filter, _PADDING[border], align_corners=True)[0]
