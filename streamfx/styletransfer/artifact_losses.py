"""Losses of what must not show in stylized frames: grids, fringes, lines along borders, flicker, wrong exposure."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_MIN_FRINGE = 1 / 255  # lower values do not count


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute first and second differences of neighboring pixels of [N, 3, H, W]."""
    loss = images.new_zeros(())
    for dim in (-1, -2):
        for order in (1, 2):
            loss = loss + images.diff(n=order, dim=dim).abs().mean()
    return loss


def light_loss(images: Tensor, photos: Tensor) -> Tensor:
    """The distance of brightness over 16x16 pixels from the photos', each relative to its own mean."""
    own, target = (F.avg_pool2d(rgb.mean(1, keepdim=True), 16) for rgb in (images, photos))
    own, target = (light - light.mean((-2, -1), keepdim=True) for light in (own, target))
    return F.mse_loss(own, target) / target.square().mean().clamp(min=1e-3)


def border_loss(bordered: Tensor, endless: Tensor) -> Tensor:
    """The difference of color between an image with borders and the same one padded circularly, [N, 3, H, W].

    Without this loss a network draws lines along the borders, where it can recognize the position.
    """
    loss = F.mse_loss(F.avg_pool2d(bordered, 16), F.avg_pool2d(endless, 16))
    for along in ((0, 2), (0, 3)):  # the mean of each column and row, for thin lines
        loss = loss + 10 * F.mse_loss(bordered.mean(along), endless.mean(along))
    return loss


def flicker_loss(image: Tensor, earlier: Tensor, light: Tensor, visible: Tensor) -> Tensor:
    """The mean squared change of `image` [N, 3, H, W] since `earlier`, warped to it, where `visible` [N, 1, H, W] is 1.

    A change of the scene's own brightness, `light` [N, 1, H, W] as luma, is allowed (ReCoNet, Gao et al. 2018).
    """
    change = (image - earlier - light) * visible
    return change.square().sum() / (3 * visible.sum()).clamp(min=1)


def fringes(images: Tensor) -> Tensor:
    """How strongly hue alternates from pixel to pixel in `images` [N, 3, H, W], at full and at half size: [2].

    The fourth root of the mean fourth power of the Laplacian of color differences: few strong marks count for much.
    """
    found = []
    for size in (images, F.avg_pool2d(images, 2)):
        hues = size[:, ::2] - size[:, 1:2]  # red and blue relative to green
        bend = hues[..., 1:-1, 1:-1] - F.avg_pool2d(hues, 3, 1)
        found.append(bend.square().square().mean())
    return torch.stack(found).clamp(min=1e-16).sqrt().sqrt()


def fringe_loss(images: Tensor, target: Tensor) -> Tensor:
    """The logarithm by which `fringes(images)` exceeds `target` [2].

    Within a brush stroke brightness varies, not hue; a feature extractor confuses them, and a network would learn
    rainbow-colored marks.
    """
    return F.relu(torch.log(fringes(images) / target.clamp(min=_MIN_FRINGE))).sum()


def grid_loss(images: Tensor) -> Tensor:
    """How much the positions within 16x16 pixels differ in mean and contrast: visible as a grid.

    Measured relative to the local contrast, so that a faint grid in a uniform area counts as much as it shows.
    """
    light = images.mean(1, keepdim=True)
    fine = light - F.avg_pool2d(light, 5, 1, 2, count_include_pad=False)
    local = F.avg_pool2d(fine.square(), 33, 1, 16, count_include_pad=False)
    phases = _phases(fine / (local + 1e-5).sqrt())  # [N, 256, H/16, W/16]
    return phases.mean((0, 2, 3)).var() + 0.1 * phases.square().mean((0, 2, 3)).var()


def _phases(images: Tensor) -> Tensor:
    """[N, 1, H, W] -> [N, 256, H/16, W/16], the pixels of each position within 16x16."""
    height, width = (side // 16 * 16 for side in images.shape[-2:])
    return F.pixel_unshuffle(images[..., :height, :width], 16)
