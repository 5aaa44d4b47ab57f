"""Decoder pictures <-> RGB tensors: the only place that knows how samples code colour.

FFmpeg only rearranges samples here (planes, chroma resolution); colour is converted by `ops.color` with the matrix and
range that the picture's tags name, so that what is read and what is written use one set of formulas (ITU-T H.273).
Pictures without tags are taken as BT.601, limited range, as FFmpeg takes them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from av import VideoFrame
from av.video.format import VideoFormat

from streamfx.media.probe import FULL, LIMITED, Coding

if TYPE_CHECKING:
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray
    from torch import Tensor

log = logging.getLogger("streamfx")

Move: TypeAlias = "Callable[[Tensor], Tensor]"  # of a contiguous tensor, to the device or from it

# H.273 matrix coefficients -> (Kr, Kb); unknown ones are read as BT.601, as FFmpeg does
LUMA_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
BT601 = (0.299, 0.114)
DEPTHS = (8, 10, 12, 16)  # of the planar formats that pictures are rearranged into


def coding_of(picture: VideoFrame) -> Coding:
    """The coding that a decoded picture's own tags name; deprecated yuvj formats become full-range yuv."""
    name = picture.format.name
    color_range = int(picture.color_range)
    if name.startswith("yuvj"):
        name, color_range = name.replace("yuvj", "yuv"), FULL
    return Coding(name, color_range, int(picture.colorspace), int(picture.color_primaries), int(picture.color_trc))


def to_image(picture: VideoFrame, upload: Move | None = None) -> tuple[Tensor, Tensor | None]:
    """RGB [3, H, W] and alpha [1, H, W] or None, float32 0..1, of a picture in any pixel format.

    `upload` brings samples to where the image is to be made.
    """
    from streamfx.ops.color import gray_to_rgb, yuv_to_rgb

    coding = coding_of(picture)
    kind, alpha = family(coding.pix_fmt), coding.has_alpha
    bits = _planar_depth(coding.depth)
    planar = _rearrange(picture, _planar_name(kind, bits, alpha), coding)
    planes = _read_planes(planar, bits, upload)  # [C, H, W] in units of one code value
    peak = float((1 << bits) - 1)
    opacity = planes[-1:] / peak if alpha else None
    if kind == "gbr":
        return planes[[2, 0, 1]].div_(peak), opacity
    if kind == "gray":
        return gray_to_rgb(planes[:1], bits=bits, full=coding.range != LIMITED), opacity
    kr, kb = LUMA_WEIGHTS.get(coding.matrix, BT601)
    return yuv_to_rgb(planes[:3], kr, kb, bits=bits, full=coding.range == FULL, out=planes[:3]), opacity


def to_picture(image: Tensor, alpha: Tensor | None, coding: Coding, download: Move | None = None) -> VideoFrame:
    """A picture in `coding` from RGB [3, H, W] and alpha [1, H, W] or None (opaque), float 0..1.

    Where the coding has no alpha, `alpha` must be None: flatten first, with `over_black`. `download` brings samples to
    the host from where the image is; without it the image itself is brought.
    """
    import torch

    from streamfx.ops.color import rgb_to_gray, rgb_to_yuv

    kind, with_alpha = family(coding.pix_fmt), coding.has_alpha
    bits = _planar_depth(coding.depth)
    peak = float((1 << bits) - 1)
    image = image.detach().to(image.device if download else "cpu", torch.float32)
    if kind == "gbr":
        planes = image[[1, 2, 0]] * peak
    elif kind == "gray":
        planes = rgb_to_gray(image, bits=bits, full=coding.range != LIMITED)
    else:
        kr, kb = LUMA_WEIGHTS.get(coding.matrix, BT601)
        planes = rgb_to_yuv(image, kr, kb, bits=bits, full=coding.range == FULL)
    if with_alpha:
        opacity = torch.ones_like(planes[:1]) if alpha is None else alpha.to(image)
        planes = torch.cat([planes, opacity * peak])
    picture = VideoFrame(image.shape[2], image.shape[1], _planar_name(kind, bits, with_alpha))
    _write_planes(picture, planes.add_(0.5).clamp_(0, peak), bits, download)
    tag(picture, coding)
    return _rearrange(picture, coding.pix_fmt, coding)


