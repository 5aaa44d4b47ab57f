"""Compiles and launches cuda_kernels/*.cu on CUDA tensors, on torch's stream; the only file that imports cupy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.ops import launch
from streamfx.ops.launch import Size
from streamfx.resources import resource

FAMILIES = ("assessment", "dis", "flow", "mix", "nv12", "variational", "warp")
OPTIONS = ("--std=c++17",)  # CuPy adds the GPU's architecture and -ftz=true
MAX_RADIUS = 5  # of the window of lucas_kanade; limited by its shared memory

Coding: TypeAlias = tuple[float, float, float, float, float, float]  # kr, kb, black, luma range, neutral, chroma range
Argument: TypeAlias = Tensor | int | float


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel launch: `arguments` are tensors, passed by address, and 32-bit integers and floats."""

    family: str
    kernel: str
    half: bool  # float16 pixels
    grid: Size  # blocks
    block: Size  # threads
    arguments: tuple[Argument, ...]


def supports(*images: Tensor) -> bool:
    """Whether the kernels support these: CUDA tensors of one dtype, float32 or float16, that need no gradient.

    Otherwise, also if CuPy is missing, the reference implementations in torch compute the same on any device.
    """
    first = images[0]
    same_type = all(image.device == first.device and image.dtype == first.dtype for image in images)
    needs_gradient = torch.is_grad_enabled() and any(image.requires_grad for image in images)
    return first.is_cuda and first.dtype in launch.PIXELS and same_type and not needs_gradient and installed()


@cache
def installed() -> bool:
    """Whether CuPy is installed; does not import it."""
    return find_spec("cupy") is not None


def source(family: str) -> str:
    """The CUDA C++ source of a family with includes inlined, so that CuPy's cache notices changes in them."""
    folder = resource("cuda_kernels")
    text = (folder / f"{family}.cu").read_text("utf-8")
    return re.sub(r'#include "(\w+\.cuh)"\n', lambda match: (folder / match[1]).read_text("utf-8"), text)


def options(half: bool) -> tuple[str, ...]:
    """The compiler options."""
    return (*OPTIONS, "-DHALF") if half else OPTIONS


def launch_cuda(call: Call, device: torch.device) -> None:
    """Launch on a CUDA device, in torch's current stream."""
    import cupy

    stream = torch.cuda.current_stream(device)
    with cupy.cuda.Device(stream.device.index), cupy.cuda.Stream.from_external(stream):
        kernel = _module(call.family, call.half).get_function(call.kernel)
        kernel(call.grid, call.block, tuple(map(_as_argument, call.arguments)))


def _as_argument(value: Argument) -> Any:
    """Tensors as addresses, which CuPy passes unchanged; numbers as 32-bit values."""
    if isinstance(value, Tensor):
        return np.uintp(value.data_ptr())
    return np.int32(value) if isinstance(value, int) else np.float32(value)


@cache
def _module(family: str, half: bool) -> Any:
    """The compiled file; CuPy compiles it on the first launch for a GPU architecture and caches the result on disk."""
    import cupy

    return cupy.RawModule(code=source(family), options=options(half))


LAUNCHERS: dict[str, Callable[[Call, torch.device], None]] = {"cuda": launch_cuda}  # by device type


def run_kernel(family: str, kernel: str, like: Tensor, grid: Size, block: Size, *arguments: Argument) -> None:
    for value in arguments:
        if isinstance(value, Tensor) and value.device != like.device:
            raise ValueError(f"kernel {kernel}: tensors are on {like.device} and {value.device}; use one device")
    launch = LAUNCHERS.get(like.device.type)
    if launch is None:
        raise ValueError(f"kernel {kernel} runs on {' or '.join(LAUNCHERS)}, not on {like.device}")
    if like.is_cuda and not installed():
        raise StreamfxError("the CUDA kernels need CuPy: pip install '.[cuda]'")
    launch(Call(family, kernel, like.dtype == torch.float16, grid, block, arguments), like.device)


def warp(image: Tensor, flow: Tensor, filter: str = "bilinear", border: str = "replicate") -> Tensor:
    """`streamfx.ops.warp.warp`: image [..., C, H, W], flow [..., 2, H, W] pixels."""
    image = launch.check_image("image", image)
    flow = launch.check_plane("flow", flow, image, 2)
    out = torch.empty_like(image)
    arguments = (image, flow, out, *launch.sides(image), launch.border(border))
    run_kernel("warp", f"warp_{launch.filter(filter)}", image, launch.tiles(image), launch.BLOCK, *arguments)
    return out


def consistency_mask(backward: Tensor, forward: Tensor, outside: float) -> Tensor:
    """`streamfx.motion.occlusion.consistency_mask`: both [..., 2, H, W] float32; `outside` is that module's OUTSIDE."""
    backward = launch.check_flow("backward", backward)
    forward = launch.check_plane("forward", forward, backward, 2)
    out = torch.empty_like(backward[..., :1, :, :])
    height, width = backward.shape[-2:]
    arguments = (backward, forward, out, height, width, float(outside))
    run_kernel("flow", "consistency_mask", backward, launch.tiles(backward), launch.BLOCK, *arguments)
    return out


