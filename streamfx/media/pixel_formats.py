"""Conversion between decoded frames in host memory and RGB tensors.

FFmpeg only changes plane layout, bit depth and chroma subsampling here. `ops.color` converts colors with the matrix and
range in the frame's tags, so that reading and writing use the same formulas (ITU-T H.273). Frames without tags are
read as BT.601, limited range, as FFmpeg does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from av import VideoFrame
from av.video.format import VideoFormat

from streamfx.media import linear_light
from streamfx.media.linear_light import is_float
from streamfx.media.probe import FULL, LIMITED, Coding

if TYPE_CHECKING:
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray
    from torch import Tensor

log = logging.getLogger("streamfx")

Copy: TypeAlias = "Callable[[Tensor], Tensor]"  # copies a contiguous tensor to or from the device

# H.273 matrix coefficients -> (Kr, Kb); unknown ones are read as BT.601, as FFmpeg does
LUMA_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
BT601 = (0.299, 0.114)
DEPTHS = (8, 10, 12, 16)  # bits per component of the planar formats used for conversion


def coding_of(frame: VideoFrame) -> Coding:
    """Return the color coding in a decoded frame's tags; deprecated yuvj formats become full-range yuv."""
    name = frame.format.name
    color_range = int(frame.color_range)
    if name.startswith("yuvj"):
        name, color_range = name.replace("yuvj", "yuv"), FULL
    return Coding(name, color_range, int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc))


def to_image(frame: VideoFrame, upload: Copy | None = None) -> tuple[Tensor, Tensor | None]:
    """Convert a frame in any pixel format to RGB [3, H, W] and alpha [1, H, W] or None, float32 0..1.

    `upload` copies the samples to the device on which to convert them.
    """
    from streamfx.ops.color import gray_to_rgb, yuv_to_rgb

    coding = coding_of(frame)
    if is_float(coding.pix_fmt):
        image, opacity = linear_light.to_image(frame)
        return (upload(image), opacity if opacity is None else upload(opacity)) if upload else (image, opacity)
    kind, alpha = family(coding.pix_fmt), coding.has_alpha
    bits = _planar_depth(coding.depth)
    planar = _convert_layout(frame, planar_name(kind, bits, alpha), coding)
    planes = _read_planes(planar, bits, upload)  # [C, H, W] in units of one code value
    peak = float((1 << bits) - 1)
    opacity = planes[-1:] / peak if alpha else None
    if kind == "gbr":
        return planes[[2, 0, 1]].div_(peak), opacity
    if kind == "gray":
        return gray_to_rgb(planes[:1], bits=bits, full=coding.range != LIMITED), opacity
    kr, kb = LUMA_WEIGHTS.get(coding.matrix, BT601)
    return yuv_to_rgb(planes[:3], kr, kb, bits=bits, full=coding.range == FULL, out=planes[:3]), opacity


def to_video_frame(image: Tensor, alpha: Tensor | None, coding: Coding, download: Copy | None = None) -> VideoFrame:
    """Convert RGB [3, H, W] and alpha [1, H, W] or None (opaque), float 0..1, to a video frame in `coding`.

    If the coding has no alpha, `alpha` must be None; flatten it first with `over_black`. `download` copies the
    converted samples from the device to the host; without it the image is copied, then converted on the host.
    """
    import torch

    from streamfx.ops.color import rgb_to_gray, rgb_to_yuv

    if is_float(coding.pix_fmt):
        frame = linear_light.to_video_frame(image, alpha, coding.pix_fmt)
        tag(frame, coding)
        return frame
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
    frame = VideoFrame(image.shape[2], image.shape[1], planar_name(kind, bits, with_alpha))
    _write_planes(frame, planes.add_(0.5).clamp_(0, peak), bits, download)
    tag(frame, coding)
    return _convert_layout(frame, coding.pix_fmt, coding)


def match_first_frame(name: str, frames: Iterable[VideoFrame], first: VideoFrame, pix_fmt: str) -> Iterator[VideoFrame]:
    """Yield frames of the source `name`, converted to the size of `first` and `pix_fmt` if size or format changed."""
    shape = first.width, first.height, first.format.name
    target = *shape[:2], pix_fmt
    warned = False
    for frame in frames:
        if (frame.width, frame.height, frame.format.name) in (shape, target):
            yield frame
            continue
        if not warned:
            seconds = float((frame.pts or 0) * frame.time_base) if frame.time_base else 0.0
            log.warning(
                "'%s' changes from %dx%d %s to %dx%d %s at %.2f s; converting to match the first frame",
                *(name, *shape, frame.width, frame.height, frame.format.name, seconds),
            )
            warned = True
        converted = frame.reformat(*target[:2], format=pix_fmt, interpolation="BICUBIC")
        converted.pts, converted.duration, converted.time_base = frame.pts, frame.duration, frame.time_base
        yield converted


