"""Compile and launch cuda_kernels/*.cu on tensors where they lie, on torch's stream; the only file with cupy."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.shipped import shipped

FAMILIES = ("flow", "mix", "nv12", "warp")
OPTIONS = ("--std=c++17",)  # CuPy adds the GPU's architecture and -ftz=true
FILTERS = ("bilinear", "bicubic")
BORDERS = ("replicate", "reflect", "wrap", "zeros")  # the order of `enum Border` in pixel.cuh
LARGEST_RADIUS = 5  # of lucas_kanade's window: what its shared memory holds
_PIXELS = (torch.float32, torch.float16)
_BLOCK = (32, 8, 1)  # threads
_LINE = 256  # threads where a picture is one line of pixels
_SUMS = 128  # blocks at most whose sums `moments` leaves to torch
_MOST = 1 << 30  # pixels of a plane, so that an int counts them

Coding: TypeAlias = tuple[float, float, float, float, float, float]  # kr, kb, black, luma span, neutral, chroma span
Argument: TypeAlias = Tensor | int | float
Size: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Call:
    """One launch of a kernel: `arguments` are tensors, given by address, and 32-bit integers and floats."""

    family: str
    kernel: str
    half: bool  # float16 pixels
    grid: Size  # blocks
    block: Size  # threads
    arguments: tuple[Argument, ...]


def takes(*images: Tensor) -> bool:
    """Whether kernels can work on these: CUDA tensors of one kind, float32 or float16, that nothing is learned from.

    Where this is false, the twins in torch do the same on any device. A GPU without CuPy is such a place: `streamfx
    doctor` says how to get it.
    """
    first = images[0]
    alike = all(image.device == first.device and image.dtype == first.dtype for image in images)
    learned = torch.is_grad_enabled() and any(image.requires_grad for image in images)
    return first.is_cuda and first.dtype in _PIXELS and alike and not learned and installed()


@cache
def installed() -> bool:
    """Whether CuPy is here; it is not imported."""
    return find_spec("cupy") is not None


def source(family: str) -> str:
    """The CUDA C++ of a family as one text; what it includes is pasted in, so CuPy's cache sees a change of it."""
    folder = shipped("cuda_kernels")
    text = (folder / f"{family}.cu").read_text("utf-8")
    return re.sub(r'#include "(\w+\.cuh)"\n', lambda found: (folder / found[1]).read_text("utf-8"), text)


def options(half: bool) -> tuple[str, ...]:
    """What the compiler is told."""
    return (*OPTIONS, "-DHALF") if half else OPTIONS


def launch_cuda(call: Call, device: torch.device) -> None:
    """Launch on a CUDA device, behind what torch's current stream there already has to do."""
    import cupy

    stream = torch.cuda.current_stream(device)
    with cupy.cuda.Device(stream.device.index), cupy.cuda.Stream.from_external(stream):
        kernel = _module(call.family, call.half).get_function(call.kernel)
        kernel(call.grid, call.block, tuple(map(_as_argument, call.arguments)))


def _as_argument(value: Argument) -> Any:
    """Tensors as addresses, which CuPy hands on as they are; numbers in the 32 bits that kernels take."""
    if isinstance(value, Tensor):
        return np.uintp(value.data_ptr())
    return np.int32(value) if isinstance(value, int) else np.float32(value)


@cache
def _module(family: str, half: bool) -> Any:
    """The compiled file; CuPy compiles it at the first launch on a kind of GPU, and keeps the result on disk."""
    import cupy

    return cupy.RawModule(code=source(family), options=options(half))


LAUNCHERS: dict[str, Callable[[Call, torch.device], None]] = {"cuda": launch_cuda}  # by a device's type


def _run(family: str, kernel: str, like: Tensor, grid: Size, block: Size, *arguments: Argument) -> None:
    for value in arguments:
        if isinstance(value, Tensor) and value.device != like.device:
            raise ValueError(f"kernel {kernel}: tensors lie on {like.device} and {value.device}; bring them together")
    launch = LAUNCHERS.get(like.device.type)
    if launch is None:
        raise ValueError(f"kernel {kernel} runs on {' or '.join(LAUNCHERS)}, not on {like.device}")
    if like.is_cuda and not installed():
        raise StreamfxError("the CUDA kernels need CuPy: pip install 'streamfx[cuda]'")
    launch(Call(family, kernel, like.dtype == torch.float16, grid, block, arguments), like.device)


