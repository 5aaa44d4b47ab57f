"""InceptionV1 from 2015, the original DeepDream network: runs the layers of TensorFlow's frozen graph in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from streamfx.deepdream.graphdef import Node, read_graph
from streamfx.errors import StreamfxError, unknown

_TRIAL_SIZE = 224  # pixels, side of the training images
_MAX_VALUES = 1 << 26  # of an activation at that size; the largest in the real graph has 802,816
_MAX_WINDOW = 64  # pixels of a window or a stride; channels on each side in a norm
_MEAN = 117.0  # of 0..255, subtracted from the input
_BRANCHES = ("1x1", "3x3_bottleneck", "3x3", "5x5_bottleneck", "5x5", "pool_reduce")
_MIXED = {"3a": 256, "3b": 480, "4a": 508, "4b": 512, "4c": 512, "4d": 528, "4e": 832, "5a": 832, "5b": 1024}


def _names() -> dict[str, int | None]:
    """Layers of the graph in inception5h.zip, in order -> channels, or None if known only from the file."""
    names: dict[str, int | None] = {}
    for name, channels in (("conv2d0", 64), ("conv2d1", 64), ("conv2d2", 192)):
        names[f"{name}_pre_relu"] = names[name] = channels
        if name != "conv2d1":
            names |= {"maxpool0": 64, "localresponsenorm0": 64} if name == "conv2d0" else {}
            names |= {"localresponsenorm1": 192, "maxpool1": 192} if name == "conv2d2" else {}
    for block, channels in _MIXED.items():
        for branch in _BRANCHES:
            if branch == "pool_reduce":
                names[f"mixed{block}_pool"] = None
            names[f"mixed{block}_{branch}_pre_relu"] = names[f"mixed{block}_{branch}"] = None
        names[f"mixed{block}"] = channels
        if block in ("3b", "4e"):
            names["maxpool4" if block == "3b" else "maxpool10"] = channels
        if block in ("4a", "4d"):
            head = "head0" if block == "4a" else "head1"
            names |= {f"{head}_pool": channels, f"{head}_bottleneck_pre_relu": 128, f"{head}_bottleneck": 128}
    return names


LAYERS = _names()


class InceptionV1(nn.Module):
    """Images [N, 3, H, W] RGB 0..1 -> {layer: activations [N, C, h, w]}; runs only the operations that these need.

    GoogLeNet (Szegedy et al. 2014) as trained by TensorFlow's authors: layers are the graph's nodes, inputs are 0..255
    minus 117, padding is TensorFlow's SAME (the odd pixel at the end), and local response normalization multiplies
    alpha by the sum of squares, not by their mean. Parameters are frozen.
    """

    def __init__(self, nodes: Sequence[Node], layers: Sequence[str]) -> None:
        super().__init__()
        known = spatial_layers(nodes)
        for layer in layers:
            if layer not in known:
                raise unknown("layer of inceptionv1", layer, known)
        self.layers = tuple(layers)
        self.nodes = _dependencies(layers, {node.name: node for node in nodes})
        for node in self.nodes:
            if node.op == "Const":
                weights = torch.from_numpy(np.array(_tensor(node)))
                if weights.ndim == 4:
                    weights = weights.permute(3, 2, 0, 1).contiguous()  # [H, W, in, out] -> [out, in, H, W]
                self.register_buffer(_attribute(node.name), weights, persistent=True)
        self.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        for node in self.nodes:
            if node.op == "Placeholder":
                outputs[node.name] = images * 255 - _MEAN
            elif node.op == "Const":
                outputs[node.name] = self.get_buffer(_attribute(node.name))
            else:
                outputs[node.name] = _OPERATIONS[node.op](node, [outputs[name] for name in node.inputs])
        return {layer: outputs[layer] for layer in self.layers}


def load_inception(path: Path, layers: Sequence[str]) -> InceptionV1:
    """The network in the graph file `path`, up to `layers`. Raises StreamfxError, also if the graph cannot run."""
    nodes = read_graph(path)
    try:
        network = InceptionV1(nodes, layers)
        _try(network)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StreamfxError(f"cannot run graph {path} ({reason[:120]}); download it again") from error
    return network


def _try(network: InceptionV1) -> None:
    """Run on meta tensors, which need no memory, to check that shapes match and sizes stay within bounds."""
    trial = copy(network)
    trial.layers = tuple(node.name for node in network.nodes if node.op != "Const")
    shapes = {name: buffer.to("meta") for name, buffer in network.named_buffers()}
    outputs = functional_call(trial, shapes, (torch.zeros(1, 3, _TRIAL_SIZE, _TRIAL_SIZE, device="meta"),))
    for name, x in outputs.items():
        if x.numel() > _MAX_VALUES:
            raise ValueError(f"'{name}' has {x.shape[1]} channels")


def spatial_layers(nodes: Sequence[Node]) -> dict[str, int | None]:
    """The nodes whose activations scale with the image, in the graph's order -> channels."""
    by_name = {node.name: node for node in nodes}
    channels: dict[str, int | None] = {}
    for node in nodes:
        if node.op == "Placeholder":
            channels[node.name] = 3
        elif node.op in _OPERATIONS and all(
            name in channels or (name in by_name and by_name[name].op == "Const") for name in node.inputs
        ):
            constants = [_tensor(by_name[name]) for name in node.inputs if name not in channels]
            inputs = [channels[name] for name in node.inputs if name in channels]
            if not inputs:
                continue
            if node.op == "Conv2D" and constants and constants[0].ndim:
                channels[node.name] = int(constants[0].shape[-1])
            elif node.op.startswith("Concat"):
                channels[node.name] = sum(count or 0 for count in inputs)
            else:
                channels[node.name] = inputs[0]
    return {name: count for name, count in channels.items() if by_name[name].op != "Placeholder"}


