"""Video frames in GPU memory: decoding, conversion to and from tensors, and encoding.

Device-specific functions belong to a `Driver`; this module works with any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av.error
import numpy as np
from av.codec.codec import Codec
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from streamfx.media import pixel_formats
from streamfx.media.ffmpeg_log import ffmpeg_messages
from streamfx.media.gpu.nvidia import Decode, Driver, driver_of
from streamfx.media.pixel_formats import BT601, LUMA_WEIGHTS, coding_of, convert_pixel_format, family, tag
from streamfx.media.probe import FULL, Coding

if TYPE_CHECKING:
    import torch
    from av.stream import Stream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray
    from torch import Tensor

    from streamfx.media.encoding import Encoding

TWO_PLANES = {8: "nv12", 10: "p010le"}  # bits -> 4:2:0 format on GPUs
THREE_PLANES = {8: ("yuv420p", "yuvj420p"), 10: ("yuv420p10le",)}  # bits -> 4:2:0 formats on the CPU
MAX_ENCODER_ERROR = 8.0  # of 255: mean difference of a smooth frame after lossy encoding
MAX_PACKETS_BEFORE_FRAME = 64  # that a decoder may take before it returns a frame
MAX_DECODER_ERROR = 0.5  # of 255: mean difference between two decoders


def two_planes(pix_fmt: str) -> str | None:
    """The semi-planar GPU format that holds the same samples; None if `pix_fmt` is not 4:2:0 of 8 or 10 bits."""
    fmt = VideoFormat(pix_fmt, 4, 4)
    if family(pix_fmt) != "yuv" or Coding(pix_fmt).has_alpha or (fmt.chroma_width(4), fmt.chroma_height(4)) != (2, 2):
        return None
    return TWO_PLANES.get(Coding(pix_fmt).depth)


def find_decoder(driver: Driver, stream: VideoStream, first: VideoFrame) -> Decode | str:
    """The device's decoder for a stream, or why there is none. `first` is the first frame from FFmpeg's decoder."""
    name = stream.codec_context.codec.canonical_name
    if two_planes(first.format.name) is None:
        return f"the GPU decodes 4:2:0 of 8 or 10 bits, not {first.format.name}"
    if first.width % 2 or first.height % 2:
        return f"the GPU needs an even width and height, not {first.width}x{first.height}"
    with ffmpeg_messages() as messages:
        try:
            decode = driver.build_decoder(stream)
        except (av.error.FFmpegError, OSError, RuntimeError) as error:
            return messages[0][2].strip() if messages else str(error)
    return _checked(decode) if decode else f"FFmpeg has no GPU decoder for {name}"


def _checked(decode: Decode) -> Decode:
    """The decoder, raising RuntimeError for any error or too many packets before the first frame."""
    packets = 0

    def decoded(packet: Packet[Stream]) -> list[VideoFrame]:
        nonlocal packets
        if packets > MAX_PACKETS_BEFORE_FRAME:
            return decode(packet)
        try:
            frames = decode(packet)
        except av.error.FFmpegError as error:
            raise RuntimeError(f"the GPU decoder failed: {error.strerror}") from error
        packets = MAX_PACKETS_BEFORE_FRAME + 1 if frames else packets + 1
        if packets > MAX_PACKETS_BEFORE_FRAME and not frames:
            raise RuntimeError("the GPU decoder returned no frames")
        return frames

    return decoded


def decoder_mismatch(decoded: VideoFrame | None, first: VideoFrame, driver: Driver) -> str:
    """How the device's first frame differs from `first`, decoded by FFmpeg on the CPU; "" if it does not."""
    from streamfx.ops.color import nv12_to_planar

    if decoded is None or not driver.holds(decoded):
        return "the GPU decoder does not support this video"
    if (decoded.width, decoded.height, decoded.pts) != (first.width, first.height, first.pts):
        actual, expected = (f"{frame.width}x{frame.height} at {frame.pts}" for frame in (decoded, first))
        return f"the first GPU frame is {actual}, but should be {expected}"
    if replace(coding_of(decoded), pix_fmt="") != replace(coding_of(first), pix_fmt=""):
        return "the GPU decoder returned other color tags"
    planes, bits = driver.planes(decoded), Coding(first.format.name).depth
    if planes[0].element_size() != (1 if bits == 8 else 2):
        return "the GPU decoder returned another bit depth"
    codes = driver.download(nv12_to_planar(*planes, bits))
    error = _max_mean_difference(codes, _codes(first, bits), first.height, first.width, bits)
    return "" if error <= MAX_DECODER_ERROR else f"the first GPU frame is off by {error:.1f} of 255"