def over_black(image: Tensor, alpha: Tensor) -> Tensor:
    """Composite an image [3, H, W] over black with its alpha [1, H, W]."""
    return image * alpha


def tag(frame: VideoFrame, coding: Coding) -> None:
    """Set the color tags of a frame to those of `coding`; the samples do not change."""
    frame.color_range = coding.range
    frame.colorspace = coding.matrix
    frame.color_primaries = coding.primaries
    frame.color_trc = coding.transfer


def convertible(source: Coding, target: Coding) -> bool:
    """Whether a pixel format change leads from one coding to the other, with no color conversion."""
    if is_float(source.pix_fmt) or is_float(target.pix_fmt):
        return False
    same_colors = (source.range, source.matrix) == (target.range, target.matrix)
    families = family(source.pix_fmt), family(target.pix_fmt)
    return families == ("gbr", "gbr") or (families[0] == families[1] and same_colors)


def convert_pixel_format(frame: VideoFrame, pix_fmt: str) -> VideoFrame:
    """Convert a frame to another pixel format with the same color coding; timestamps are kept."""
    return _convert_layout(frame, pix_fmt, coding_of(frame))


def _convert_layout(frame: VideoFrame, pix_fmt: str, coding: Coding) -> VideoFrame:
    """Change plane layout, bit depth and chroma subsampling only; naming the range twice makes FFmpeg keep it."""
    if frame.format.name == pix_fmt:
        return frame
    if frame.format.is_rgb or VideoFormat(pix_fmt).is_rgb:
        converted = frame.reformat(format=pix_fmt)
    else:
        color_range = coding.range or (FULL if family(frame.format.name) == "gray" else LIMITED)
        converted = frame.reformat(format=pix_fmt, src_color_range=color_range, dst_color_range=color_range)
    tag(converted, coding)
    return converted


def family(pix_fmt: str) -> str:
    """Return the planar family that represents a pixel format losslessly: "gbr", "gray" or "yuv"."""
    fmt = VideoFormat(pix_fmt)
    color_components = [component for component in fmt.components if not component.is_alpha]
    if fmt.has_palette or fmt.is_rgb or fmt.is_bayer or fmt.name.startswith("xyz"):
        return "gbr"
    if len(color_components) == 1:
        return "gray" if len(fmt.components) == 1 and fmt.components[0].bits > 1 else "gbr"
    return "yuv"


def _planar_depth(bits: int) -> int:
    return next((depth for depth in DEPTHS if bits <= depth), 16)


def planar_name(kind: str, bits: int, alpha: bool) -> str:
    """The planar pixel format of a family with full chroma, such as yuva444p10le."""
    suffix = "" if bits == 8 else f"{bits}le"
    if kind == "gray":
        return f"gray{suffix}"
    return f"gbr{'a' * alpha}p{suffix}" if kind == "gbr" else f"yuv{'a' * alpha}444p{suffix}"


def _read_planes(frame: VideoFrame, bits: int, upload: Copy | None) -> Tensor:
    """Return code values [C, H, W] float32, in the plane order of the pixel format."""
    import torch

    if upload:
        samples = torch.from_numpy(np.stack([samples_of(plane, bits) for plane in frame.planes]))
        return upload(samples).to(torch.int32).float()
    values = torch.empty(len(frame.planes), frame.height, frame.width)
    for target, plane in zip(values, frame.planes):
        target.copy_(torch.from_numpy(samples_of(plane, bits)))
    return values


def _write_planes(frame: VideoFrame, values: Tensor, bits: int, download: Copy | None) -> None:
    """Truncate code values [C, H, W] to integers and write them to the planes of `frame`."""
    import torch

    if download:
        values = download(values.to(torch.int32).to(torch.uint8 if bits == 8 else torch.uint16).contiguous())
    for source, plane in zip(values, frame.planes):
        torch.from_numpy(samples_of(plane, bits)).copy_(source)


def copy_planes(frame: VideoFrame, planes: Sequence[VideoPlane]) -> None:
    """Copy planes into those of `frame`, which have the same sizes and sample formats."""
    for target, plane in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(target), np.uint8).reshape(target.height, -1)
        width = min(target.line_size, plane.line_size)
        rows[:, :width] = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, :width]


def samples_of(plane: VideoPlane, bits: int) -> NDArray[Any]:
    """Return a view of a plane's samples [H, W], without the padding at the end of each row."""
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    stride = plane.line_size // dtype.itemsize
    rows: NDArray[Any] = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, stride)
    return rows[:, : plane.width]
