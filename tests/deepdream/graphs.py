"""Builds small TensorFlow graphs with random weights: the first layers of InceptionV1 and one mixed block."""

import struct

import numpy as np

FLOAT, INT32 = 1, 3  # from types.proto


def varint(value):
    value %= 1 << 64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def real(field, value):
    return varint(field << 3 | 5) + struct.pack("<f", value)


def tensor(values):
    values = np.asarray(values)
    kind = FLOAT if values.dtype.kind == "f" else INT32
    shape = b"".join(block(2, number(1, side)) for side in values.shape)
    raw = values.astype("<f4" if kind == FLOAT else "<i4").tobytes()
    return number(1, kind) + block(2, shape) + block(4, raw)


def node(name, op, inputs=(), **attributes):
    content = block(1, name) + block(2, op) + b"".join(block(3, source) for source in inputs)
    for key, value in attributes.items():
        content += block(5, block(1, key) + block(2, value))
    return block(1, content)


def ints(values):
    return block(1, block(3, b"".join(map(varint, values))))


def kind(value):
    return number(6, value)


class Graph:
    """Nodes in order of addition; weights from a seed."""

    def __init__(self, seed=0):
        self.nodes = [node("input", "Placeholder", dtype=kind(FLOAT))]
        self.random = np.random.default_rng(seed)

    def add(self, name, op, inputs, **attributes):
        self.nodes.append(node(name, op, inputs, T=kind(FLOAT), **attributes))
        return name

    def constant(self, name, values):
        values = np.asarray(values)
        dtype = kind(FLOAT if values.dtype.kind == "f" else INT32)
        self.nodes.append(node(name, "Const", (), dtype=dtype, value=block(8, tensor(values))))
        return name

    def conv(self, name, source, size, channels, out, stride=1, padding="SAME"):
        """Node names as in the 2015 graph: NAME_w, NAME_b, NAME_pre_relu/conv, NAME_pre_relu, NAME."""
        scale = 1 / np.sqrt(size * size * channels)
        weights = self.constant(f"{name}_w", self.random.normal(0, scale, (size, size, channels, out)).astype("f4"))
        bias = self.constant(f"{name}_b", self.random.normal(0, 0.1, out).astype("f4"))
        strides = ints([1, stride, stride, 1])
        x = self.add(f"{name}_pre_relu/conv", "Conv2D", [source, weights], strides=strides, padding=block(2, padding))
        x = self.add(f"{name}_pre_relu", "BiasAdd", [x, bias])
        return self.add(name, "Relu", [x])

    def pool(self, name, source, size, stride, op="MaxPool", padding="SAME"):
        sides = {"ksize": ints([1, size, size, 1]), "strides": ints([1, stride, stride, 1])}
        return self.add(name, op, [source], padding=block(2, padding), **sides)

    def norm(self, name, source):
        radius = number(3, 5)
        return self.add(
            name, "LRN", [source], depth_radius=radius, bias=real(4, 2.0), alpha=real(4, 1e-4), beta=real(4, 0.5)
        )

    def concat(self, name, sources):
        return self.add(
            name, "Concat", [self.constant(f"{name}/concat_dim", np.int32(3)), *sources], N=number(3, len(sources))
        )

    def write(self, path):
        path.write_bytes(b"".join(self.nodes))
        return path


def small_inception(norms=True):
    """Three convolutions, both norms, a mixed block and the bottleneck of a head, at a tenth of the real width."""
    graph = Graph()
    x = graph.pool("maxpool0", graph.conv("conv2d0", "input", 7, 3, 8, stride=2), 3, 2)
    x = graph.norm("localresponsenorm0", x) if norms else x
    x = graph.conv("conv2d2", graph.conv("conv2d1", x, 1, 8, 8), 3, 8, 12)
    x = graph.pool("maxpool1", graph.norm("localresponsenorm1", x) if norms else x, 3, 2)
    one = graph.conv("mixed4a_1x1", x, 1, 12, 6)
    three = graph.conv("mixed4a_3x3", graph.conv("mixed4a_3x3_bottleneck", x, 1, 12, 4), 3, 4, 6)
    five = graph.conv("mixed4a_5x5", graph.conv("mixed4a_5x5_bottleneck", x, 1, 12, 3), 5, 3, 4)
    pooled = graph.conv("mixed4a_pool_reduce", graph.pool("mixed4a_pool", x, 3, 1), 1, 12, 5)
    x = graph.concat("mixed4a", [one, three, five, pooled])
    graph.conv("head0_bottleneck", graph.pool("head0_pool", x, 5, 3, "AvgPool", "SAME"), 1, 21, 7)
    return graph
