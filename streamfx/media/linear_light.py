"""Frames of linear light in floating point, as OpenEXR stores them, to RGB tensors and back.

The light is that of Rec.709 primaries, 1.0 is the display's white, and alpha is premultiplied. Tensors are coded by the
sRGB curve (IEC 61966-2-1), with straight alpha.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from av import VideoFrame

if TYPE_CHECKING:
    from torch import Tensor

LINEAR, SRGB = 8, 13  # transfer characteristics of H.273


def is_float(pix_fmt: str) -> bool:
    """Whether samples of a pixel format are floating-point numbers."""
    return bool(re.search(r"f(16|32)[lb]e$", pix_fmt))


def to_image(frame: VideoFrame) -> tuple[Tensor, Tensor | None]:
    """RGB [3, H, W] and alpha [1, H, W] or None, float32 0..1, of a frame in a planar or gray float format.

    Frames tagged as linear are coded by the sRGB curve; others, which a filter may have made, are taken as they are.
    """
    import torch

    from streamfx.ops.color import linear_to_srgb

    name = frame.format.name
    kind = np.dtype(("<" if name.endswith("le") else ">") + ("f2" if "f16" in name else "f4"))
    values = torch.empty(len(frame.planes), frame.height, frame.width)
    for target, plane in zip(values, frame.planes):
        rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
        target.copy_(torch.from_numpy(rows[:, : plane.width].astype(np.float32)))
    values = values.nan_to_num_(0.0)
    alpha = values[3:].clamp(0, 1) if len(values) == 4 else None
    image = values[[2, 0, 1]] if len(values) > 2 else values[:1].expand(3, -1, -1)
    if alpha is not None:
        image = torch.where(alpha > 0, image / alpha, image)
    return (linear_to_srgb(image) if int(frame.color_trc) == LINEAR else image.clamp(0, 1)), alpha


def to_video_frame(image: Tensor, alpha: Tensor | None, pix_fmt: str) -> VideoFrame:
    """A frame in gbrpf32le or gbrapf32le from RGB [3, H, W] and alpha [1, H, W] or None (opaque), float 0..1."""
    import torch

    from streamfx.ops.color import srgb_to_linear

    light = srgb_to_linear(image.detach().to("cpu", torch.float32))[[1, 2, 0]]
    if pix_fmt.startswith("gbra"):
        opacity = torch.ones_like(light[:1]) if alpha is None else alpha.to(light)
        light = torch.cat([light * opacity, opacity])
    frame = VideoFrame(light.shape[2], light.shape[1], pix_fmt)
    for source, plane in zip(light, frame.planes):
        rows = np.frombuffer(memoryview(plane), "<f4").reshape(plane.height, plane.line_size // 4)
        torch.from_numpy(rows[:, : plane.width]).copy_(source)
    return frame