def luma(image: Tensor) -> Tensor:
    """BT.709 luma [1, H, W] float32 0..255 of RGB [3, H, W] 0..1."""
    image = launch.check_rgb(image)
    out = image.new_empty((1, *image.shape[1:]), dtype=torch.float32)
    grid = (launch.blocks(out.numel(), launch.LINE), 1, 1)
    run_kernel("flow", "luma", image, grid, (launch.LINE, 1, 1), image, out, out.numel())
    return out


def halve(plane: Tensor) -> Tensor:
    """[1, H, W] float32 reduced by 2 x 2 means; odd sides are rounded up."""
    plane = launch.check_flow("plane", plane, 1)
    height, width = plane.shape[-2:]
    out = plane.new_empty((1, (height + 1) // 2, (width + 1) // 2))
    run_kernel("flow", "halve", plane, launch.tiles(out), launch.BLOCK, plane, out, height, width)
    return out


def enlarge(flow: Tensor, height: int, width: int) -> Tensor:
    """A flow [2, (H + 1) // 2, (W + 1) // 2] enlarged to [2, H, W], in pixels of the new size."""
    flow = launch.check_flow("flow", flow)
    if flow.shape[1:] != ((height + 1) // 2, (width + 1) // 2):
        raise ValueError(f"flow {tuple(flow.shape)} is not half of {height} x {width}")
    out = flow.new_empty((2, height, width))
    columns, rows, _ = launch.tiles(flow)
    run_kernel("flow", "enlarge", flow, (columns, rows, 2), launch.BLOCK, flow, out, height, width)
    return out


def lucas_kanade(image: Tensor, other: Tensor, flow: Tensor, radius: int, damping: float, limit: float) -> Tensor:
    """One iteration on lumas [1, H, W], see `streamfx.motion.lucas_kanade`; returns the new flow [2, H, W]."""
    image = launch.check_flow("image", image, 1)
    other, flow = launch.check_plane("other", other, image, 1), launch.check_plane("flow", flow, image, 2)
    if not 0 < radius <= MAX_RADIUS:
        raise ValueError(f"radius must be from 1 to {MAX_RADIUS}, got {radius}")
    out = torch.empty_like(flow)
    height, width = image.shape[-2:]
    arguments = (image, other, flow, out, height, width, radius, float(damping), float(limit))
    run_kernel("flow", "lucas_kanade", image, launch.tiles(image), launch.BLOCK, *arguments)
    return out


def blend(background: Tensor, foreground: Tensor, share: Tensor) -> Tensor:
    """`streamfx.ops.warp.blend`: background and foreground [..., C, H, W], share [..., 1, H, W]."""
    background = launch.check_image("background", background)
    foreground = launch.check_image("foreground", foreground)
    launch.check_same("foreground", foreground, background)
    share = launch.check_plane("share", share, background, 1)
    out = torch.empty_like(background)
    channels, height, width = launch.sides(background)
    grid = (launch.blocks(height * width, 4 * launch.LINE), 1, launch.batch(background))
    arguments = (background, foreground, share, out, channels, height * width)
    run_kernel("mix", "blend", background, grid, (launch.LINE, 1, 1), *arguments)
    return out


def ring(
    size: tuple[int, int], center: tuple[float, float], inner: float, outer: float, soft: float, device: torch.device
) -> Tensor:
    """`streamfx.ops.mix.ring`: a mask [1, H, W] float32."""
    out = torch.empty((1, *size), device=device)
    arguments: tuple[Argument, ...] = (out, *size, *map(float, (*center, inner, outer, soft)))
    run_kernel("mix", "ring", out, launch.tiles(out), launch.BLOCK, *arguments)
    return out


def nv12_to_rgb(y: Tensor, uv: Tensor, coding: Coding, shift: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """`streamfx.ops.color.nv12_to_rgb`: y [H, W] and uv [(H + 1) // 2, (W + 1) // 2, 2], uint8 or uint16, any pitch."""
    sides = launch.nv12_sides(y, uv)
    out = torch.empty((3, *y.shape), dtype=dtype, device=y.device)
    launch.check_rgb(out)
    name = "nv12_to_rgb" if y.dtype == torch.uint8 else "p010_to_rgb"
    run_kernel("nv12", name, out, launch.tiles(uv[..., 0]), launch.BLOCK, y, uv, out, *sides, shift, *coding)
    return out


def rgb_to_nv12(image: Tensor, y: Tensor, uv: Tensor, coding: Coding, shift: int) -> None:
    """`streamfx.ops.color.rgb_to_nv12`: writes image [3, H, W] to y and uv, at their pitches."""
    image = launch.check_rgb(image)
    sides = launch.nv12_sides(y, uv)
    if y.shape != image.shape[1:]:
        raise ValueError(f"image {tuple(image.shape)} does not fit luma {tuple(y.shape)}")
    name = "rgb_to_nv12" if y.dtype == torch.uint8 else "rgb_to_p010"
    run_kernel("nv12", name, image, launch.tiles(uv[..., 0]), launch.BLOCK, image, y, uv, *sides, shift, *coding)
