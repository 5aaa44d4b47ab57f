"""InceptionV1 as it dreamed in 2015: the layers of TensorFlow's frozen graph, run in torch."""

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

_TRIED = 224  # pixels, the side of the picture that it was trained on
_MOST = 1 << 26  # values of an activation at that size; the largest of the true graph has 802,816
_WIDEST = 64  # pixels of a window or a stride, channels on each side that a norm looks at
_MEAN = 117.0  # of 0..255, which the network was trained to see taken away
_BRANCHES = ("1x1", "3x3_bottleneck", "3x3", "5x5_bottleneck", "5x5", "pool_reduce")
_MIXED = {"3a": 256, "3b": 480, "4a": 508, "4b": 512, "4c": 512, "4d": 528, "4e": 832, "5a": 832, "5b": 1024}


def _names() -> dict[str, int | None]:
    """Layers of the graph in inception5h.zip in their order, and the channels of those that are known without it."""
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
    """Images [N, 3, H, W] RGB 0..1 -> {layer: activations [N, C, h, w]}, by the operations that lead to these layers.

    GoogLeNet (Szegedy et al. 2014) as trained by TensorFlow's authors: layers are the graph's nodes, pictures are
    0..255 less 117, padding is TensorFlow's SAME (the odd pixel at the end), and local response normalisation
    multiplies its alpha by the sum of the squares, not by their mean. Parameters are frozen.
    """

    def __init__(self, nodes: Sequence[Node], layers: Sequence[str]) -> None:
        super().__init__()
        known = spatial_layers(nodes)
        for layer in layers:
            if layer not in known:
                raise unknown("layer of inceptionv1", layer, known)
        self.layers = tuple(layers)
        self.nodes = _leading_to(layers, {node.name: node for node in nodes})
        for node in self.nodes:
            if node.op == "Const":
                weights = torch.from_numpy(np.array(_tensor(node)))
                if weights.ndim == 4:
                    weights = weights.permute(3, 2, 0, 1).contiguous()  # [H, W, in, out] -> [out, in, H, W]
                self.register_buffer(_attribute(node.name), weights, persistent=True)
        self.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for node in self.nodes:
            if node.op in ("Placeholder", "Const"):
                picture = node.op == "Placeholder"
                found[node.name] = images * 255 - _MEAN if picture else self.get_buffer(_attribute(node.name))
            else:
                found[node.name] = _OPERATIONS[node.op](node, [found[name] for name in node.inputs])
        return {layer: found[layer] for layer in self.layers}


def load_inception(path: Path, layers: Sequence[str]) -> InceptionV1:
    """The network in the graph file `path`, as far as `layers`. Raises StreamfxError, also where it cannot be run."""
    nodes = read_graph(path)
    try:
        network = InceptionV1(nodes, layers)
        _try(network)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StreamfxError(f"the graph {path} cannot be run ({reason[:120]}); fetch it again") from error
    return network


def _try(network: InceptionV1) -> None:
    """Run it on the shape of a picture alone, which needs no memory, to see that all fits and stays within bounds."""
    trial = copy(network)
    trial.layers = tuple(node.name for node in network.nodes if node.op != "Const")
    shapes = {name: buffer.to("meta") for name, buffer in network.named_buffers()}
    found = functional_call(trial, shapes, (torch.zeros(1, 3, _TRIED, _TRIED, device="meta"),))
    for name, x in found.items():
        if x.numel() > _MOST:
            raise ValueError(f"'{name}' makes {x.shape[1]} channels")


def spatial_layers(nodes: Sequence[Node]) -> dict[str, int | None]:
    """The nodes that give activations of any picture's size, in the graph's order, and the channels of each."""
    by_name = {node.name: node for node in nodes}
    channels: dict[str, int | None] = {}
    for node in nodes:
        if node.op == "Placeholder":
            channels[node.name] = 3
        elif node.op in _OPERATIONS and all(
            name in channels or (name in by_name and by_name[name].op == "Const") for name in node.inputs
        ):
            constants = [_tensor(by_name[name]) for name in node.inputs if name not in channels]
            given = [channels[name] for name in node.inputs if name in channels]
            if not given:
                continue
            if node.op == "Conv2D" and constants and constants[0].ndim:
                channels[node.name] = int(constants[0].shape[-1])
            elif node.op.startswith("Concat"):
                channels[node.name] = sum(each or 0 for each in given)
            else:
                channels[node.name] = given[0]
    return {name: count for name, count in channels.items() if by_name[name].op != "Placeholder"}


