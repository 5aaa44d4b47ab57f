"""The way back through a network, written out as a network of its own: for engines, which know only ways forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOW = torch.bfloat16  # of the way back; on the way there, masks of ReLUs would flip, and the slope lead elsewhere


class Unwritten(Exception):
    """The network holds an operation whose way back is not known here."""


class Backward(nn.Module):
    """What `slope` does with tensors of the shape of `example`, in operations that an engine knows.

    `slope` is a module that calls torch.autograd.grad and returns one tensor. Strided convolutions go back as plain
    ones over spread pixels, all convolutions in bfloat16. Raises Unwritten.
    """

    def __init__(self, slope: nn.Module, example: Tensor) -> None:
        super().__init__()
        from torch.fx.experimental.proxy_tensor import make_fx  # a second to import, and seldom needed

        written = make_fx(lambda x: slope(x))(example)  # a bound method would count as two arguments
        for node in written.graph.nodes:
            if node.target in _BACK:
                node.target = _BACK[node.target]
            elif node.target in _SAME:
                node.replace_all_uses_with(node.args[0])
            elif "backward" in str(node.target):
                raise Unwritten(str(node.target))
        written.graph.eliminate_dead_code()
        written.recompile()
        self.written = written

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.written(x).float()
        return found


def _conv(
    slope: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: object,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    beyond: object,
    groups: int,
    wanted: object,
) -> tuple[Tensor]:
    """The slope at the input `x` of a convolution: the slope at its output, convolved with the kernel turned round."""
    if transposed:
        raise Unwritten("a transposed convolution")
    slope, weight = slope.to(LOW), weight.to(LOW)
    size, kernel = x.shape[2:], weight.shape[2:]
    if groups == 1 and max(stride) > 1 and max(dilation) == 1 and stride[0] == stride[1]:
        return (_phases(slope, weight, stride[0], padding, size),)
    slope = _spread(slope, stride)
    if groups == 1:
        turned = weight.transpose(0, 1)
    else:
        parts = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
        turned = parts.flatten(0, 1)
    turned = turned.flip(2, 3)
    before = [step * (side - 1) - pad for step, side, pad in zip(dilation, kernel, padding)]
    behind = [
        side - (had + first - step * (kernel_side - 1))
        for side, had, first, step, kernel_side in zip(size, slope.shape[2:], before, dilation, kernel)
    ]
    if before == behind and min(before) >= 0:
        return (F.conv2d(slope, turned, None, 1, before, dilation, groups),)
    return (F.conv2d(_framed(slope, before, behind), turned, None, 1, 0, dilation, groups),)


def _phases(slope: Tensor, weight: Tensor, stride: int, padding: Sequence[int], size: Sequence[int]) -> Tensor:
    """The same for a stride, without groups: pixels of each phase have taps of their own, and go as channels."""
    spans = []
    for side, pad in zip(weight.shape[2:], padding):
        reach = [(phase + pad - tap) // stride for phase in range(stride) for tap in range(side)]
        spans.append((min(reach), max(reach)))
    (top, below), (left, right) = spans
    taps = weight.new_zeros(weight.shape[1], stride, stride, weight.shape[0], below - top + 1, right - left + 1)
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            down, across = (row - padding[0]) % stride, (column - padding[1]) % stride
            there = (down + padding[0] - row) // stride - top, (across + padding[1] - column) // stride - left
            taps[:, down, across, :, there[0], there[1]] = weight[:, :, row, column].T
    rows, columns = (-(-side // stride) for side in size)
    framed = _framed(
        slope, (-top, -left), (rows - slope.shape[2] + below, columns - slope.shape[3] + right)
    )  # [1, outputs, rows + ..., columns + ...]
    made = F.pixel_shuffle(F.conv2d(framed, taps.flatten(0, 2)), stride)
    return made[:, :, : size[0], : size[1]]


def _spread(slope: Tensor, stride: Sequence[int]) -> Tensor:
    """Each pixel of [1, C, h, w] at every `stride`-th place, zeros between them."""
    if max(stride) == 1:
        return slope
    large = _enlarged(slope, stride)
    return large * _first(large, stride, (1, 1)).to(slope.dtype)


def _enlarged(x: Tensor, stride: Sequence[int]) -> Tensor:
    return F.interpolate(x, [side * step for side, step in zip(x.shape[2:], stride)], mode="nearest")


def _first(like: Tensor, stride: Sequence[int], count: Sequence[int]) -> Tensor:
    """[1, 1, H, W] whether a place is, each way, among the first `count` of its `stride`."""
    rows, columns = (torch.arange(side) % step < most for side, step, most in zip(like.shape[2:], stride, count))
    return (rows[:, None] & columns)[None, None]


def _framed(x: Tensor, before: Sequence[int], behind: Sequence[int]) -> Tensor:
    """`x` with so many rows and columns of zeros more before and behind it, or less."""
    pads = before[1], behind[1], before[0], behind[0]
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
    places: object,
) -> Tensor:
    """Each output's slope to whatever in its window is as large; of equals (behind a ReLU: zeros), to all of them."""
    if max(dilation) > 1:
        raise Unwritten("a max pool with gaps")
    stride = stride or kernel
    most = F.max_pool2d(x, kernel, stride, padding, 1, ceil)
    around = [-(-side // step) for side, step in zip(kernel, stride)]  # windows that a pixel may lie in, each way
    whole = [step * (side + more - 1) for step, side, more in zip(stride, most.shape[2:], around)]
    behind = [side - had - pad for side, had, pad in zip(whole, x.shape[2:], padding)]
    framed = _framed(x, padding, behind)
    total: Tensor | None = None
    for shift in ((down, across) for down in range(around[0]) for across in range(around[1])):
        before = [step * by for step, by in zip(stride, shift)]
        rest = [step * (more - 1 - by) for step, more, by in zip(stride, around, shift)]
        inside = _first(framed, stride, [side - first for side, first in zip(kernel, before)])
        seen, given = (_framed(_enlarged(each, stride), before, rest) for each in (most, slope))
        share = given * ((framed == seen) & inside).to(slope.dtype)
        total = share if total is None else total + share
    assert total is not None
    return _framed(total, [-pad for pad in padding], [-more for more in behind])


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
    """Of a mean over neighbours, in two or three dimensions: the mean of their slopes."""
    if max(stride or kernel) > 1 or divisor or (max(padding) > 0 and not counts_padding):
        raise Unwritten("a mean pool with steps")
    pads = [side - 1 - pad for side, pad in zip(kernel, padding) for _ in range(2)]
    pool = F.avg_pool2d if len(kernel) == 2 else F.avg_pool3d
    return pool(F.pad(slope, pads[::-1]), kernel, 1)


_BACK: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.convolution_backward.default: _conv,
    torch.ops.aten.hardtanh_backward.default: _clamp,
    torch.ops.aten.threshold_backward.default: _threshold,
    torch.ops.aten.max_pool2d_with_indices_backward.default: _max_pool,
    torch.ops.aten.avg_pool2d_backward.default: _mean_pool,
    torch.ops.aten.avg_pool3d_backward.default: _mean_pool,
}
_SAME = {torch.ops.aten.detach.default, torch.ops.aten.clone.default, torch.ops.aten.alias.default}