def warp(image: Tensor, flow: Tensor, filter: str = "bilinear", border: str = "replicate") -> Tensor:
    """`streamfx.ops.warp.warp`: image [..., C, H, W], flow [..., 2, H, W] pixels."""
    image = _picture("image", image)
    flow = _plane("flow", flow, image, 2)
    out = torch.empty_like(image)
    _run("warp", "warp", image, _tiles(image), _BLOCK, image, flow, out, *_sides(image), *_ways(filter, border))
    return out


def warp_blend(
    ground: Tensor, image: Tensor, flow: Tensor, share: Tensor, filter: str = "bilinear", border: str = "replicate"
) -> Tensor:
    """`streamfx.ops.mix.warp_blend`: ground and image [..., C, H, W], flow [..., 2, H, W], share [..., 1, H, W]."""
    ground, image = _picture("ground", ground), _picture("image", image)
    _alike("image", image, ground)
    flow, share = _plane("flow", flow, image, 2), _plane("share", share, image, 1)
    out = torch.empty_like(ground)
    arguments = (ground, image, flow, share, out, *_sides(image), *_ways(filter, border))
    _run("warp", "warp_blend", image, _tiles(image), _BLOCK, *arguments)
    return out


def affine(
    image: Tensor, matrix: Sequence[Sequence[float]], filter: str = "bilinear", border: str = "replicate"
) -> Tensor:
    """`streamfx.ops.affine.affine`: image [..., C, H, W], matrix of two or three rows of three."""
    image = _picture("image", image)
    rows = [*matrix, (0.0, 0.0, 1.0)][:3]
    if len(matrix) not in (2, 3) or any(len(row) != 3 for row in rows):
        raise ValueError(f"a matrix has two or three rows of three numbers; got {matrix}")
    out = torch.empty_like(image)
    numbers = [float(value) for row in rows for value in row]
    arguments: tuple[Argument, ...] = (image, out, *_sides(image), *_ways(filter, border), *numbers)
    _run("warp", "affine", image, _tiles(image), _BLOCK, *arguments)
    return out


def trust_mask(backward: Tensor, forward: Tensor, outside: float) -> Tensor:
    """`streamfx.nets.flow.trust_mask`: both [..., 2, H, W] float32; `outside` is that module's OUTSIDE."""
    backward = _flow("backward", backward)
    forward = _plane("forward", forward, backward, 2)
    out = torch.empty_like(backward[..., :1, :, :])
    height, width = backward.shape[-2:]
    arguments = (backward, forward, out, height, width, float(outside))
    _run("flow", "trust_mask", backward, _tiles(backward), _BLOCK, *arguments)
    return out


def luma(image: Tensor) -> Tensor:
    """BT.709 luma [1, H, W] float32 0..255 of RGB [3, H, W] 0..1."""
    image = _rgb(image)
    out = image.new_empty((1, *image.shape[1:]), dtype=torch.float32)
    _run("flow", "luma", image, (_blocks(out.numel(), _LINE), 1, 1), (_LINE, 1, 1), image, out, out.numel())
    return out


