"""Pictures on a GPU: decoded there, made into tensors and back there, and encoded there.

All that only a GPU can do is asked of a `Driver`; what is done with it here works on any.
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
from streamfx.media.filters.graph import ffmpeg_messages
from streamfx.media.gpu.nvidia import Decode, Driver, driver_of
from streamfx.media.pixel_formats import BT601, LUMA_WEIGHTS, coding_of, family, rearranged, tag
from streamfx.media.probe import FULL, Coding

if TYPE_CHECKING:
    import torch
    from av.stream import Stream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray
    from torch import Tensor

    from streamfx.media.output.encoder_selection import Encoding

TWO_PLANES = {8: "nv12", 10: "p010le"}  # bits -> the format in which GPUs keep 4:2:0
THREE_PLANES = {8: ("yuv420p", "yuvj420p"), 10: ("yuv420p10le",)}  # and decoders on the CPU
NEAR = 8.0  # of 255: the mean difference by which a lossy coder may change a soft picture
PATIENCE = 64  # packets that a decoder may take before its first picture
SAME = 0.5  # of 255: by which two decoders may differ in a picture


def two_planes(pix_fmt: str) -> str | None:
    """The format with two planes, as GPUs have them, that holds the same samples; None where it is not 4:2:0."""
    fmt = VideoFormat(pix_fmt, 4, 4)
    if family(pix_fmt) != "yuv" or Coding(pix_fmt).has_alpha or (fmt.chroma_width(4), fmt.chroma_height(4)) != (2, 2):
        return None
    return TWO_PLANES.get(Coding(pix_fmt).depth)


def find_decoder(driver: Driver, stream: VideoStream, first: VideoFrame) -> Decode | str:
    """The device's decoder for a stream whose first picture is `first`, as FFmpeg decodes it; or why there is none."""
    name = stream.codec_context.codec.canonical_name
    if two_planes(first.format.name) is None:
        return f"the GPU decodes 4:2:0 of 8 or 10 bits, this is {first.format.name}"
    if first.width % 2 or first.height % 2:
        return f"its sides are odd: {first.width}x{first.height}"
    with ffmpeg_messages() as said:
        try:
            decode = driver.build_decoder(stream)
        except (av.error.FFmpegError, OSError, RuntimeError) as error:
            return said[0][2].strip() if said else str(error)
    return _impatient(decode) if decode else f"FFmpeg has no decoder of {name} for it"


def _impatient(decode: Decode) -> Decode:
    """The decoder; until its first picture every error, and a long silence, is a RuntimeError."""
    waited = 0

    def decoded(packet: Packet[Stream]) -> list[VideoFrame]:
        nonlocal waited
        if waited > PATIENCE:
            return decode(packet)
        try:
            made = decode(packet)
        except av.error.FFmpegError as error:
            raise RuntimeError(f"its decoder says: {error.strerror}") from error
        waited = PATIENCE + 1 if made else waited + 1
        if waited > PATIENCE and not made:
            raise RuntimeError("no picture comes out of its decoder")
        return made

    return decoded


def differs(there: VideoFrame | None, first: VideoFrame, driver: Driver) -> str:
    """What is wrong with the first picture of the device's decoder, beside FFmpeg's own; empty where nothing is."""
    from streamfx.ops.color import joined_planes

    if there is None or not driver.holds(there):
        return "its decoder does not take this"
    if (there.width, there.height, there.pts) != (first.width, first.height, first.pts):
        told = [f"{each.width}x{each.height} at {each.pts}" for each in (there, first)]
        return f"its first picture is {told[0]}, but should be {told[1]}"
    if replace(coding_of(there), pix_fmt="") != replace(coding_of(first), pix_fmt=""):
        return "it reads other colour tags"
    planes, bits = driver.planes(there), Coding(first.format.name).depth
    if planes[0].element_size() != (1 if bits == 8 else 2):
        return "its samples have other depth"
    off = _furthest(driver.download(joined_planes(*planes, bits)), _codes(first, bits), first.height, first.width, bits)
    return "" if off <= SAME else f"its first picture is off by {off:.1f} of 255"


def to_image(picture: VideoFrame, device: torch.device | None) -> tuple[Tensor, Tensor | None]:
    """RGB [3, H, W] and alpha [1, H, W] or None on `device` (CPU if None), float32 0..1, of any picture.

    What lies on the device stays there. Of others the samples are sent, not what is made of them.
    """
    driver = driver_of(device)
    if driver is None:
        image, alpha = pixel_formats.to_image(picture)
        return image.to(device), None if alpha is None else alpha.to(device)
    from streamfx.ops.color import nv12_to_rgb, parted_planes

    coding = coding_of(picture)
    bits = coding.depth
    if driver.holds(picture):
        y, uv = driver.planes(picture)
        bits = 8 if y.element_size() == 1 else 10
    elif two_planes(coding.pix_fmt):
        y, uv = parted_planes(driver.upload(_codes(picture, bits)), picture.height, picture.width, bits)
    else:
        return pixel_formats.to_image(picture, driver.upload)
    kr, kb = LUMA_WEIGHTS.get(coding.matrix, BT601)
    return nv12_to_rgb(y, uv, kr, kb, bits=bits, full=coding.range == FULL), None