def to_image(frame: VideoFrame, device: torch.device | None) -> tuple[Tensor, Tensor | None]:
    """RGB [3, H, W] and alpha [1, H, W] or None on `device` (CPU if None), float32 0..1, of any frame.

    Frames on the device are converted there. Samples of other frames are uploaded first, and then converted.
    """
    driver = driver_of(device)
    if driver is None:
        image, alpha = pixel_formats.to_image(frame)
        return image.to(device), None if alpha is None else alpha.to(device)
    from streamfx.ops.color import nv12_to_rgb, planar_to_nv12

    coding = coding_of(frame)
    bits = coding.depth
    if driver.holds(frame):
        y, uv = driver.planes(frame)
        bits = 8 if y.element_size() == 1 else 10
    elif two_planes(coding.pix_fmt):
        y, uv = planar_to_nv12(driver.upload(_codes(frame, bits)), frame.height, frame.width, bits)
    else:
        return pixel_formats.to_image(frame, driver.upload)
    kr, kb = LUMA_WEIGHTS.get(coding.matrix, BT601)
    return nv12_to_rgb(y, uv, kr, kb, bits=bits, full=coding.range == FULL), None


def to_video_frame(image: Tensor, alpha: Tensor | None, coding: Coding, on_device: bool = False) -> VideoFrame:
    """`pixel_formats.to_video_frame` for any device; `on_device` leaves the samples on it."""
    driver = driver_of(image.device)
    if driver is None:
        return pixel_formats.to_video_frame(image, alpha, coding)
    pix_fmt = two_planes(coding.pix_fmt)
    if pix_fmt is None or alpha is not None:
        return pixel_formats.to_video_frame(image, alpha, coding, driver.download)
    from streamfx.ops.color import nv12_planes, rgb_to_nv12

    kr, kb = LUMA_WEIGHTS.get(coding.matrix, BT601)
    (height, width), bits = image.shape[1:], coding.depth
    planes = nv12_planes(height, width, bits, image.device)
    rgb_to_nv12(image, kr, kb, bits=bits, full=coding.range == FULL, out=planes)
    if on_device:
        frame = driver.wrap(*planes, pix_fmt)
        tag(frame, coding)
        return frame
    frame = _download(driver, planes, bits)
    tag(frame, coding)
    return convert_pixel_format(frame, coding.pix_fmt)


def to_host(frame: VideoFrame, driver: Driver) -> VideoFrame:
    """A copy of a device frame on the host, with the format that the CPU's decoder would give it."""
    planes = driver.planes(frame)
    copy = _download(driver, planes, 8 if planes[0].element_size() == 1 else 10)
    copy.pts, copy.time_base = frame.pts, frame.time_base
    return copy


def _download(driver: Driver, planes: tuple[Tensor, Tensor], bits: int) -> VideoFrame:
    """A planar frame on the host from the two planes on the device."""
    from streamfx.ops.color import nv12_to_planar

    height, width = planes[0].shape
    frame = VideoFrame(width, height, THREE_PLANES[bits][0])
    for samples, codes in _plane_pairs(frame, driver.download(nv12_to_planar(*planes, bits)), bits):
        np.copyto(samples, codes)
    return frame