def _dependencies(layers: Sequence[str], nodes: Mapping[str, Node]) -> list[Node]:
    """These layers and all nodes they depend on, in topological order."""
    ordered: dict[str, Node] = {}
    visited: set[str] = set()
    stack = [(layer, False) for layer in reversed(layers)]
    while stack:
        name, ready = stack.pop()
        if name in ordered:
            continue
        if name not in nodes:
            raise StreamfxError(f"the graph's node '{name}' is missing; download the graph again")
        if ready:
            ordered[name] = nodes[name]
        elif name in visited:
            raise StreamfxError(f"the graph's node '{name}' depends on itself; download the graph again")
        else:
            visited.add(name)
            stack.append((name, True))
            stack.extend((source, False) for source in nodes[name].inputs if source not in ordered)
    return list(ordered.values())


def _attribute(name: str) -> str:
    return "w_" + name.replace("/", "__").replace(".", "_")


def _tensor(node: Node) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    value = node.attributes.get("value")
    if not isinstance(value, np.ndarray):
        raise StreamfxError(f"the graph's constant '{node.name}' has no value; download the graph again")
    return value


def _pair(node: Node, name: str) -> tuple[int, int]:
    """Height and width of an attribute in NHWC order."""
    value = node.attributes.get(name)
    if not isinstance(value, list) or len(value) != 4:
        raise StreamfxError(f"the graph's '{node.name}' has no {name}; download the graph again")
    if not 1 <= min(value[1:3]) <= max(value[1:3]) <= _MAX_WINDOW:
        raise StreamfxError(
            f"the graph's '{node.name}' has {name} {value[1]}x{value[2]}, not 1 to {_MAX_WINDOW}; download it again"
        )
    return value[1], value[2]


def _number(node: Node, name: str, default: float) -> float:
    value = node.attributes.get(name, default)
    assert isinstance(value, int | float)
    return float(value)


def _padded(node: Node, x: Tensor, size: tuple[int, int], stride: tuple[int, int], fill: float) -> Tensor:
    """SAME padding: yields ceil(side / stride) outputs; the odd pixel goes below and to the right."""
    if node.attributes.get("padding") != b"SAME":
        return x
    sides = []
    for side, window, step in zip(x.shape[2:], size, stride):
        total = max(0, (-(-side // step) - 1) * step + window - side)
        sides.append((total // 2, total - total // 2))
    (top, below), (left, right) = sides
    return F.pad(x, (left, right, top, below), value=fill) if any((left, right, top, below)) else x


def _conv(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    x, weights = inputs
    stride = _pair(node, "strides")
    size = weights.shape[2], weights.shape[3]
    return F.conv2d(_padded(node, x, size, stride, 0.0), weights, stride=stride)


def _max_pool(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    size, stride = _pair(node, "ksize"), _pair(node, "strides")
    return F.max_pool2d(_padded(node, inputs[0], size, stride, float("-inf")), size, stride)


def _avg_pool(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """The mean of the pixels inside the image; padding does not count."""
    size, stride = _pair(node, "ksize"), _pair(node, "strides")
    inside = torch.ones_like(inputs[0][:1, :1])
    sums, counts = (F.avg_pool2d(_padded(node, x, size, stride, 0.0), size, stride) for x in (inputs[0], inside))
    return sums / counts


def _lrn(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """x / (bias + alpha * sum of squares of the channels within the radius) ** beta; torch uses their mean."""
    radius = int(_number(node, "depth_radius", 5))
    if not 0 <= radius <= _MAX_WINDOW:
        raise StreamfxError(
            f"the graph's '{node.name}' has radius {radius}, not 0 to {_MAX_WINDOW}; download the graph again"
        )
    window = 2 * radius + 1
    alpha, beta = _number(node, "alpha", 1.0), _number(node, "beta", 0.5)
    return F.local_response_norm(inputs[0], window, alpha * window, beta, _number(node, "bias", 1.0))


_OPERATIONS: dict[str, Callable[[Node, Sequence[Tensor]], Tensor]] = {
    "Conv2D": _conv,
    "BiasAdd": lambda node, inputs: inputs[0] + inputs[1].view(-1, 1, 1),
    "Relu": lambda node, inputs: inputs[0].relu(),
    "MaxPool": _max_pool,
    "AvgPool": _avg_pool,
    "LRN": _lrn,
    "Concat": lambda node, inputs: torch.cat(list(inputs[1:]), 1),  # the first input is the dimension: 3 in NHWC
    "ConcatV2": lambda node, inputs: torch.cat(list(inputs[:-1]), 1),
    "Identity": lambda node, inputs: inputs[0],
}