def alike(name: str, pictures: Iterable[VideoFrame], first: VideoFrame, pix_fmt: str) -> Iterator[VideoFrame]:
    """Pictures of the source `name`, as large as `first`, in its format or `pix_fmt`; others are converted to that."""
    shape = first.width, first.height, first.format.name
    here = *shape[:2], pix_fmt
    said = False
    for picture in pictures:
        if (picture.width, picture.height, picture.format.name) in (shape, here):
            yield picture
            continue
        if not said:
            seconds = float((picture.pts or 0) * picture.time_base) if picture.time_base else 0.0
            log.warning(
                "'%s' changes from %dx%d %s to %dx%d %s at %.2f s: scaled to the first",
                *(name, *shape, picture.width, picture.height, picture.format.name, seconds),
            )
            said = True
        changed = picture.reformat(*here[:2], format=pix_fmt, interpolation="BICUBIC")
        changed.pts, changed.duration, changed.time_base = picture.pts, picture.duration, picture.time_base
        yield changed


def over_black(image: Tensor, alpha: Tensor) -> Tensor:
    """The picture [3, H, W] laid on black by its alpha [1, H, W]."""
    return image * alpha


def tag(picture: VideoFrame, coding: Coding) -> None:
    """Write the colour tags of `coding` on a picture; its samples stay as they are."""
    picture.color_range = coding.range
    picture.colorspace = coding.matrix
    picture.color_primaries = coding.primaries
    picture.color_trc = coding.transfer


def convertible(source: Coding, target: Coding) -> bool:
    """Whether samples can be rearranged from one coding to the other, with no change of colour."""
    same = (source.range, source.matrix) == (target.range, target.matrix)
    kinds = family(source.pix_fmt), family(target.pix_fmt)
    return kinds == ("gbr", "gbr") or (kinds[0] == kinds[1] and same)


def rearranged(picture: VideoFrame, pix_fmt: str) -> VideoFrame:
    """The picture in another pixel format with the same colour coding; time stamps are kept."""
    return _rearrange(picture, pix_fmt, coding_of(picture))


def _rearrange(picture: VideoFrame, pix_fmt: str, coding: Coding) -> VideoFrame:
    """Change planes, depth and chroma resolution only: the range is named on both sides, so that FFmpeg keeps it."""
    if picture.format.name == pix_fmt:
        return picture
    if picture.format.is_rgb or VideoFormat(pix_fmt).is_rgb:
        moved = picture.reformat(format=pix_fmt)
    else:
        limits = coding.range or (FULL if family(picture.format.name) == "gray" else LIMITED)
        moved = picture.reformat(format=pix_fmt, src_color_range=limits, dst_color_range=limits)
    tag(moved, coding)
    return moved


def family(pix_fmt: str) -> str:
    """Which planar family, "gbr", "gray" or "yuv", holds the format without loss."""
    fmt = VideoFormat(pix_fmt)
    colours = [component for component in fmt.components if not component.is_alpha]
    if fmt.has_palette or fmt.is_rgb or fmt.is_bayer or fmt.name.startswith("xyz"):
        return "gbr"
    if len(colours) == 1:
        return "gray" if len(fmt.components) == 1 and fmt.components[0].bits > 1 else "gbr"
    return "yuv"


def _planar_depth(bits: int) -> int:
    return next((known for known in DEPTHS if bits <= known), 16)


def _planar_name(kind: str, bits: int, alpha: bool) -> str:
    ending = "" if bits == 8 else f"{bits}le"
    if kind == "gray":
        return f"gray{ending}"
    return f"gbr{'a' * alpha}p{ending}" if kind == "gbr" else f"yuv{'a' * alpha}444p{ending}"


def _read_planes(picture: VideoFrame, bits: int, upload: Move | None) -> Tensor:
    """Code values [C, H, W] float32, in the order in which the format keeps its planes."""
    import torch

    if upload:
        samples = torch.from_numpy(np.stack([samples_of(plane, bits) for plane in picture.planes]))
        return upload(samples).to(torch.int32).float()
    values = torch.empty(len(picture.planes), picture.height, picture.width)
    for target, plane in zip(values, picture.planes):
        target.copy_(torch.from_numpy(samples_of(plane, bits)))
    return values


def _write_planes(picture: VideoFrame, values: Tensor, bits: int, download: Move | None) -> None:
    """Cut code values [C, H, W] to whole numbers and store them."""
    import torch

    if download:
        values = download(values.to(torch.int32).to(torch.uint8 if bits == 8 else torch.uint16).contiguous())
    for source, plane in zip(values, picture.planes):
        torch.from_numpy(samples_of(plane, bits)).copy_(source)


def samples_of(plane: VideoPlane, bits: int) -> NDArray[Any]:
    """A plane's samples [H, W] as they lie in memory, the padding at the end of each line left out."""
    kind = np.dtype(np.uint8 if bits == 8 else "<u2")
    lines: NDArray[Any] = np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return lines[:, : plane.width]