def downscaled_luma(frame: VideoFrame, driver: Driver, height: int, width: int) -> NDArray[np.float32]:
    """Luma 0..255 of a frame on the device, averaged to [height, width] before the download."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    y, _ = driver.planes(frame)
    scale = 1.0 if y.element_size() == 1 else 1 / 256
    small = (adaptive_avg_pool2d(y.to(torch.int32).float()[None], (height, width))[0] * scale).round()
    luma: NDArray[np.float32] = driver.download(small.contiguous()).numpy()
    return luma


def encoder_problem(driver: Driver, encoding: Encoding, size: tuple[int, int]) -> str:
    """Encode and decode a test frame of `size` (height, width); returns what is wrong, "" if nothing."""
    import torch

    height, width = size
    down, across = torch.arange(height)[:, None] / height, torch.arange(width) / width
    image = torch.stack([across.expand(size), down.expand(size), 1 - across * down]).to(driver.device)
    with ffmpeg_messages() as messages:
        try:
            frame = to_video_frame(image, None, encoding.coding, on_device=True)
            decoded = _decoded(encoding, _encoded(driver, encoding, frame))
        except (av.error.FFmpegError, OSError, RuntimeError, ValueError) as error:
            return messages[0][2].strip() if messages else str(error)
    if decoded is None:
        return "the encoder returned no frame"
    expected = to_video_frame(image, None, encoding.coding)
    bits = encoding.coding.depth
    difference = _max_mean_difference(_codes(decoded, bits), _codes(expected, bits), height, width, bits)
    return "" if difference <= MAX_ENCODER_ERROR else f"a test frame was off by {difference:.0f} of 255"


def _encoded(driver: Driver, encoding: Encoding, frame: VideoFrame) -> list[Packet[Stream]]:
    with driver.hwaccel() as hardware:
        context = CodecContext.create(encoding.encoder, "w", hwaccel=hardware)
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = frame.width, frame.height, encoding.pix_fmt
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.color_range, context.colorspace = encoding.coding.range, encoding.coding.matrix
    context.options = dict(encoding.options)
    context.open()  # otherwise PyAV would configure it from the frame's memory, in another format
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    packets = [*context.encode(frame), *context.encode(None)]
    if context.options:
        raise ValueError(f"the encoder has no option '{next(iter(context.options))}'")
    return packets


def _decoded(encoding: Encoding, packets: list[Packet[Stream]]) -> VideoFrame | None:
    context = CodecContext.create(Codec(encoding.encoder, "w").canonical_name, "r")
    assert isinstance(context, VideoCodecContext)
    return next((frame for packet in [*packets, None] for frame in context.decode(packet)), None)


def _codes(frame: VideoFrame, bits: int) -> Tensor:
    """The code values of a 4:2:0 frame on the host, flattened like the result of `nv12_to_planar`."""
    import torch

    from streamfx.ops.color import line_length

    line = torch.empty(line_length(frame.height, frame.width), dtype=torch.uint8 if bits == 8 else torch.uint16)
    known = THREE_PLANES[bits]
    planar = frame if frame.format.name in known else convert_pixel_format(frame, known[0])
    for samples, codes in _plane_pairs(planar, line, bits):
        np.copyto(codes, samples)
    return line


def _plane_pairs(frame: VideoFrame, line: Tensor, bits: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Y, Cb and Cr of a planar frame, each paired with its part of `line`."""
    from streamfx.ops.color import split_line

    for plane, part in zip(frame.planes, split_line(line, frame.height, frame.width), strict=True):
        yield pixel_formats.samples_of(plane, bits), part.numpy()


def _max_mean_difference(one: Tensor, other: Tensor, height: int, width: int, bits: int) -> float:
    """The largest of the mean differences of Y, Cb and Cr, of 255, between flat code values on the host."""
    import torch

    from streamfx.ops.color import split_line

    differences = split_line((one.to(torch.int32) - other.to(torch.int32)).abs().float(), height, width)
    return max(float(difference.mean()) for difference in differences) / (1 << (bits - 8))
