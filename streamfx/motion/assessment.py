"""Which areas stand still, and where the motion is reliable: the last part of dense inverse search.

Reference implementation in torch of the kernels in cuda_kernels/dis.cu; streamfx/motion/dis.py computes the same with
OpenCV. All work at reduced size, at which thresholds in pixels are meant.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.motion.occlusion import SIGMA
from streamfx.motion.variational import slopes

AREA = 320 * 180  # pixels, approximate size of the reduced frames
SMALLEST = 16  # pixels, the shortest side that the search supports
SPREAD, WIDENING = 0.1, 7  # see `_consistency`; pixels of the dilation
MAX_ERROR, MAX_SLOPE, MIN_SLOPE = 0.125, 0.04, 0.002  # thresholds of `consistency_mask` at this size
BLOCK = 8  # pixels; still or moving is decided per block, from the mean over 3 by 3 blocks
BETTER, DISTINCT, FLOOR = 1.3, 0.3, 0.05  # shares of the error; noise alone rarely exceeds 1.25; (luma levels)^2
VISIBLE, FAST = 0.075, 0.5  # pixels: motion that would be visible; motion that is not doubted
_ELLIPSE = (0b0001000, 0b0111110, 0b1111111, 0b1111111, 0b1111111, 0b0111110, 0b0001000)  # cv2.MORPH_ELLIPSE


def halvings_of(height: int, width: int) -> int:
    """How many times a frame is halved for the search."""
    return max(0, int(math.log2(height * width / AREA) / 2 + 0.3))


def median(planes: Tensor) -> Tensor:
    """Medians over 5 by 5 pixels of [..., H, W], which remove single outlier patches."""
    batch = planes.reshape(-1, 1, *planes.shape[-2:])
    windows = F.unfold(F.pad(batch, (2, 2, 2, 2), mode="replicate"), 5)  # [N, 25, H * W]
    return windows.median(1).values.view(planes.shape)


def assess(lumas: Tensor, motion: Tensor, brightness: Tensor, outside: float, scale: tuple[float, float]) -> Tensor:
    """The backward flow, zeroed in still areas and multiplied by `scale` (x, y), and its confidence: [3, H, W].

    `lumas` [2, H, W] 0..255 are those of the current and the previous image; `brightness` has been added to the latter.
    `motion` [2, 2, H, W] is the backward and the forward flow. Flows may lead `outside` pixels out of the image.
    """
    (after, before), flow = lumas, motion[0]
    warped, *back = _at_sources(torch.cat([before[None], motion[1]]), flow)
    residuals = _low_pass(torch.stack([after - before, after - warped]))
    moving = _moving(residuals, after, flow)
    residual = torch.lerp(residuals[0], residuals[1], moving) + brightness
    flow = flow * moving
    confidence = _consistency(flow, torch.stack(back) * moving, outside) * torch.exp(-(residual / SIGMA).square())
    return torch.stack([flow[0] * scale[0], flow[1] * scale[1], confidence])


def _moving(residuals: Tensor, after: Tensor, flow: Tensor) -> Tensor:
    """[H, W] 0..1: 0 where no motion explains the frame as well as `flow` [2, H, W] does.

    `residuals` [2, H, W] are the differences without and with motion, `after` is the luma. Areas without texture, such
    as a clear sky, follow the majority of the textured areas.
    """
    height, width = after.shape
    slope_x, slope_y = slopes(_low_pass(after[None]))
    values = torch.cat([residuals.square(), slope_x.square() + slope_y.square(), flow])
    blocks = F.avg_pool2d(values[None], BLOCK, ceil_mode=True)
    still_error, error, texture, x, y = F.avg_pool2d(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    better = still_error > BETTER * error + FLOOR
    textured = VISIBLE**2 * texture > DISTINCT * error + FLOOR
    mostly_still = (textured & ~better).sum() >= (textured & better).sum()
    moving = better | (~textured & ~mostly_still)
    moving |= torch.hypot(x, y) > FAST  # untextured part of a moving object
    enlarged: Tensor = F.interpolate(moving[None, None].float(), scale_factor=BLOCK, mode="bilinear")
    return enlarged[0, 0, :height, :width]


def _consistency(flow: Tensor, back: Tensor, outside: float) -> Tensor:
    """`consistency_mask`, also 0 in a wider band around inconsistent or diverging flow; [H, W] 0 or 1.

    `back` is the forward flow sampled where `flow` points, both [2, H, W]. At disocclusions, patches extend the motion
    half a patch beyond the edge of an object, and the forward flow agrees. So areas where the flow diverges by more
    than SPREAD pixels per pixel are dilated to reach that edge. (A zoom of SPREAD / 2 or more per frame therefore has
    confidence 0 everywhere.)
    """
    height, width = flow.shape[1:]
    square, back_square = flow.square().sum(0), back.square().sum(0)
    inconsistent = (flow + back).square().sum(0) >= 0.01 * (square + back_square) + MAX_ERROR
    x, y = _sources(flow)
    left = (x < -outside) | (x > width - 1 + outside) | (y < -outside) | (y > height - 1 + outside)
    (xx, yx), (xy, yy) = slopes(flow)
    edge = xx * xx + xy * xy + yx * yx + yy * yy > MAX_SLOPE * square + MIN_SLOPE
    doubtful = _dilated(inconsistent | (-(xx + yy) > SPREAD))
    valid: Tensor = ~(inconsistent | left | edge | doubtful)
    return valid.float()


def _dilated(mask: Tensor) -> Tensor:
    """The mask [H, W] of bool, dilated by an ellipse of WIDENING pixels."""
    bits = [[row >> column & 1 for column in range(WIDENING)] for row in _ELLIPSE]
    kernel = torch.tensor(bits, dtype=torch.float32, device=mask.device)[None, None]
    return F.conv2d(mask[None, None].float(), kernel, padding=WIDENING // 2)[0, 0] > 0.5


def _sources(flow: Tensor) -> tuple[Tensor, Tensor]:
    """x and y [H, W] of the points that `flow` [2, H, W] leads to."""
    height, width = flow.shape[1:]
    down = torch.arange(height, device=flow.device)[:, None]
    return torch.arange(width, device=flow.device) + flow[0], down + flow[1]


def _at_sources(planes: Tensor, flow: Tensor) -> Tensor:
    """The planes [N, H, W], each warped by `flow` [2, H, W]."""
    height, width = flow.shape[1:]
    x, y = _sources(flow)
    grid = torch.stack([x * (2 / max(1, width - 1)) - 1, y * (2 / max(1, height - 1)) - 1], -1)
    return F.grid_sample(planes[None], grid[None], "bilinear", "border", align_corners=True)[0]


def _low_pass(planes: Tensor) -> Tensor:
    """[N, H, W] with most sensor noise removed."""
    return F.avg_pool2d(F.pad(planes[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)[:, 0]
