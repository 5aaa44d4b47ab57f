"""Move pixels along a motion field, and mix by a mask."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops import cuda

Filter: TypeAlias = Literal["bilinear", "bicubic"]
Border: TypeAlias = Literal["replicate", "reflect", "wrap", "zeros"]

_PADDING = {"replicate": "border", "reflect": "reflection", "wrap": "zeros", "zeros": "zeros"}  # grid_sample's words
_CV_BORDERS = {"replicate": "BORDER_REPLICATE", "reflect": "BORDER_REFLECT_101"}  # the borders OpenCV treats alike
_CV_LARGEST, _CV_CHANNELS = 32766, 4  # pixels, and channels, that it can move
_DETAIL = 3  # pixels: what is finer is detail
_CELL = 8  # pixels of the cells over 3 by 3 of which the strength of detail is judged
_FAINT = 1e-5  # of the power of detail: what is that weak is no detail
_MOST = 2.5  # times that what is left of detail is strengthened
_STILL = 0.1  # pixels; what moves less hardly moves
_KEPT_MOVING, _KEPT_STILL = 0.62, 0.9


def warp(image: Tensor, flow: Tensor, filter: Filter = "bilinear", border: Border = "replicate") -> Tensor:
    """`image` [..., C, H, W] seen through `flow` [..., 2, H, W]: the pixel at p is the image's at p + flow(p).

    The flow is in pixels, first to the right, then down. "bicubic" (Keys 1981, a = -0.75) keeps more of what is sharp
    and may leave the image's range by a little. Beyond its borders the image goes on as its outermost pixel, as its
    mirror image about that pixel's centre, from its other side, or as zeros.
    """
    if image.shape[-2:] != flow.shape[-2:] or flow.shape[-3] != 2 or image.shape[:-3] != flow.shape[:-3]:
        raise ValueError(f"a flow {tuple(flow.shape)} does not fit an image {tuple(image.shape)}")
    if cuda.takes(image) and not flow.requires_grad:
        return cuda.warp(image, flow, filter, border)
    if _by_opencv(image, flow) and border in _CV_BORDERS:
        return _warp_cpu(image, flow, filter, border)
    return _warp(image, flow, filter, border)


def _by_opencv(*images: Tensor) -> bool:
    """Whether OpenCV may work on these: single pictures on the CPU that nothing is to be learned from."""
    first = images[0]
    fits = first.ndim == 3 and len(first) <= _CV_CHANNELS and max(first.shape) <= _CV_LARGEST
    return fits and first.device.type == "cpu" and not any(image.requires_grad for image in images)


def _warp_cpu(image: Tensor, flow: Tensor, filter: Filter, border: Border) -> Tensor:
    """By OpenCV: three times as quick, at 1/32 of a pixel."""
    import cv2

    height, width = image.shape[-2:]
    across = flow[0].numpy() + np.arange(width, dtype=np.float32)
    down = flow[1].numpy() + np.arange(height, dtype=np.float32)[:, None]
    pixels = cv2.merge([plane.float().numpy() for plane in image])
    code = cv2.INTER_CUBIC if filter == "bicubic" else cv2.INTER_LINEAR
    made = cv2.remap(pixels, across, down, code, borderMode=getattr(cv2, _CV_BORDERS[border]))
    moved = torch.empty(image.shape)
    cv2.split(made, list(moved.numpy()))
    return moved.to(image.dtype)


def _warp(image: Tensor, flow: Tensor, filter: Filter, border: Border) -> Tensor:
    height, width = image.shape[-2:]
    across = torch.arange(width, device=flow.device) + flow[..., 0, :, :]  # [..., H, W] pixels
    down = torch.arange(height, device=flow.device)[:, None] + flow[..., 1, :, :]
    source = image
    if border == "wrap":  # one more pixel all round, so that what lies between the last and the first is mixed of both
        across, down = across % width + 2, down % height + 2
        around = [torch.arange(-2, side + 2, device=image.device) % side for side in (height, width)]
        source = image[..., around[0][:, None], around[1]]
    rows, columns = source.shape[-2:]
    grid = torch.stack([across * (2 / max(1, columns - 1)) - 1, down * (2 / max(1, rows - 1)) - 1], dim=-1)
    batch = source.reshape(-1, *source.shape[-3:])
    grid = grid.reshape(-1, height, width, 2).to(batch.dtype)
    moved = F.grid_sample(batch, grid, filter, _PADDING[border], align_corners=True)
    return moved.view(image.shape)


def blend(ground: Tensor, cover: Tensor, share: Tensor) -> Tensor:
    """`cover` over `ground`, both [..., C, H, W], in the `share` [..., 1, H, W] 0..1 of each pixel."""
    if cuda.takes(ground, cover):
        return cuda.blend(ground, cover, share)
    return torch.lerp(ground, cover, share)


def renew(painted: Tensor, warped: Tensor, share: Tensor, detail: float = 0.97) -> Tensor:
    """`share` [..., 1, H, W] 0..1 of `warped` in `painted`, both [..., 3, H, W] 0..1, as sharp as `painted` is.

    The mean of two pictures whose details differ a little is duller than either, and so is what was moved by parts of a
    pixel. What of the mixture differs from its neighbours is made as strong again as it is in the painting thereabouts,
    or `detail` times that.
    """
    share = share.squeeze(-3)
    mixed = [torch.lerp(ours, theirs, share) for ours, theirs in zip(painted.unbind(-3), warped.unbind(-3))]
    with torch.no_grad():  # a strength to take as given
        gain = _weakened(painted.select(-3, 1), mixed[1], detail)  # green is most of what is seen
    # plane by plane, because a plane stays in the cache
    sharp = [torch.addcmul(plane, gain, plane - around(plane, _DETAIL)).clamp_(0, 1) for plane in mixed]
    return torch.stack(sharp, dim=-3)


def _weakened(whole: Tensor, mixed: Tensor, aim: float) -> Tensor:
    """What times the detail of `mixed` is missing to `aim` of that of `whole`, all [..., H, W]; 0 where nothing is."""
    cells = []
    for plane in (whole, mixed):
        square = (plane - around(plane, _DETAIL)).square_()
        cells.append(F.avg_pool2d(square.reshape(-1, 1, *square.shape[-2:]), _CELL, ceil_mode=True))
    power = around(torch.stack(cells), 3) + _FAINT  # [2, N, 1, h, w]
    gain = (power[0] / power[1]).sqrt_().mul_(aim).clamp_(1, _MOST) - 1
    height, width = whole.shape[-2:]
    grown = enlarge(gain, (gain.shape[-2] * _CELL, gain.shape[-1] * _CELL))
    return grown[..., :height, :width].reshape(whole.shape)


def enlarge(planes: Tensor, size: tuple[int, int], filter: Filter = "bilinear") -> Tensor:
    """`planes` [..., H, W] at a larger `size` (height, width): bilinear for fields, bicubic for pictures.

    Bicubic may leave the range of the planes by a little.
    """
    if planes.device.type == "cpu" and not planes.requires_grad and max(*size, *planes.shape[-2:]) <= _CV_LARGEST:
        import cv2

        grown = torch.empty(*planes.shape[:-2], *size)
        by = cv2.INTER_LINEAR if filter == "bilinear" else cv2.INTER_CUBIC  # as torch does it, a tenth of the time
        for source, target in zip(_flat(planes), _flat(grown)):
            cv2.resize(source.numpy(), size[::-1], dst=target.numpy(), interpolation=by)
        return grown
    batch = planes.reshape(-1, 1, *planes.shape[-2:])
    return F.interpolate(batch, size, mode=filter).view(*planes.shape[:-2], *size)


def _flat(planes: Tensor) -> Tensor:
    return planes.reshape(-1, *planes.shape[-2:])


def around(planes: Tensor, size: int) -> Tensor:
    """The mean of the `size` x `size` pixels around each of [..., H, W]."""
    if planes.device.type == "cpu" and not planes.requires_grad and max(planes.shape[-2:]) <= _CV_LARGEST:
        import cv2

        means = torch.empty(planes.shape)
        for source, target in zip(_flat(planes), _flat(means)):
            cv2.blur(source.numpy(), (size, size), dst=target.numpy(), borderType=cv2.BORDER_REPLICATE)
        return means
    batch = planes.reshape(-1, 1, *planes.shape[-2:])
    padded = F.pad(batch, (size // 2,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (1, size), stride=1), (size, 1), stride=1).view(planes.shape)


def split_trust(flow: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
    """(how far to follow what was there before, the share of it to keep as it is), both [..., 1, H, W] 0..1.

    Both are zero where there is no `trust` [..., 1, H, W] 0..1. What moves by `flow` [..., 2, H, W] pixels is followed;
    little of it is kept, as each move by parts of a pixel blurs. What stands still needs no following: most is kept,
    so that the camera's noise is averaged over time, and nothing feeds upon itself.
    """
    square = torch.addcmul(flow[..., :1, :, :].square(), flow[..., 1:, :, :], flow[..., 1:, :, :])
    still = square.mul_(-1 / _STILL**2).exp_()
    share = still.mul(_KEPT_STILL - _KEPT_MOVING).add_(_KEPT_MOVING).mul_(trust)
    return trust * (1 - still), share