def _leading_to(layers: Sequence[str], nodes: Mapping[str, Node]) -> list[Node]:
    """The nodes that these layers are computed from, and themselves, each behind all of its inputs."""
    ordered: dict[str, Node] = {}
    begun: set[str] = set()
    waiting = [(layer, False) for layer in reversed(layers)]
    while waiting:
        name, ready = waiting.pop()
        if name in ordered:
            continue
        if name not in nodes:
            raise StreamfxError(f"the graph has no node '{name}', which another one needs; fetch it again")
        if ready:
            ordered[name] = nodes[name]
        elif name in begun:
            raise StreamfxError(f"the graph's node '{name}' is its own input; fetch it again")
        else:
            begun.add(name)
            waiting.append((name, True))
            waiting.extend((each, False) for each in nodes[name].inputs if each not in ordered)
    return list(ordered.values())


def _attribute(name: str) -> str:
    return "w_" + name.replace("/", "__").replace(".", "_")


def _tensor(node: Node) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    value = node.attributes.get("value")
    if not isinstance(value, np.ndarray):
        raise StreamfxError(f"the graph's constant '{node.name}' has no value; fetch it again")
    return value


def _pair(node: Node, name: str) -> tuple[int, int]:
    """The two middle ones of four numbers, as NHWC has height and width there."""
    value = node.attributes.get(name)
    if not isinstance(value, list) or len(value) != 4:
        raise StreamfxError(f"the graph's '{node.name}' has no {name}; fetch it again")
    if not 1 <= min(value[1:3]) <= max(value[1:3]) <= _WIDEST:
        raise StreamfxError(f"the graph's '{node.name}' has {name} of {value[1]}x{value[2]}; fetch it again")
    return value[1], value[2]


def _number(node: Node, name: str, default: float) -> float:
    value = node.attributes.get(name, default)
    assert isinstance(value, int | float)
    return float(value)


def _padded(node: Node, x: Tensor, size: tuple[int, int], stride: tuple[int, int], fill: float) -> Tensor:
    """SAME padding: as much as makes ceil(side / stride) places, the odd pixel below and to the right."""
    if node.attributes.get("padding") != b"SAME":
        return x
    sides = []
    for side, window, step in zip(x.shape[2:], size, stride):
        missing = max(0, (-(-side // step) - 1) * step + window - side)
        sides.append((missing // 2, missing - missing // 2))
    (top, below), (left, right) = sides
    return F.pad(x, (left, right, top, below), value=fill) if any((left, right, top, below)) else x


def _conv(node: Node, given: Sequence[Tensor]) -> Tensor:
    x, weights = given
    stride = _pair(node, "strides")
    size = weights.shape[2], weights.shape[3]
    return F.conv2d(_padded(node, x, size, stride, 0.0), weights, stride=stride)


def _max_pool(node: Node, given: Sequence[Tensor]) -> Tensor:
    size, stride = _pair(node, "ksize"), _pair(node, "strides")
    return F.max_pool2d(_padded(node, given[0], size, stride, float("-inf")), size, stride)


def _avg_pool(node: Node, given: Sequence[Tensor]) -> Tensor:
    """The mean of the pixels that are there; padding does not count."""
    size, stride = _pair(node, "ksize"), _pair(node, "strides")
    there = torch.ones_like(given[0][:1, :1])
    sums, counts = (F.avg_pool2d(_padded(node, x, size, stride, 0.0), size, stride) for x in (given[0], there))
    return sums / counts


def _lrn(node: Node, given: Sequence[Tensor]) -> Tensor:
    """x / (bias + alpha * sum of squares of the channels within the radius) ** beta; torch takes their mean."""
    radius = int(_number(node, "depth_radius", 5))
    if not 0 <= radius <= _WIDEST:
        raise StreamfxError(f"the graph's '{node.name}' has a radius of {radius}; fetch it again")
    window = 2 * radius + 1
    alpha, beta = _number(node, "alpha", 1.0), _number(node, "beta", 0.5)
    return F.local_response_norm(given[0], window, alpha * window, beta, _number(node, "bias", 1.0))


_OPERATIONS: dict[str, Callable[[Node, Sequence[Tensor]], Tensor]] = {
    "Conv2D": _conv,
    "BiasAdd": lambda node, given: given[0] + given[1].view(-1, 1, 1),
    "Relu": lambda node, given: given[0].relu(),
    "MaxPool": _max_pool,
    "AvgPool": _avg_pool,
    "LRN": _lrn,
    "Concat": lambda node, given: torch.cat(list(given[1:]), 1),  # the first tells the dimension: 3 of NHWC
    "ConcatV2": lambda node, given: torch.cat(list(given[:-1]), 1),
    "Identity": lambda node, given: given[0],
}
