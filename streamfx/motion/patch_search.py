"""Dense inverse search (Kroeger et al. 2016): patches find their match in parallel, and pixels average their patches.

Reference implementation in torch of the kernels in cuda_kernels/dis.cu. Lumas are [2, H, W] in 0..255, two images that
are searched for each other: the first result is the motion from the first to the second image, the second one back.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH, STRIDE = 8, 5  # pixels
DESCENTS = 4  # Gauss-Newton steps from each start
ROUNDS = 3  # in which patches try the motion of their neighbors
DAMPING = 16.0  # (luma levels per pixel)^2, added to the sums of squared slopes of a patch; noise has about 10
BETTER, MARGIN = 0.98, 1.0  # a candidate needs less than this share of the cost, by this margin (luma levels^2)


def patch_positions(side: int, device: torch.device) -> Tensor:
    """The first pixel of each patch along a side of at least PATCH pixels; the last patch ends at the border."""
    count = -(-(side - PATCH) // STRIDE) + 1
    return (torch.arange(count, device=device) * STRIDE).clamp(max=side - PATCH)


def search(lumas: Tensor, coarse: Tensor | None) -> Tensor:
    """The motion of each patch, [2, 2, rows, columns] in pixels, x and y.

    `coarse` is the dense motion [2, 2, (H + 1) // 2, (W + 1) // 2] at half the size, where the search starts; None for
    zero motion. Then patches try the motions of their four neighbors (after Barnes et al. 2009), in ROUNDS rounds.
    """
    patches = _Patches(lumas)
    motion = patches.start(coarse)
    cost, motion = patches.descend(motion)
    for _ in range(ROUNDS):
        best, found = cost, motion
        for candidate in (*_neighbors(motion), torch.zeros_like(motion)):
            other_cost = patches.cost(candidate)
            better = other_cost < BETTER * best - MARGIN
            best = torch.where(better, other_cost, best)
            found = torch.where(better[:, None], candidate, found)
        cost, motion = patches.descend(found)
    return motion


def _neighbors(motion: Tensor) -> list[Tensor]:
    """The motions [2, 2, rows, columns] of the patches to the left, right, above and below."""
    padded = F.pad(motion, (1, 1, 1, 1), mode="replicate")
    return [
        padded[..., 1:-1, :-2],
        padded[..., 1:-1, 2:],
        padded[..., :-2, 1:-1],
        padded[..., 2:, 1:-1],
    ]


class _Patches:
    """The patches of two lumas [2, H, W], and their comparison with the other image."""

    def __init__(self, lumas: Tensor) -> None:
        self.others = lumas.flip(0)[:, None]
        self.height, self.width = lumas.shape[1:]
        self.rows, self.columns = (patch_positions(side, lumas.device) for side in lumas.shape[1:])
        inside = torch.arange(PATCH, device=lumas.device)
        self.x = (self.columns[:, None] + inside)[None, :, None, :]  # [1, columns, 1, PATCH]
        self.y = (self.rows[:, None] + inside)[:, None, :, None]  # [rows, 1, PATCH, 1]
        padded = F.pad(lumas[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        self.slope_x = self._centered(self._cut((padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2))
        self.slope_y = self._centered(self._cut((padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2))
        self.luma = self._cut(lumas)
        self.xx = self.slope_x.square().sum(-1)
        self.yy = self.slope_y.square().sum(-1)
        damping = DAMPING + self.xx + self.yy  # more than Levenberg's: steps along an edge would follow noise
        self.xx, self.yy = self.xx + damping, self.yy + damping
        self.xy = (self.slope_x * self.slope_y).sum(-1)
        self.determinant = self.xx * self.yy - self.xy * self.xy

    def _cut(self, planes: Tensor) -> Tensor:
        """[2, H, W] as patches [2, rows, columns, PATCH * PATCH]."""
        return planes[:, self.y, self.x].flatten(-2)

    @staticmethod
    def _centered(values: Tensor) -> Tensor:
        return values - values.mean(-1, keepdim=True)

    def start(self, coarse: Tensor | None) -> Tensor:
        rows, columns = len(self.rows), len(self.columns)
        if coarse is None:
            return self.luma.new_zeros(2, 2, rows, columns)
        y, x = (self.rows + PATCH // 2) // 2, (self.columns + PATCH // 2) // 2
        return 2 * coarse[:, :, y[:, None], x]

    def _difference(self, motion: Tensor) -> Tensor:
        """The other image at the moved patches minus the patches, without its mean: [2, rows, columns, 64]."""
        across = self.x + motion[:, 0, :, :, None, None]  # [2, rows, columns, PATCH, PATCH]
        down = self.y + motion[:, 1, :, :, None, None]
        scale_x, scale_y = 2 / max(1, self.width - 1), 2 / max(1, self.height - 1)
        shape = (*motion[:, 0].shape, PATCH, PATCH)
        grid = torch.stack([(across * scale_x - 1).expand(shape), (down * scale_y - 1).expand(shape)], -1)
        grid = grid.flatten(1, 2).flatten(2, 3)  # [2, rows * columns, PATCH * PATCH, 2]
        sampled = F.grid_sample(self.others, grid, "bilinear", "border", align_corners=True)
        return self._centered(sampled.view(self.luma.shape) - self.luma)

    def cost(self, motion: Tensor) -> Tensor:
        """Sum of squared differences [2, rows, columns]."""
        return self._difference(motion).square().sum(-1)

    def descend(self, start: Tensor) -> tuple[Tensor, Tensor]:
        """The least cost in DESCENTS Gauss-Newton steps from `start`, and its motion."""
        motion = start
        best, found = torch.full_like(self.xx, torch.inf), start
        for step in range(DESCENTS + 1):
            difference = self._difference(motion)
            cost = difference.square().sum(-1)
            near = (motion - start).square().sum(1) <= PATCH**2
            better = (cost < best) & near
            best = torch.where(better, cost, best)
            found = torch.where(better[:, None], motion, found)
            if step < DESCENTS:
                x, y = (self.slope_x * difference).sum(-1), (self.slope_y * difference).sum(-1)
                change = torch.stack([self.yy * x - self.xy * y, self.xx * y - self.xy * x], 1)
                motion = motion - change / self.determinant[:, None]
        return best, found


def densify(lumas: Tensor, motion: Tensor) -> Tensor:
    """Dense motion [2, 2, H, W]: means over the patches of each pixel, weighted by how well they match it."""
    height, width = lumas.shape[1:]
    rows, columns = (_covering(side, lumas.device) for side in (height, width))
    down = torch.arange(height, device=lumas.device)[:, None]
    across = torch.arange(width, device=lumas.device)
    others = lumas.flip(0)[:, None]
    total, weights = torch.zeros_like(lumas), torch.zeros_like(lumas)
    total = total[:, None].repeat(1, 2, 1, 1)
    for row, in_row in rows:
        for column, in_column in columns:
            candidate = motion[:, :, row[:, None], column]  # [2, 2, H, W]
            grid = torch.stack([across + candidate[:, 0], down + candidate[:, 1]], -1)
            scale = grid.new_tensor([2 / max(1, width - 1), 2 / max(1, height - 1)])
            sampled = F.grid_sample(others, grid * scale - 1, "bilinear", "border", align_corners=True)[:, 0]
            weight = (in_row[:, None] & in_column) / (sampled - lumas).abs().clamp_min(1)
            total += weight[:, None] * candidate
            weights += weight
    return total / weights[:, None]


def _covering(side: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Indices of patches [side] and whether they cover each pixel of a side; together, all that do."""
    starts = patch_positions(side, device)
    pixels = torch.arange(side, device=device)
    last = len(starts) - 1
    covering = []
    for back in range(-(-PATCH // STRIDE)):
        index = pixels // STRIDE - back
        covering.append((index.clamp(0, last), (index >= 0) & (index < last) & (pixels - STRIDE * index < PATCH)))
    covering.append((torch.full_like(pixels, last), pixels >= side - PATCH))  # the last patch is out of step
    return covering
