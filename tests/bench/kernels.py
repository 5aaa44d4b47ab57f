"""Each CUDA kernel beside its twin in torch on a GPU: python tests/bench/kernels.py [--size 1920x1080] [--half]

The share is that of the card's copy bandwidth, which is measured by copying 1 GiB from one place on it to another: the
bytes that a kernel must read and write at the least (each once, what it fetches from neighbours not counted), divided
by the time. Times are medians of CUDA events, with the cache overwritten before each.
"""

import argparse
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.nets.flow import OUTSIDE, trust_mask
from streamfx.ops import kernels, shapes
from streamfx.ops.affine import _affine
from streamfx.ops.color import _code_range, _nv12_to_rgb, _rgb_to_nv12, nv12_planes
from streamfx.ops.lucas_kanade import DAMPING, KERNELS, LIMIT, RADIUS, TWINS, search
from streamfx.ops.mix import _fade, _recolor, _ring, _warp_blend
from streamfx.ops.warp import _warp

RUNS = 30
BT709 = (0.2126, 0.0722)
TURN = [[0.99, -0.02, 12.0], [0.02, 0.99, -9.0]]


class Row(NamedTuple):
    name: str
    kernel: Callable[[], object]
    twin: Callable[[], object]
    bytes: int  # read and written


def size_of(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def rows(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Iterator[Row]:
    image, other = torch.rand(2, 3, height, width, device=device).to(dtype)
    flow = F.interpolate(8 * torch.randn(1, 2, 9, 16, device=device), (height, width), mode="bicubic")[0].contiguous()
    share = torch.rand(1, height, width, device=device)
    for filter in shapes.FILTERS:
        ways = (filter, "replicate")
        yield Row(
            f"warp, {filter}",
            lambda ways=ways: kernels.warp(image, flow, *ways),
            lambda ways=ways: _warp(image, flow.to(dtype), *ways),
            size_of(image, flow, image),
        )
        yield Row(
            f"warp_blend, {filter}",
            lambda ways=ways: kernels.warp_blend(other, image, flow, share, *ways),
            lambda ways=ways: _warp_blend(other, image, flow.to(dtype), share.to(dtype), *ways),
            size_of(image, other, flow, share, image),
        )
        yield Row(
            f"affine, {filter}",
            lambda ways=ways: kernels.affine(image, TURN, *ways),
            lambda ways=ways: _affine(image, TURN, *ways),
            size_of(image, image),
        )
    yield from colour_rows(image)
    yield from flow_rows(image, other, flow)
    color, gain = (0.1, 0.2, 0.3), torch.rand(3, device=device)
    blended = size_of(image, other, share, image)
    yield Row("blend", lambda: kernels.blend(image, other, share), lambda: image.lerp(other, share.to(dtype)), blended)
    yield Row("fade", lambda: kernels.fade(image, color, 0.3), lambda: _fade(image, color, 0.3), size_of(image, image))
    sides = ((height, width), (width / 2, height / 2), 100.0, 300.0, 20.0, device)
    yield Row("ring", lambda: kernels.ring(*sides), lambda: _ring(*sides), size_of(share))
    yield Row("moments", lambda: kernels.moments(image), lambda: torch.std_mean(image, (1, 2)), size_of(image))
    tinted = size_of(image, image)
    yield Row("recolor", lambda: kernels.recolor(image, gain, gain), lambda: _recolor(image, gain, gain), tinted)


def colour_rows(image: Tensor) -> Iterator[Row]:
    for bits, name in ((8, "nv12"), (10, "p010")):
        shift = 0 if bits == 8 else 6
        y, uv = nv12_planes(*image.shape[1:], bits, image.device)
        coding = (*BT709, *_code_range(bits, False))
        moved = size_of(image, y, uv)
        yield Row(
            f"rgb_to_{name}",
            lambda y=y, uv=uv, coding=coding, shift=shift: kernels.rgb_to_nv12(image, y, uv, coding, shift),
            lambda y=y, uv=uv, bits=bits, shift=shift: _rgb_to_nv12(image, *BT709, bits, False, shift, y, uv),
            moved,
        )
        yield Row(
            f"{name}_to_rgb",
            lambda y=y, uv=uv, coding=coding, shift=shift: kernels.nv12_to_rgb(y, uv, coding, shift, image.dtype),
            lambda y=y, uv=uv, bits=bits, shift=shift: _nv12_to_rgb(y, uv, *BT709, bits, False, shift),
            moved,
        )


def flow_rows(image: Tensor, other: Tensor, flow: Tensor) -> Iterator[Row]:
    height, width = image.shape[1:]
    back, learned = -flow, flow.clone().requires_grad_()  # what is learned from is not for kernels
    yield Row(
        "trust_mask",
        lambda: kernels.trust_mask(flow, back, OUTSIDE),
        lambda: trust_mask(learned, back),
        size_of(flow, back) * 5 // 4,
    )
    light, moved = KERNELS.luma(image), KERNELS.luma(other)
    half = KERNELS.halve(light)
    small = flow[:, : half.shape[1], : half.shape[2]].contiguous()
    yield Row("luma", lambda: KERNELS.luma(image), lambda: TWINS.luma(image), size_of(image, light))
    yield Row("halve", lambda: KERNELS.halve(light), lambda: TWINS.halve(light), size_of(light, half))
    yield Row(
        "enlarge",
        lambda: KERNELS.enlarge(small, height, width),
        lambda: TWINS.enlarge(small, height, width),
        size_of(small, flow),
    )
    settings = (RADIUS, DAMPING, LIMIT)
    yield Row(
        "lucas_kanade, one round",
        lambda: KERNELS.round(light, moved, flow, *settings),
        lambda: TWINS.round(light, moved, flow, *settings),
        size_of(light, moved, flow, flow),
    )
    whole = [lambda steps=steps: search(image, other, 1, steps) for steps in (KERNELS, TWINS)]
    yield Row("lucas_kanade, whole", *whole, 0)


def seconds(job: Callable[[], object], cache: Tensor) -> float:
    times = []
    for number in range(RUNS + 3):
        cache.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        job()
        end.record()
        end.synchronize()
        if number >= 3:
            times.append(start.elapsed_time(end) / 1000)
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time each CUDA kernel beside its twin.")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--half", action="store_true", help="float16 pixels")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a GPU that CUDA works on")
    width, height = map(int, asked.size.split("x"))
    cache = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    bandwidth = 2 * len(source) / seconds(lambda: target.copy_(source), cache)
    kind = "float16" if asked.half else "float32"
    print(f"{torch.cuda.get_device_name()}, {width}x{height}, {kind}, copies at {bandwidth / 1e9:.0f} GB/s\n")
    print("| kernel | us | twin, us | times as quick | GB/s | share of copying |\n|:--|--:|--:|--:|--:|--:|")
    for row in rows(height, width, torch.float16 if asked.half else torch.float32, torch.device("cuda")):
        time, twin = seconds(row.kernel, cache), seconds(row.twin, cache)
        rate = row.bytes / time
        told = f"{rate / 1e9:.0f} | {100 * rate / bandwidth:.0f} %" if row.bytes else " | "
        print(f"| {row.name} | {1e6 * time:.1f} | {1e6 * twin:.1f} | {twin / time:.1f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
