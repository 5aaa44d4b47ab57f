"""Exports a gradient computation as a forward-only network, for inference engines without autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOW = torch.bfloat16  # backward pass only; in the forward pass it would flip ReLU masks and change the gradient


class UnsupportedGradient(Exception):
    """The network contains an operation whose backward pass is not implemented here."""


class ExportedGradient(nn.Module):
    """The computation of `slope` for inputs shaped like `example`, in forward operations that an engine supports.

    `slope` is a module that calls torch.autograd.grad and returns one tensor. Backward convolutions run in bfloat16;
    strided ones become plain convolutions. Raises UnsupportedGradient.
    """

    def __init__(self, slope: nn.Module, example: Tensor) -> None:
        super().__init__()
        from torch.fx.experimental.proxy_tensor import make_fx  # takes a second to import and is rarely needed

        traced = make_fx(lambda x: slope(x))(example)  # a bound method would count as two arguments
        for node in traced.graph.nodes:
            if node.target in _REPLACEMENTS:
                node.target = _REPLACEMENTS[node.target]
            elif node.target in _IDENTITY:
                node.replace_all_uses_with(node.args[0])
            elif "backward" in str(node.target):
                raise UnsupportedGradient(str(node.target))
        traced.graph.eliminate_dead_code()
        traced.recompile()
        self.traced = traced

    def forward(self, x: Tensor) -> Tensor:
        gradient: Tensor = self.traced(x).float()
        return gradient


def _conv(
    slope: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: object,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: object,
    groups: int,
    output_mask: object,
) -> tuple[Tensor]:
    """Gradient at the input `x` of a convolution: the output gradient convolved with the flipped kernel."""
    if transposed:
        raise UnsupportedGradient("transposed convolution")
    slope, weight = slope.to(LOW), weight.to(LOW)
    size, kernel = x.shape[2:], weight.shape[2:]
    if groups == 1 and max(stride) > 1 and max(dilation) == 1 and stride[0] == stride[1]:
        return (_conv_by_phase(slope, weight, stride[0], padding, size),)
    slope = _dilated(slope, stride)
    if groups == 1:
        flipped = weight.transpose(0, 1)
    else:
        parts = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
        flipped = parts.flatten(0, 1)
    flipped = flipped.flip(2, 3)
    before = [step * (side - 1) - pad for step, side, pad in zip(dilation, kernel, padding)]
    after = [
        side - (slope_side + first - step * (kernel_side - 1))
        for side, slope_side, first, step, kernel_side in zip(size, slope.shape[2:], before, dilation, kernel)
    ]
    if before == after and min(before) >= 0:
        return (F.conv2d(slope, flipped, None, 1, before, dilation, groups),)
    return (F.conv2d(_padded(slope, before, after), flipped, None, 1, 0, dilation, groups),)


def _conv_by_phase(slope: Tensor, weight: Tensor, stride: int, padding: Sequence[int], size: Sequence[int]) -> Tensor:
    """`_conv` for a stride, without groups: each phase of the stride has its own taps and becomes a channel."""
    spans = []
    for side, pad in zip(weight.shape[2:], padding):
        reach = [(phase + pad - tap) // stride for phase in range(stride) for tap in range(side)]
        spans.append((min(reach), max(reach)))
    (top, below), (left, right) = spans
    taps = weight.new_zeros(weight.shape[1], stride, stride, weight.shape[0], below - top + 1, right - left + 1)
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            down, across = (row - padding[0]) % stride, (column - padding[1]) % stride
            tap = (down + padding[0] - row) // stride - top, (across + padding[1] - column) // stride - left
            taps[:, down, across, :, tap[0], tap[1]] = weight[:, :, row, column].T
    rows, columns = (-(-side // stride) for side in size)
    padded = _padded(
        slope, (-top, -left), (rows - slope.shape[2] + below, columns - slope.shape[3] + right)
    )  # [1, outputs, rows + ..., columns + ...]
    gradient = F.pixel_shuffle(F.conv2d(padded, taps.flatten(0, 2)), stride)
    return gradient[:, :, : size[0], : size[1]]


def _dilated(slope: Tensor, stride: Sequence[int]) -> Tensor:
    """[1, C, h, w] with `stride` - 1 zeros after each pixel."""
    if max(stride) == 1:
        return slope
    large = _enlarged(slope, stride)
    return large * _first(large, stride, (1, 1)).to(slope.dtype)


def _enlarged(x: Tensor, stride: Sequence[int]) -> Tensor:
    return F.interpolate(x, [side * step for side, step in zip(x.shape[2:], stride)], mode="nearest")


def _first(like: Tensor, stride: Sequence[int], count: Sequence[int]) -> Tensor:
    """[1, 1, H, W] bool: whether a pixel is among the first `count` of its `stride` in both directions."""
    rows, columns = (torch.arange(side) % step < limit for side, step, limit in zip(like.shape[2:], stride, count))
    return (rows[:, None] & columns)[None, None]


def _padded(x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """`x` with (rows, columns) of zeros added before and after it, or cropped where negative."""
    pads = before[1], after[1], before[0], after[0]
    if min(pads) < 0:
        rows, columns = x.shape[2:]
        x = x[:, :, -min(0, pads[2]) : rows + min(0, pads[3]), -min(0, pads[0]) : columns + min(0, pads[1])]
    return F.pad(x, [max(0, pad) for pad in pads]) if max(pads) > 0 else x


def _clamp(slope: Tensor, x: Tensor, low: float, high: float) -> Tensor:
    return slope * ((x > low) & (x < high)).to(slope.dtype)


def _threshold(slope: Tensor, x: Tensor, low: float) -> Tensor:
    return slope * (x > low).to(slope.dtype)


def _max_pool(
    slope: Tensor,
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil: bool,
    *_indices: object,
) -> Tensor:
    """Routes the gradient of each output to the maximum in its window; ties (zeros after a ReLU) all receive it."""
    if max(dilation) > 1:
        raise UnsupportedGradient("max pool with dilation")
    stride = stride or kernel
    maximum = F.max_pool2d(x, kernel, stride, padding, 1, ceil)
    windows = [-(-side // step) for side, step in zip(kernel, stride)]  # that contain a pixel, in each direction
    full = [step * (side + count - 1) for step, side, count in zip(stride, maximum.shape[2:], windows)]
    after = [side - x_side - pad for side, x_side, pad in zip(full, x.shape[2:], padding)]
    padded = _padded(x, padding, after)
    total: Tensor | None = None
    for shift in ((down, across) for down in range(windows[0]) for across in range(windows[1])):
        before = [step * by for step, by in zip(stride, shift)]
        rest = [step * (count - 1 - by) for step, count, by in zip(stride, windows, shift)]
        inside = _first(padded, stride, [side - first for side, first in zip(kernel, before)])
        shifted_maximum, shifted_slope = (_padded(_enlarged(y, stride), before, rest) for y in (maximum, slope))
        part = shifted_slope * ((padded == shifted_maximum) & inside).to(slope.dtype)
        total = part if total is None else total + part
    assert total is not None
    return _padded(total, [-pad for pad in padding], [-pad for pad in after])


def _mean_pool(
    slope: Tensor,
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    ceil: bool,
    counts_padding: bool,
    divisor: int | None,
) -> Tensor:
    """Average pooling of stride 1 in two or three dimensions: average the gradients."""
    if max(stride or kernel) > 1 or divisor or (max(padding) > 0 and not counts_padding):
        raise UnsupportedGradient("average pool with a stride or a divisor")
    pads = [side - 1 - pad for side, pad in zip(kernel, padding) for _ in range(2)]
    pool = F.avg_pool2d if len(kernel) == 2 else F.avg_pool3d
    return pool(F.pad(slope, pads[::-1]), kernel, 1)


_REPLACEMENTS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.convolution_backward.default: _conv,
    torch.ops.aten.hardtanh_backward.default: _clamp,
    torch.ops.aten.threshold_backward.default: _threshold,
    torch.ops.aten.max_pool2d_with_indices_backward.default: _max_pool,
    torch.ops.aten.avg_pool2d_backward.default: _mean_pool,
    torch.ops.aten.avg_pool3d_backward.default: _mean_pool,
}
_IDENTITY = {torch.ops.aten.detach.default, torch.ops.aten.clone.default, torch.ops.aten.alias.default}