def to_picture(image: Tensor, alpha: Tensor | None, coding: Coding, stays: bool = False) -> VideoFrame:
    """`pixel_formats.to_picture` of an image on any device; `stays` leaves the samples on it."""
    driver = driver_of(image.device)
    if driver is None:
        return pixel_formats.to_picture(image, alpha, coding)
    pix_fmt = two_planes(coding.pix_fmt)
    if pix_fmt is None or alpha is not None:
        return pixel_formats.to_picture(image, alpha, coding, driver.download)
    from streamfx.ops.color import nv12_planes, rgb_to_nv12

    kr, kb = LUMA_WEIGHTS.get(coding.matrix, BT601)
    (height, width), bits = image.shape[1:], coding.depth
    planes = nv12_planes(height, width, bits, image.device)
    rgb_to_nv12(image, kr, kb, bits=bits, full=coding.range == FULL, out=planes)
    if stays:
        picture = driver.wrap(*planes, pix_fmt)
        tag(picture, coding)
        return picture
    picture = _brought(driver, planes, bits)
    tag(picture, coding)
    return rearranged(picture, coding.pix_fmt)


def to_host(picture: VideoFrame, driver: Driver) -> VideoFrame:
    """A picture that the device holds, with the samples and the moment that it would have from the CPU's decoder."""
    planes = driver.planes(picture)
    made = _brought(driver, planes, 8 if planes[0].element_size() == 1 else 10)
    made.pts, made.time_base = picture.pts, picture.time_base
    return made


def _brought(driver: Driver, planes: tuple[Tensor, Tensor], bits: int) -> VideoFrame:
    """The picture on the host, with three planes, of two on the device."""
    from streamfx.ops.color import joined_planes

    height, width = planes[0].shape
    picture = VideoFrame(width, height, THREE_PLANES[bits][0])
    for samples, codes in _beside(picture, driver.download(joined_planes(*planes, bits)), bits):
        np.copyto(samples, codes)
    return picture


def small_luma(picture: VideoFrame, driver: Driver, height: int, width: int) -> NDArray[np.float32]:
    """Luma 0..255 of a picture that the device holds, averaged to [height, width]: all that comes down of it."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    y, _ = driver.planes(picture)
    scale = 1.0 if y.element_size() == 1 else 1 / 256
    small = (adaptive_avg_pool2d(y.to(torch.int32).float()[None], (height, width))[0] * scale).round()
    made: NDArray[np.float32] = driver.download(small.contiguous()).numpy()
    return made


def refusal(driver: Driver, encoding: Encoding, size: tuple[int, int]) -> str:
    """Why the device's encoder does not serve for pictures of `size`; empty where a test picture comes through it."""
    import torch

    height, width = size
    down, across = torch.arange(height)[:, None] / height, torch.arange(width) / width
    image = torch.stack([across.expand(size), down.expand(size), 1 - across * down]).to(driver.device)
    with ffmpeg_messages() as said:
        try:
            made = _decoded(encoding, _encoded(driver, encoding, to_picture(image, None, encoding.coding, stays=True)))
        except (av.error.FFmpegError, OSError, RuntimeError, ValueError) as error:
            return said[0][2].strip() if said else str(error)
    if made is None:
        return "no picture came out of it"
    wanted = to_picture(image, None, encoding.coding)
    bits = encoding.coding.depth
    off = _furthest(_codes(made, bits), _codes(wanted, bits), height, width, bits)
    return "" if off <= NEAR else f"a test picture came out of it wrong, by {off:.0f} of 255"


def _encoded(driver: Driver, encoding: Encoding, picture: VideoFrame) -> list[Packet[Stream]]:
    with driver.coder() as hardware:
        context = CodecContext.create(encoding.encoder, "w", hwaccel=hardware)
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = picture.width, picture.height, encoding.pix_fmt
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.color_range, context.colorspace = encoding.coding.range, encoding.coding.matrix
    context.options = dict(encoding.options)
    context.open()  # else the picture's memory would be taken for the encoder's own, of another format
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    packets = [*context.encode(picture), *context.encode(None)]
    if context.options:
        raise ValueError(f"it knows no option '{next(iter(context.options))}'")
    return packets


def _decoded(encoding: Encoding, packets: list[Packet[Stream]]) -> VideoFrame | None:
    context = CodecContext.create(Codec(encoding.encoder, "w").canonical_name, "r")
    assert isinstance(context, VideoCodecContext)
    return next((picture for packet in [*packets, None] for picture in context.decode(packet)), None)


def _codes(picture: VideoFrame, bits: int) -> Tensor:
    """The code values of a 4:2:0 picture on the host, in one line of memory as `joined_planes` gives them."""
    import torch

    from streamfx.ops.color import line_length

    line = torch.empty(line_length(picture.height, picture.width), dtype=torch.uint8 if bits == 8 else torch.uint16)
    known = THREE_PLANES[bits]
    planar = picture if picture.format.name in known else rearranged(picture, known[0])
    for samples, codes in _beside(planar, line, bits):
        np.copyto(codes, samples)
    return line


def _beside(picture: VideoFrame, line: Tensor, bits: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """y, cb and cr of a picture with three planes, each beside its place in `line`."""
    from streamfx.ops.color import split_line

    for plane, place in zip(picture.planes, split_line(line, picture.height, picture.width), strict=True):
        yield pixel_formats.samples_of(plane, bits), place.numpy()


def _furthest(one: Tensor, other: Tensor, height: int, width: int, bits: int) -> float:
    """The mean difference of y, of cb or of cr, the largest, of 255; both are lines of code values on the host."""
    import torch

    from streamfx.ops.color import split_line

    apart = split_line((one.to(torch.int32) - other.to(torch.int32)).abs().float(), height, width)
    return max(float(each.mean()) for each in apart) / (1 << (bits - 8))
