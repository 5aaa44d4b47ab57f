"""A stand-in for a GPU: CPU memory with the layout of NVDEC's output, read the way NVENC reads its input."""

import ctypes
from collections import Counter
from contextlib import nullcontext

import numpy as np
import torch
from av import VideoFrame
from av.codec.context import CodecContext

from streamfx.media.gpu.nvidia import Cuda, _capsules, copy_parameters
from streamfx.media.pixel_formats import coding_of, convert_pixel_format, tag
from streamfx.ops.color import split_planes

SEMI_PLANAR = {8: "nv12", 10: "p010le"}


class StandIn(Cuda):
    """Inherits everything that does not need CUDA, such as planes by DLPack."""

    encoders = (("libx264", 8),)
    row_padding = 192  # bytes of random padding after each row

    def __init__(self):
        self.device = torch.device("cpu")
        self.sent, self.fetched = Counter(), Counter()  # size in bytes -> count

    def hwaccel(self):
        return nullcontext()

    def build_decoder(self, stream):
        own = stream.codec_context
        context = CodecContext.create(own.codec.canonical_name, "r")
        copy_parameters(context, own)
        numbers = iter(range(10**6))
        return lambda packet: [self.decoded(frame, next(numbers)) for frame in context.decode(packet)]

    def decoded(self, frame, number):
        return as_nvdec_frame(frame, self.row_padding)

    def holds(self, frame):
        return frame.format.name in SEMI_PLANAR.values()

    def wrap(self, y, uv, pix_fmt):
        """The frame as NVENC sees it, which reads only the first plane's address and pitch."""
        frame = VideoFrame.from_dlpack(_capsules(y, uv), format=pix_fmt)
        pitch, (height, width) = y.stride(0) * y.element_size(), y.shape
        encoded = VideoFrame(width, height, pix_fmt)
        start = y.data_ptr()
        for plane in encoded.planes:
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
            for row in range(plane.height):
                line = (ctypes.c_uint8 * (width * y.element_size())).from_address(start + row * pitch)
                rows[row, : len(line)] = line
            start += height * pitch
        assert frame.planes[0].line_size == pitch
        return encoded

    def upload(self, host):
        self.sent[host.numel() * host.element_size()] += 1
        assert host.is_contiguous()
        return host.clone()

    def download(self, tensor):
        self.fetched[tensor.numel() * tensor.element_size()] += 1
        assert tensor.is_contiguous()
        return tensor.clone()


def as_nvdec_frame(frame, row_padding):
    """The frame in semi-planar format, its rows padded by `row_padding` bytes, in memory owned by torch."""
    coding = coding_of(frame)
    size = frame.height, frame.width
    semi_planar = convert_pixel_format(frame, SEMI_PLANAR[coding.depth])
    dtype = torch.uint8 if coding.depth == 8 else torch.uint16
    sample_size = 1 if coding.depth == 8 else 2
    rows = np.random.default_rng(1).integers(0, 256, (size[0] * 3 // 2, size[1] * sample_size + row_padding), np.uint8)
    buffer = torch.from_numpy(rows).view(dtype)
    for samples, plane in zip(split_planes(buffer, *size), semi_planar.planes):
        lines = np.frombuffer(memoryview(plane), np.dtype(f"u{sample_size}")).reshape(plane.height, -1)
        samples.copy_(torch.from_numpy(lines[:, : size[1]].copy()).view(samples.shape))
    result = VideoFrame.from_dlpack(_capsules(*split_planes(buffer, *size)), format=semi_planar.format.name)
    result.pts, result.time_base, result.duration, result.dts = frame.pts, frame.time_base, frame.duration, frame.dts
    tag(result, coding)
    return result