def halve(plane: Tensor) -> Tensor:
    """The means of 2 x 2 of [1, H, W] float32; odd sides are rounded up."""
    plane = _flow("plane", plane, 1)
    height, width = plane.shape[-2:]
    out = plane.new_empty((1, (height + 1) // 2, (width + 1) // 2))
    _run("flow", "halve", plane, _tiles(out), _BLOCK, plane, out, height, width)
    return out


def enlarge(flow: Tensor, height: int, width: int) -> Tensor:
    """A flow [2, (H + 1) // 2, (W + 1) // 2] at [2, H, W], in pixels of that size."""
    flow = _flow("flow", flow)
    if flow.shape[1:] != ((height + 1) // 2, (width + 1) // 2):
        raise ValueError(f"a flow {tuple(flow.shape)} is not half of {height} x {width}")
    out = flow.new_empty((2, height, width))
    _run("flow", "enlarge", flow, _tiles(out), _BLOCK, flow, out, height, width)
    return out


def lucas_kanade(image: Tensor, other: Tensor, flow: Tensor, radius: int, damping: float, limit: float) -> Tensor:
    """One round on lumas [1, H, W]: see `streamfx.ops.lucas_kanade`. The new flow [2, H, W]."""
    image = _flow("image", image, 1)
    other, flow = _plane("other", other, image, 1), _plane("flow", flow, image, 2)
    if not 0 < radius <= LARGEST_RADIUS:
        raise ValueError(f"a radius of 1 to {LARGEST_RADIUS} is allowed, not {radius}")
    out = torch.empty_like(flow)
    height, width = image.shape[-2:]
    arguments = (image, other, flow, out, height, width, radius, float(damping), float(limit))
    _run("flow", "lucas_kanade", image, _tiles(image), _BLOCK, *arguments)
    return out


def blend(ground: Tensor, cover: Tensor, share: Tensor) -> Tensor:
    """`streamfx.ops.warp.blend`: ground and cover [..., C, H, W], share [..., 1, H, W]."""
    ground, cover = _picture("ground", ground), _picture("cover", cover)
    _alike("cover", cover, ground)
    share = _plane("share", share, ground, 1)
    out = torch.empty_like(ground)
    channels, height, width = _sides(ground)
    grid = (_blocks(height * width, 4 * _LINE), 1, _batch(ground))
    _run("mix", "blend", ground, grid, (_LINE, 1, 1), ground, cover, share, out, channels, height * width)
    return out


def fade(image: Tensor, color: Sequence[float], share: float) -> Tensor:
    """`streamfx.ops.mix.fade`: image [3, H, W]."""
    image = _rgb(image)
    out = torch.empty_like(image)
    red, green, blue = map(float, color)
    grid, count = _lines(image)
    _run("mix", "fade", image, grid, (_LINE, 1, 1), image, out, count, red, green, blue, float(share))
    return out


def ring(
    size: tuple[int, int], centre: tuple[float, float], inner: float, outer: float, soft: float, device: torch.device
) -> Tensor:
    """`streamfx.ops.mix.ring`: a mask [1, H, W] float32."""
    out = torch.empty((1, *size), device=device)
    arguments: tuple[Argument, ...] = (out, *size, *map(float, (*centre, inner, outer, soft)))
    _run("mix", "ring", out, _tiles(out), _BLOCK, *arguments)
    return out


def moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [C], float64, of an image [C, H, W]."""
    image = _channels(image)
    channels, height, width = _sides(image)
    count = height * width
    blocks = min(_SUMS, _blocks(count, 4 * _LINE))
    sums = image.new_empty((channels, blocks, 2), dtype=torch.float32)
    _run("mix", "moments", image, (blocks, channels, 1), (_LINE, 1, 1), image, sums, count)
    mean, square = (sums.double().sum(1) / count).unbind(-1)  # of what is over 1/2
    return mean + 0.5, (square - mean.square()).clamp_min(0).sqrt()


def recolor(image: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """image [C, H, W] times gain [C] plus shift [C], float32, clamped to 0..1."""
    image = _channels(image)
    if gain.shape != shift.shape or gain.shape != image.shape[:1]:
        raise ValueError(f"gain {tuple(gain.shape)} and shift {tuple(shift.shape)} are one number a channel")
    out = torch.empty_like(image)
    grid, count = _lines(image)
    arguments = (image, gain.float().contiguous(), shift.float().contiguous(), out, count)
    _run("mix", "recolor", image, grid, (_LINE, 1, 1), *arguments)
    return out


def nv12_to_rgb(y: Tensor, uv: Tensor, coding: Coding, shift: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """`streamfx.ops.color.nv12_to_rgb`: y [H, W] and uv [(H + 1) // 2, (W + 1) // 2, 2], uint8 or uint16, any pitch."""
    sides = _nv12_sides(y, uv)
    out = torch.empty((3, *y.shape), dtype=dtype, device=y.device)
    _rgb(out)
    name = "nv12_to_rgb" if y.dtype == torch.uint8 else "p010_to_rgb"
    _run("nv12", name, out, _tiles(uv[..., 0]), _BLOCK, y, uv, out, *sides, shift, *coding)
    return out


def rgb_to_nv12(image: Tensor, y: Tensor, uv: Tensor, coding: Coding, shift: int) -> None:
    """`streamfx.ops.color.rgb_to_nv12`, from image [3, H, W] into y and uv, whose pitches stay theirs."""
    image = _rgb(image)
    sides = _nv12_sides(y, uv)
    if y.shape != image.shape[1:]:
        raise ValueError(f"an image {tuple(image.shape)} does not fit luma {tuple(y.shape)}")
    name = "rgb_to_nv12" if y.dtype == torch.uint8 else "rgb_to_p010"
    _run("nv12", name, image, _tiles(uv[..., 0]), _BLOCK, image, y, uv, *sides, shift, *coding)


def _nv12_sides(y: Tensor, uv: Tensor) -> tuple[int, int, int, int]:
    """Height, width and both pitches in samples."""
    if y.dtype != uv.dtype or y.dtype not in (torch.uint8, torch.uint16):
        raise ValueError(f"NV12 is uint8, P010 is uint16; got {y.dtype} and {uv.dtype}")
    if y.ndim != 2 or uv.shape != ((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2, 2) or not y.numel():
        raise ValueError(f"chroma {tuple(uv.shape)} does not fit luma {tuple(y.shape)}")
    if y.stride(1) != 1 or uv.stride()[1:] != (2, 1):
        raise ValueError(f"samples of a row lie side by side; got strides {y.stride()} and {uv.stride()}")
    return y.shape[0], y.shape[1], y.stride(0), uv.stride(0)


def _picture(name: str, image: Tensor) -> Tensor:
    """Contiguous [..., C, H, W] of pixels that kernels know."""
    if image.ndim < 3 or not image.numel() or image.shape[-1] * image.shape[-2] > _MOST:
        raise ValueError(f"{name} is [..., C, H, W] with 1 to {_MOST} pixels; got {tuple(image.shape)}")
    if image.dtype not in _PIXELS:
        raise ValueError(f"{name} is float32 or float16, not {image.dtype}")
    return image.detach().contiguous()


def _channels(image: Tensor) -> Tensor:
    if image.ndim != 3:
        raise ValueError(f"an image is [C, H, W]; got {tuple(image.shape)}")
    return _picture("image", image)


def _rgb(image: Tensor) -> Tensor:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"an image is [3, H, W]; got {tuple(image.shape)}")
    return _picture("image", image)


def _flow(name: str, plane: Tensor, channels: int = 2) -> Tensor:
    if plane.ndim < 3 or plane.shape[-3] != channels:
        raise ValueError(f"{name} is [..., {channels}, H, W]; got {tuple(plane.shape)}")
    return _picture(name, plane.float())


def _plane(name: str, plane: Tensor, like: Tensor, channels: int) -> Tensor:
    """Contiguous float32 [..., channels, H, W] that fits the picture `like`."""
    if plane.shape != (*like.shape[:-3], channels, *like.shape[-2:]):
        raise ValueError(f"a {name} {tuple(plane.shape)} does not fit an image {tuple(like.shape)}")
    return plane.detach().float().contiguous()


def _alike(name: str, image: Tensor, first: Tensor) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        raise ValueError(
            f"{name} {tuple(image.shape)} {image.dtype} is not like the other, {tuple(first.shape)} {first.dtype}"
        )


def _ways(filter: str, border: str) -> tuple[int, int]:
    if filter not in FILTERS or border not in BORDERS:
        raise ValueError(f"filter is one of {FILTERS}, border of {BORDERS}; got '{filter}', '{border}'")
    return FILTERS.index(filter), BORDERS.index(border)


def _sides(image: Tensor) -> Size:
    return image.shape[-3], image.shape[-2], image.shape[-1]


def _batch(image: Tensor) -> int:
    return int(np.prod(image.shape[:-3], dtype=int))


def _blocks(count: int, each: int) -> int:
    return -(-count // each)


def _tiles(image: Tensor) -> Size:
    """Blocks of `_BLOCK` threads, one a pixel."""
    return _blocks(image.shape[-1], _BLOCK[0]), _blocks(image.shape[-2], _BLOCK[1]), _batch(image)


def _lines(image: Tensor) -> tuple[Size, int]:
    """Blocks of `_LINE` threads, one for four pixels of a channel, and the pixels of one."""
    count = image.shape[-2] * image.shape[-1]
    return (_blocks(count, 4 * _LINE), 1, image.shape[-3]), count
