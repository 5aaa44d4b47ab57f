"""Each CUDA kernel beside its twin in torch, on pictures made by chance: for whoever compares or times them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.motion.flow import OUTSIDE, trust_mask
from streamfx.motion.lucas_kanade import DAMPING, KERNELS, LIMIT, RADIUS, TWINS, search
from streamfx.ops import cuda, launch
from streamfx.ops.affine import _affine
from streamfx.ops.color import _code_range, _nv12_to_rgb, _rgb_to_nv12, nv12_planes
from streamfx.ops.mix import _fade, _recolor, _ring, _warp_blend
from streamfx.ops.warp import _warp

BT709 = (0.2126, 0.0722)
TURN = [[0.99, -0.02, 12.0], [0.02, 0.99, -9.0]]

Job = Callable[[], Tensor | Sequence[Tensor]]


class Row(NamedTuple):
    """A kernel and its twin; both give the same."""

    name: str
    kernel: Job
    twin: Job
    bytes: int  # that must be read and written at the least; 0 where that says nothing
    most: float  # by which they may differ on average


def size_of(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def apart(row: Row) -> float:
    """The mean difference of a kernel's result from its twin's, of the tensor where it is largest."""
    made, wanted = ([_copied(each) for each in _listed(job())] for job in (row.kernel, row.twin))
    return max(float((one - other).abs().mean()) for one, other in zip(made, wanted, strict=True))


def _copied(tensor: Tensor) -> Tensor:
    return (tensor.to(torch.int32) if tensor.dtype == torch.uint16 else tensor.clone()).double()


def _listed(made: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [made] if isinstance(made, Tensor) else made


def rows(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Iterator[Row]:
    """All kernels on pictures [3, height, width] of `dtype`, float32 or float16."""
    chance = torch.Generator().manual_seed(1)
    image, other = torch.rand(2, 3, height, width, generator=chance).to(device, dtype)
    coarse = 8 * torch.randn(1, 2, 9, 16, generator=chance).to(device)
    flow = F.interpolate(coarse, (height, width), mode="bicubic")[0].contiguous()
    share = torch.rand(1, height, width, generator=chance).to(device)
    fine = 1e-5 if dtype == torch.float32 else 2e-3
    whole, ground = image.float(), other.float()  # half precision is too coarse for where pixels come from
    for filter in launch.FILTERS:
        ways = (filter, "replicate")
        yield Row(
            f"warp, {filter}",
            lambda ways=ways: cuda.warp(image, flow, *ways),  # type: ignore[misc]
            lambda ways=ways: _warp(whole, flow, *ways),  # type: ignore[misc]
            size_of(image, flow, image),
            20 * fine,
        )
        yield Row(
            f"warp_blend, {filter}",
            lambda ways=ways: cuda.warp_blend(other, image, flow, share, *ways),  # type: ignore[misc]
            lambda ways=ways: _warp_blend(ground, whole, flow, share, *ways),  # type: ignore[misc]
            size_of(image, other, flow, share, image),
            20 * fine,
        )
        yield Row(
            f"affine, {filter}",
            lambda ways=ways: cuda.affine(image, TURN, *ways),  # type: ignore[misc]
            lambda ways=ways: _affine(whole, TURN, *ways),  # type: ignore[misc]
            size_of(image, image),
            20 * fine,
        )
    yield from _colour_rows(image, fine)
    yield from _flow_rows(image, other, flow)
    yield from _mix_rows(image, other, share, fine)


def _mix_rows(image: Tensor, other: Tensor, share: Tensor, fine: float) -> Iterator[Row]:
    color, gain = (0.1, 0.2, 0.3), share.flatten()[:3].clone()
    both, part = size_of(image, image), share.to(image.dtype)
    yield Row(
        "blend", lambda: cuda.blend(image, other, share), lambda: image.lerp(other, part), both * 3 // 2, 5 * fine
    )
    yield Row("fade", lambda: cuda.fade(image, color, 0.3), lambda: _fade(image, color, 0.3), both, 5 * fine)
    height, width = image.shape[1:]
    radii = (height / 10, height / 4, height / 50)
    sides = ((height, width), (width / 2, height / 2), *radii, image.device)
    yield Row("ring", lambda: cuda.ring(*sides), lambda: _ring(*sides), size_of(share), 1e-5)

    def moments() -> Sequence[Tensor]:
        values = image.flatten(1).double()
        return values.mean(1), values.std(1, correction=0)

    yield Row("moments", lambda: cuda.moments(image), moments, size_of(image), 1e-5)
    yield Row(
        "recolor",
        lambda: cuda.recolor(image, gain, gain),
        lambda: _recolor(image, gain, gain),
        both,
        5 * fine,
    )


def _colour_rows(image: Tensor, fine: float) -> Iterator[Row]:
    for bits, name in ((8, "nv12"), (10, "p010")):
        shift = 0 if bits == 8 else 6
        y, uv = nv12_planes(image.shape[1], image.shape[2], bits, image.device)
        coding = (*BT709, *_code_range(bits, False))
        moved = size_of(image, y, uv)

        def written(write: Callable[..., None], *settings: object, planes: Sequence[Tensor] = (y, uv)) -> Job:
            def job() -> Sequence[Tensor]:
                write(*settings)
                return planes

            return job

        yield Row(
            f"rgb_to_{name}",
            written(cuda.rgb_to_nv12, image, y, uv, coding, shift),
            written(_rgb_to_nv12, image, *BT709, bits, False, shift, y, uv),
            moved,
            0.02 * (1 << shift),  # what lies between two codes may be rounded either way
        )
        back = (y, uv, coding, shift, image.dtype)
        twin = (y, uv, *BT709, bits, False, shift)
        yield Row(
            f"{name}_to_rgb",
            lambda back=back: cuda.nv12_to_rgb(*back),  # type: ignore[misc]
            lambda twin=twin: _nv12_to_rgb(*twin),  # type: ignore[misc]
            moved,
            fine,
        )


def _flow_rows(image: Tensor, other: Tensor, flow: Tensor) -> Iterator[Row]:
    height, width = image.shape[1:]
    back, learned = -flow, flow.clone().requires_grad_()  # what is learned from is not for kernels
    yield Row(
        "trust_mask",
        lambda: cuda.trust_mask(flow, back, OUTSIDE),
        lambda: trust_mask(learned, back).detach(),
        size_of(flow, back) * 5 // 4,
        0.001,
    )
    light, moved = TWINS.luma(image), TWINS.luma(other)
    half = TWINS.halve(light)
    small = flow[:, : half.shape[1], : half.shape[2]].contiguous()
    fine = 1e-3  # lumas are 0..255
    yield Row("luma", lambda: KERNELS.luma(image), lambda: TWINS.luma(image), size_of(image, light), fine)
    yield Row("halve", lambda: KERNELS.halve(light), lambda: TWINS.halve(light), size_of(light, half), fine)
    larger, twin = KERNELS.enlarge, TWINS.enlarge
    yield Row(
        "enlarge", lambda: larger(small, height, width), lambda: twin(small, height, width), size_of(small, flow), fine
    )
    once = (light, moved, flow, RADIUS, DAMPING, LIMIT)
    moving = size_of(light, moved, flow, flow)
    yield Row("lucas_kanade, one round", lambda: KERNELS.round(*once), lambda: TWINS.round(*once), moving, 0.005)
    yield Row(
        "lucas_kanade, whole",
        lambda: search(image, other, 1, KERNELS),
        lambda: search(image, other, 1, TWINS),
        0,
        0.5,  # of pictures without a motion, whose rounds go apart
    )
