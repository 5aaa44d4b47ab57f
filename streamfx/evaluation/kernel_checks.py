"""CUDA kernels and their reference implementations in torch on random images, for comparison and timing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.motion import inverse_search, patch_search, variational
from streamfx.motion.lucas_kanade import DAMPING, KERNELS, LIMIT, RADIUS, REFERENCE, search
from streamfx.motion.occlusion import OUTSIDE, consistency_mask
from streamfx.ops import cuda, cuda_dis, launch
from streamfx.ops.color import _code_range, _nv12_to_rgb, _rgb_to_nv12, nv12_planes
from streamfx.ops.mix import _ring
from streamfx.ops.warp import _warp

BT709 = (0.2126, 0.0722)
_STEEP_BELOW = 1800  # pixels of height; on smaller images the random flow changes so fast that no pixel is consistent

Job = Callable[[], Tensor | Sequence[Tensor]]


class Comparison(NamedTuple):
    """A kernel and its reference implementation, which must return the same."""

    name: str
    kernel: Job
    reference: Job
    bytes: int  # minimum to read and write; 0 if not meaningful
    tolerance: float  # of the mean difference


def size_of(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def mean_difference(row: Comparison) -> float:
    """Mean absolute difference of the kernel's result from the reference; the maximum over the output tensors."""
    results, expected = ([_as_double(x) for x in _as_list(job())] for job in (row.kernel, row.reference))
    return max(float((one - other).abs().mean()) for one, other in zip(results, expected, strict=True))


def _as_double(tensor: Tensor) -> Tensor:
    return (tensor.to(torch.int32) if tensor.dtype == torch.uint16 else tensor.clone()).double()


