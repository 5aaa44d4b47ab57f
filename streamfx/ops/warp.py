"""Move pixels along a motion field, and mix by a mask."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Filter: TypeAlias = Literal["bilinear", "bicubic"]
Border: TypeAlias = Literal["replicate", "reflect", "wrap", "zeros"]

_PADDING = {"replicate": "border", "reflect": "reflection", "wrap": "zeros", "zeros": "zeros"}  # grid_sample's words
_CV_BORDERS = {"replicate": "BORDER_REPLICATE", "reflect": "BORDER_REFLECT_101"}  # the borders OpenCV treats alike
_CV_LARGEST, _CV_CHANNELS = 32766, 4  # pixels, and channels, that it can move
_DETAIL, _REGION = 7, 17  # pixels; what is finer than the first is detail, whose strength is judged over the second
_FAINT = 1e-5  # of the power of detail: what is that weak is no detail
_STILL = 0.1  # pixels; what moves less hardly moves
_KEPT_MOVING, _KEPT_STILL = 0.55, 0.9


def warp(image: Tensor, flow: Tensor, filter: Filter = "bilinear", border: Border = "replicate") -> Tensor:
    """`image` [..., C, H, W] seen through `flow` [..., 2, H, W]: the pixel at p is the image's at p + flow(p).

    The flow is in pixels, first to the right, then down. "bicubic" (Keys 1981, a = -0.75) keeps more of what is sharp
    and may leave the image's range by a little. Beyond its borders the image goes on as its outermost pixel, as its
    mirror image about that pixel's centre, from its other side, or as zeros.
    """
    if image.shape[-2:] != flow.shape[-2:] or flow.shape[-3] != 2 or image.shape[:-3] != flow.shape[:-3]:
        raise ValueError(f"a flow {tuple(flow.shape)} does not fit an image {tuple(image.shape)}")
    if image.device.type == "cpu" and image.ndim == 3 and border in _CV_BORDERS and not torch.is_grad_enabled():
        return _warp_cpu(image, flow, filter, border)
    return _warp(image, flow, filter, border)


def _warp_cpu(image: Tensor, flow: Tensor, filter: Filter, border: Border) -> Tensor:
    """By OpenCV: three times as quick, at 1/32 of a pixel."""
    import cv2

    height, width = image.shape[-2:]
    if max(height, width) > _CV_LARGEST or len(image) > _CV_CHANNELS:
        return _warp(image, flow, filter, border)
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across, down = across + flow[0].numpy(), down + flow[1].numpy()
    pixels = image.float().permute(1, 2, 0).contiguous().numpy()
    code = getattr(cv2, "INTER_CUBIC" if filter == "bicubic" else "INTER_LINEAR")
    moved = cv2.remap(pixels, across, down, code, borderMode=getattr(cv2, _CV_BORDERS[border]))
    return torch.from_numpy(moved.reshape(height, width, -1)).permute(2, 0, 1).contiguous().to(image.dtype)


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
    return torch.lerp(ground, cover, share)


def renew(painted: Tensor, warped: Tensor, share: Tensor) -> Tensor:
    """`share` [..., 1, H, W] 0..1 of `warped` in `painted`, both [..., 3, H, W] 0..1, as sharp as `painted` is.

    The mean of two pictures whose details differ a little is duller than either. What of the mixture differs from its
    surroundings is made as strong again as it is in the painting around there, at most twice as strong.
    """
    if painted.ndim == 4 and len(painted) == 1:
        return renew(painted[0], warped[0], share[0])[None]
    mixed = blend(painted, warped, share)
    detail = mixed - _around(mixed, _DETAIL)
    with torch.no_grad():  # a strength to take as given
        light = painted.mean(-3, keepdim=True)
        fine = torch.cat([light - _around(light, _DETAIL), detail.mean(-3, keepdim=True)], dim=-3)
        power = _around(fine.square(), _REGION) + _FAINT
        gain = (power[..., :1, :, :] / power[..., 1:, :, :]).sqrt().clamp(1, 2) - 1
    return torch.addcmul(mixed, gain, detail).clamp(0, 1)


def _around(image: Tensor, size: int) -> Tensor:
    """The mean of the `size` x `size` pixels around each of [..., C, H, W]."""
    if image.device.type == "cpu" and image.ndim == 3 and len(image) <= _CV_CHANNELS and not torch.is_grad_enabled():
        import cv2

        planes = [
            torch.from_numpy(cv2.blur(plane.numpy(), (size, size), borderType=cv2.BORDER_REPLICATE)) for plane in image
        ]
        return torch.stack(planes)
    batch = image.reshape(-1, *image.shape[-3:])
    padded = F.pad(batch, (size // 2,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (1, size), stride=1), (size, 1), stride=1).view(image.shape)


def split_trust(flow: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
    """(how far to follow what was there before, the share of it to keep as it is), both [..., 1, H, W] 0..1.

    Both are zero where there is no `trust` [..., 1, H, W] 0..1. What moves by `flow` [..., 2, H, W] pixels is followed;
    little of it is kept, as each move by parts of a pixel blurs. What stands still needs no following: most is kept,
    so that the camera's noise is averaged over time, and nothing feeds upon itself.
    """
    still = torch.exp(-(flow / _STILL).square().sum(-3, keepdim=True))
    return trust * (1 - still), trust * torch.lerp(still.new_tensor(_KEPT_MOVING), still.new_tensor(_KEPT_STILL), still)
