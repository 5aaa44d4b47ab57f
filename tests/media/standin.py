"""A stand-in for a GPU: arrays on the CPU, laid out as NVDEC leaves pictures and read as NVENC reads them."""

import ctypes
from collections import Counter
from contextlib import nullcontext

import numpy as np
import torch
from av import VideoFrame
from av.codec.context import CodecContext

from streamfx.media.gpu.nvidia import Cuda, _capsules, liken
from streamfx.media.pixel_formats import coding_of, rearranged, tag
from streamfx.ops.color import split_planes

TWO = {8: "nv12", 10: "p010le"}


class StandIn(Cuda):
    """What is no matter of CUDA (planes by DLPack) is the real driver's own."""

    encoders = (("libx264", 8),)
    gap = 192  # bytes behind each row, full of nonsense

    def __init__(self):
        self.device = torch.device("cpu")
        self.sent, self.fetched = Counter(), Counter()  # bytes -> times

    def coder(self):
        return nullcontext()

    def build_decoder(self, stream):
        own = stream.codec_context
        context = CodecContext.create(own.codec.canonical_name, "r")
        liken(context, own)
        numbers = iter(range(10**6))
        return lambda packet: [self.decoded(picture, next(numbers)) for picture in context.decode(packet)]

    def decoded(self, picture, number):
        return laid_out(picture, self.gap)

    def holds(self, picture):
        return picture.format.name in TWO.values()

    def wrap(self, y, uv, pix_fmt):
        """What NVENC makes of it: it looks at the first plane's address and pitch only."""
        picture = VideoFrame.from_dlpack(_capsules(y, uv), format=pix_fmt)
        pitch, (height, width) = y.stride(0) * y.element_size(), y.shape
        seen = VideoFrame(width, height, pix_fmt)
        start = y.data_ptr()
        for plane in seen.planes:
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
            for row in range(plane.height):
                line = (ctypes.c_uint8 * (width * y.element_size())).from_address(start + row * pitch)
                rows[row, : len(line)] = line
            start += height * pitch
        assert picture.planes[0].line_size == pitch
        return seen

    def upload(self, host):
        self.sent[host.numel() * host.element_size()] += 1
        assert host.is_contiguous()
        return host.clone()

    def download(self, there):
        self.fetched[there.numel() * there.element_size()] += 1
        assert there.is_contiguous()
        return there.clone()


def laid_out(picture, gap):
    """The picture with two planes, in rows that are `gap` bytes longer, in memory that FFmpeg borrows from torch."""
    coding = coding_of(picture)
    size = picture.height, picture.width
    two = rearranged(picture, TWO[coding.depth])
    kind = torch.uint8 if coding.depth == 8 else torch.uint16
    each = 1 if coding.depth == 8 else 2
    rows = np.random.default_rng(1).integers(0, 256, (size[0] * 3 // 2, size[1] * each + gap), np.uint8)
    held = torch.from_numpy(rows).view(kind)
    for samples, plane in zip(split_planes(held, *size), two.planes):
        lines = np.frombuffer(memoryview(plane), np.dtype(f"u{each}")).reshape(plane.height, -1)
        samples.copy_(torch.from_numpy(lines[:, : size[1]].copy()).view(samples.shape))
    made = VideoFrame.from_dlpack(_capsules(*split_planes(held, *size)), format=two.format.name)
    made.pts, made.time_base, made.duration, made.dts = picture.pts, picture.time_base, picture.duration, picture.dts
    tag(made, coding)
    return made
