"""Warp images along a flow, and blend by a mask."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops import cuda
from streamfx.ops.resize import CV_MAX_SIDE, Filter, enlarge

Border: TypeAlias = Literal["replicate", "reflect", "wrap", "zeros"]

_PADDING = {"replicate": "border", "reflect": "reflection", "wrap": "zeros", "zeros": "zeros"}  # names in grid_sample
_CV_BORDERS = {"replicate": "BORDER_REPLICATE", "reflect": "BORDER_REFLECT_101"}  # borders that are the same in OpenCV
_CV_MAX_CHANNELS = 4  # a limit of cv2.remap
_DETAIL = 5  # pixels, box size; detail is the difference from the box mean
_CELL = 8  # pixels; the power of detail is averaged over 3 by 3 cells
_MIN_POWER = 1e-5  # of detail, added to avoid amplifying noise
_MAX_GAIN = 2.5  # of detail
_STILL = 0.1  # pixels per frame; slower content counts as still
_SHARE_MOVING, _SHARE_STILL = 0.62, 0.9  # of the previous stylized frame in the next one


def warp(image: Tensor, flow: Tensor, filter: Filter = "bilinear", border: Border = "replicate") -> Tensor:
    """`image` [..., C, H, W] warped by `flow` [..., 2, H, W]: the output at p is the image at p + flow(p).

    The flow is in pixels, x then y. "bicubic" (Keys 1981, a = -0.75) is sharper and may slightly exceed the image's
    range. `border` extends the image by its outermost pixel (replicate), by its mirror image about the center of that
    pixel (reflect), periodically (wrap), or by zeros.
    """
    if image.shape[-2:] != flow.shape[-2:] or flow.shape[-3] != 2 or image.shape[:-3] != flow.shape[:-3]:
        raise ValueError(f"flow {tuple(flow.shape)} does not fit image {tuple(image.shape)}")
    if cuda.supports(image) and not flow.requires_grad:
        return cuda.warp(image, flow, filter, border)
    if _use_opencv(image, flow) and border in _CV_BORDERS:
        return _warp_opencv(image, flow, filter, border)
    return _warp(image, flow, filter, border)


def _use_opencv(*images: Tensor) -> bool:
    """Whether OpenCV can warp these: single CPU images that need no gradient."""
    first = images[0]
    fits = first.ndim == 3 and len(first) <= _CV_MAX_CHANNELS and max(first.shape) <= CV_MAX_SIDE
    return fits and first.device.type == "cpu" and not any(image.requires_grad for image in images)


def _warp_opencv(image: Tensor, flow: Tensor, filter: Filter, border: Border) -> Tensor:
    """`warp` by OpenCV: three times as fast, with a precision of 1/32 pixel."""
    import cv2

    height, width = image.shape[-2:]
    across = flow[0].numpy() + np.arange(width, dtype=np.float32)
    down = flow[1].numpy() + np.arange(height, dtype=np.float32)[:, None]
    pixels = cv2.merge([plane.float().numpy() for plane in image])
    code = cv2.INTER_CUBIC if filter == "bicubic" else cv2.INTER_LINEAR
    warped = cv2.remap(pixels, across, down, code, borderMode=getattr(cv2, _CV_BORDERS[border]))
    output = torch.empty(image.shape)
    cv2.split(warped, list(output.numpy()))
    return output.to(image.dtype)


def _warp(image: Tensor, flow: Tensor, filter: Filter, border: Border) -> Tensor:
    height, width = image.shape[-2:]
    across = torch.arange(width, device=flow.device) + flow[..., 0, :, :]  # [..., H, W] pixels
    down = torch.arange(height, device=flow.device)[:, None] + flow[..., 1, :, :]
    source = image
    if border == "wrap":  # pad, to interpolate between the last and the first pixel
        across, down = across % width + 2, down % height + 2
        indices = [torch.arange(-2, side + 2, device=image.device) % side for side in (height, width)]
        source = image[..., indices[0][:, None], indices[1]]
    rows, columns = source.shape[-2:]
    grid = torch.stack([across * (2 / max(1, columns - 1)) - 1, down * (2 / max(1, rows - 1)) - 1], dim=-1)
    batch = source.reshape(-1, *source.shape[-3:])
    grid = grid.reshape(-1, height, width, 2).to(batch.dtype)
    warped = F.grid_sample(batch, grid, filter, _PADDING[border], align_corners=True)
    return warped.view(image.shape)


def blend(background: Tensor, foreground: Tensor, share: Tensor) -> Tensor:
    """`foreground` over `background`, both [..., C, H, W], with opacity `share` [..., 1, H, W] 0..1."""
    if cuda.supports(background, foreground):
        return cuda.blend(background, foreground, share)
    return torch.lerp(background, foreground, share)


def blend_sharp(stylized: Tensor, warped: Tensor, share: Tensor, detail: float = 0.97) -> Tensor:
    """`warped` over `stylized` with opacity `share` [..., 1, H, W] 0..1, as sharp as `stylized`; [..., 3, H, W] 0..1.

    Averaging images with slightly different detail blurs them, and so does subpixel warping. So the local detail of the
    mixture is amplified to `detail` times its strength in `stylized`.
    """
    share = share.squeeze(-3)
    mixed = [torch.lerp(new, old, share) for new, old in zip(stylized.unbind(-3), warped.unbind(-3))]
    with torch.no_grad():  # the gain is treated as a constant
        gain = _detail_gain(stylized.select(-3, 1), mixed[1], detail)  # green dominates luma
    # plane by plane, because a plane fits into the cache
    sharp = [torch.addcmul(plane, gain, plane - box_mean(plane, _DETAIL)).clamp_(0, 1) for plane in mixed]
    return torch.stack(sharp, dim=-3)


def _detail_gain(reference: Tensor, mixed: Tensor, target: float) -> Tensor:
    """g >= 0 such that 1 + g times the detail of `mixed` is `target` times that of `reference`; all [..., H, W]."""
    cells = []
    for plane in (reference, mixed):
        square = (plane - box_mean(plane, _DETAIL)).square_()
        cells.append(F.avg_pool2d(square.reshape(-1, 1, *square.shape[-2:]), _CELL, ceil_mode=True))
    power = box_mean(torch.stack(cells), 3) + _MIN_POWER  # [2, N, 1, h, w]
    gain = (power[0] / power[1]).sqrt_().mul_(target).clamp_(1, _MAX_GAIN) - 1
    height, width = reference.shape[-2:]
    enlarged = enlarge(gain, (gain.shape[-2] * _CELL, gain.shape[-1] * _CELL))
    return enlarged[..., :height, :width].reshape(reference.shape)


def _flat(planes: Tensor) -> Tensor:
    return planes.reshape(-1, *planes.shape[-2:])


def box_mean(planes: Tensor, size: int) -> Tensor:
    """The mean over the `size` x `size` window around each pixel of [..., H, W]."""
    if planes.device.type == "cpu" and not planes.requires_grad and max(planes.shape[-2:]) <= CV_MAX_SIDE:
        import cv2

        means = torch.empty(planes.shape)
        for source, target in zip(_flat(planes), _flat(means)):
            cv2.blur(source.numpy(), (size, size), dst=target.numpy(), borderType=cv2.BORDER_REPLICATE)
        return means
    batch = planes.reshape(-1, 1, *planes.shape[-2:])
    padded = F.pad(batch, (size // 2,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (1, size), stride=1), (size, 1), stride=1).view(planes.shape)


def split_confidence(flow: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """(confidence of moving content, share of the warped previous frame to keep), both [..., 1, H, W] 0..1.

    Both are 0 where `confidence` [..., 1, H, W] 0..1 is 0. Content that moves by `flow` [..., 2, H, W] pixels keeps a
    smaller share, as subpixel warping blurs. Still content has moving confidence 0, which avoids feedback, and keeps a
    larger share, which averages camera noise over time.
    """
    square = torch.addcmul(flow[..., :1, :, :].square(), flow[..., 1:, :, :], flow[..., 1:, :, :])
    still = square.mul_(-1 / _STILL**2).exp_()
    share = still.mul(_SHARE_STILL - _SHARE_MOVING).add_(_SHARE_MOVING).mul_(confidence)
    return confidence * (1 - still), share