def _as_list(result: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [result] if isinstance(result, Tensor) else result


def comparisons(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Iterator[Comparison]:
    """All kernels on images [3, height, width] of `dtype`, float32 or float16."""
    generator = torch.Generator().manual_seed(1)
    image, other = torch.rand(2, 3, height, width, generator=generator).to(device, dtype)
    coarse = 8 * torch.randn(1, 2, 9, 16, generator=generator).to(device)
    flow = F.interpolate(coarse, (height, width), mode="bicubic")[0].contiguous()
    share = torch.rand(1, height, width, generator=generator).to(device)
    fine = 1e-5 if dtype == torch.float32 else 2e-3
    image32 = image.float()  # half precision is too coarse for coordinates
    for filter in launch.FILTERS:
        mode = (filter, "replicate")
        yield Comparison(
            f"warp, {filter}",
            lambda mode=mode: cuda.warp(image, flow, *mode),  # type: ignore[misc]
            lambda mode=mode: _warp(image32, flow, *mode),  # type: ignore[misc]
            size_of(image, flow, image),
            20 * fine,
        )
    yield from _color_rows(image, fine)
    yield from _flow_rows(image, other, flow)
    yield from _inverse_search_rows(image)
    yield from _mix_rows(image, other, share, fine)


def _mix_rows(image: Tensor, other: Tensor, share: Tensor, fine: float) -> Iterator[Comparison]:
    weight = share.to(image.dtype)
    yield Comparison(
        "blend",
        lambda: cuda.blend(image, other, share),
        lambda: image.lerp(other, weight),
        size_of(image, other, image),
        5 * fine,
    )
    height, width = image.shape[1:]
    radii = (height / 10, height / 4, height / 50)
    arguments = ((height, width), (width / 2, height / 2), *radii, image.device)
    yield Comparison("ring", lambda: cuda.ring(*arguments), lambda: _ring(*arguments), size_of(share), 1e-5)


def _color_rows(image: Tensor, fine: float) -> Iterator[Comparison]:
    for bits, name in ((8, "nv12"), (10, "p010")):
        shift = 0 if bits == 8 else 6
        y, uv = nv12_planes(image.shape[1], image.shape[2], bits, image.device)
        coding = (*BT709, *_code_range(bits, False))
        moved = size_of(image, y, uv)

        def job_of(write: Callable[..., None], *settings: object, planes: Sequence[Tensor] = (y, uv)) -> Job:
            def job() -> Sequence[Tensor]:
                write(*settings)
                return planes

            return job

        yield Comparison(
            f"rgb_to_{name}",
            job_of(cuda.rgb_to_nv12, image, y, uv, coding, shift),
            job_of(_rgb_to_nv12, image, BT709, (bits, False), shift, y, uv),
            moved,
            0.02 * (1 << shift),  # values halfway between two codes may round either way
        )
        kernel_arguments = (y, uv, coding, shift, image.dtype)
        reference_arguments = (y, uv, *BT709, bits, False, shift)
        yield Comparison(
            f"{name}_to_rgb",
            lambda a=kernel_arguments: cuda.nv12_to_rgb(*a),  # type: ignore[misc]
            lambda a=reference_arguments: _nv12_to_rgb(*a),  # type: ignore[misc]
            moved,
            fine,
        )


def _flow_rows(image: Tensor, other: Tensor, flow: Tensor) -> Iterator[Comparison]:
    height, width = image.shape[1:]
    gentle = flow * min(1.0, height / _STEEP_BELOW)
    back, trainable = -gentle, gentle.clone().requires_grad_()  # selects the reference implementation
    yield Comparison(
        "consistency_mask",
        lambda: cuda.consistency_mask(gentle, back, OUTSIDE),
        lambda: consistency_mask(trainable, back).detach(),
        size_of(flow, back) * 5 // 4,
        0.001,
    )
    luma, other_luma = REFERENCE.luma(image), REFERENCE.luma(other)
    half = REFERENCE.halve(luma)
    small = flow[:, : half.shape[1], : half.shape[2]].contiguous()
    fine = 1e-3  # lumas are 0..255
    yield Comparison("luma", lambda: KERNELS.luma(image), lambda: REFERENCE.luma(image), size_of(image, luma), fine)
    yield Comparison("halve", lambda: KERNELS.halve(luma), lambda: REFERENCE.halve(luma), size_of(luma, half), fine)
    yield Comparison(
        "enlarge",
        lambda: KERNELS.enlarge(small, height, width),
        lambda: REFERENCE.enlarge(small, height, width),
        size_of(small, flow),
        fine,
    )
    once = (luma, other_luma, flow, RADIUS, DAMPING, LIMIT)
    moved = size_of(luma, other_luma, flow, flow)
    yield Comparison(
        "lucas_kanade step", lambda: KERNELS.iterate(*once), lambda: REFERENCE.iterate(*once), moved, 0.005
    )
    yield Comparison(
        "lucas_kanade, whole",
        lambda: search(image, other, 1, KERNELS),
        lambda: search(image, other, 1, REFERENCE),
        0,
        0.5,  # random images have no common motion, so iterations diverge
    )


def _inverse_search_rows(image: Tensor) -> Iterator[Comparison]:
    """Dense inverse search of a smooth image that moves; random pixels would have no motion to find."""
    height, width = image.shape[1:]
    fine, coarse = (
        F.interpolate(image[None, :, ::step, ::step].float(), (height + 8, width + 8), mode="bicubic")
        for step in (6, 24)
    )
    large = (fine / 3 + coarse / 3)[0].clamp(0, 1).to(image.dtype)
    previous, current = large[:, :height, :width].contiguous(), large[:, 3 : 3 + height, 5 : 5 + width].contiguous()
    size = min(height, 180), min(width, 320)
    kernels, reference = inverse_search.KERNELS, inverse_search.REFERENCE
    lumas = reference.lumas(current, previous, size)
    levels, brightness = reference.pyramid(lumas, 2)
    patches = patch_search.search(levels[1], None)
    with_cost = torch.cat([patches, torch.zeros_like(patches[:, :1])], 1)
    motion = patch_search.densify(levels[1], patches)
    moved, plane = size_of(lumas), size_of(motion)
    yield Comparison(
        "small_lumas",
        lambda: kernels.lumas(current, previous, size),
        lambda: reference.lumas(current, previous, size),
        size_of(current, previous, lumas),
        1e-3 if image.dtype == torch.float32 else 0.1,
    )
    yield Comparison(
        "pyramid", lambda: kernels.pyramid(lumas, 2)[0], lambda: reference.pyramid(lumas, 2)[0], 5 * moved // 2, 1e-3
    )
    yield Comparison(
        "search",
        lambda: cuda_dis.search(levels[1], None, patch_search.ROUNDS)[:, :2],
        lambda: patch_search.search(levels[1], None),
        0,
        0.05,  # pixels; two candidates that match about as well may change places
    )
    yield Comparison(
        "densify",
        lambda: cuda_dis.densify(levels[1], with_cost),
        lambda: patch_search.densify(levels[1], patches),
        plane,
        1e-4,
    )
    yield Comparison(
        "refine",
        lambda: cuda_dis.refine(levels[1], motion, variational.ITERATIONS),
        lambda: variational.refine(levels[1], motion),
        0,
        0.01,
    )
    yield Comparison("median", lambda: kernels.median(motion), lambda: reference.median(motion), 2 * plane, 1e-6)
    settings = (levels[1], motion, brightness.view(1), OUTSIDE, (2.0, 2.0))
    yield Comparison("assess", lambda: kernels.assess(*settings), lambda: reference.assess(*settings), 0, 0.01)
    yield Comparison(
        "inverse search, whole",
        lambda: inverse_search.inverse_search(previous, current, kernels),
        lambda: inverse_search.inverse_search(previous, current, reference),
        0,
        0.1,  # pixels
    )
