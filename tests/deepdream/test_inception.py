"""The network of the 2015 graph, compared with OpenVINO's TensorFlow frontend."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from graphs import Graph, block, ints, node, small_inception, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.deepdream.graphdef import read_graph
from streamfx.deepdream.inception import LAYERS, InceptionV1, load_inception, spatial_layers
from streamfx.errors import StreamfxError
from streamfx.inference.openvino import import_openvino

TESTED = (
    "conv2d0_pre_relu",
    "maxpool0",
    "maxpool1",
    "mixed4a_3x3_bottleneck_pre_relu",
    "mixed4a_pool",
    "mixed4a",
    "head0_pool",
    "head0_bottleneck_pre_relu",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return small_inception().write(tmp_path_factory.mktemp("graph") / "graph.pb")


@pytest.fixture(scope="module")
def plain_file(tmp_path_factory):
    """A graph without norms, because OpenVINO's frontend uses a narrower window than TensorFlow."""
    return small_inception(norms=False).write(tmp_path_factory.mktemp("plain") / "graph.pb")


@pytest.fixture(scope="module", params=[(64, 96), (61, 75), (50, 47)], ids=str)
def openvino_activations(plain_file, request):
    """An image, and OpenVINO's activations at each tested layer, [N, C, h, w]."""
    height, width = request.param
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))
    openvino = import_openvino()
    reader = openvino.frontend.FrontEndManager().load_by_framework("tf")
    graph = reader.load(str(plain_file))
    graph.override_all_outputs([graph.get_place_by_tensor_name(f"{layer}:0") for layer in TESTED])
    model = reader.convert(graph)
    model.reshape([1, height, width, 3])
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled((image * 255 - 117).permute(0, 2, 3, 1).contiguous().numpy())
    values = {layer: torch.from_numpy(outputs[i].copy()).permute(0, 3, 1, 2) for i, layer in enumerate(TESTED)}
    return image, values


def test_activations_match_openvino(plain_file, openvino_activations):
    image, expected = openvino_activations
    activations = load_inception(plain_file, TESTED)(image)
    assert list(activations) == list(TESTED)
    for layer in TESTED:
        assert activations[layer].shape == expected[layer].shape, layer
        torch.testing.assert_close(activations[layer], expected[layer], atol=2e-3, rtol=2e-3, msg=layer)


def test_norms_match_tensorflow(file):
    """out = in / (bias + alpha * sum of in^2 over the channels within depth_radius) ** beta, as documented."""
    activations = load_inception(file, ["maxpool0", "localresponsenorm0", "conv2d2", "localresponsenorm1"])(
        torch.rand(1, 3, 40, 56)
    )
    for before, after in (("maxpool0", "localresponsenorm0"), ("conv2d2", "localresponsenorm1")):
        x = activations[before][0].double().numpy()
        expected = [x[c] / (2 + 1e-4 * (x[max(0, c - 5) : c + 6] ** 2).sum(0)) ** 0.5 for c in range(len(x))]
        np.testing.assert_allclose(activations[after][0].numpy(), expected, rtol=1e-4, atol=1e-4)
        assert np.abs(x / np.sqrt(2) - expected).max() > 1e-3  # the sum matters


def test_later_layers_are_not_run(file):
    network = load_inception(file, ["conv2d1"])
    assert [n.name for n in network.nodes if n.op == "Conv2D"] == [
        "conv2d0_pre_relu/conv",
        "conv2d1_pre_relu/conv",
    ]
    assert len(list(network.parameters())) == 0  # weights are constants


def test_gradient_reaches_the_image(file):
    image = torch.rand(1, 3, 40, 40, requires_grad=True)
    load_inception(file, ["mixed4a"])(image)["mixed4a"].square().mean().backward()
    assert image.grad.abs().mean() > 0


def test_channels_of_layers(file):
    layers = spatial_layers(read_graph(file))
    assert layers["mixed4a"] == 21
    assert layers["mixed4a_3x3_bottleneck_pre_relu"] == 4
    assert layers["localresponsenorm1"] == 12
    assert "input" not in layers
    assert "conv2d0_w" not in layers
    assert [layer for layer in layers if not layer.endswith("/conv")][:3] == ["conv2d0_pre_relu", "conv2d0", "maxpool0"]


def test_layer_names_are_known_without_the_file(file):
    known = [layer for layer in spatial_layers(read_graph(file)) if not layer.endswith("/conv")]
    assert set(known) <= set(LAYERS)
    assert LAYERS["mixed4c"] == 512


def test_layers_of_fixed_size_are_excluded(tmp_path):
    graph = small_inception()
    graph.constant("shape", np.array([-1, 28], np.int32))
    graph.add("head0_reshape", "Reshape", ["head0_bottleneck", "shape"])
    nodes = read_graph(graph.write(tmp_path / "g.pb"))
    assert "head0_reshape" not in spatial_layers(nodes)
    with pytest.raises(StreamfxError, match=r"unknown layer of inceptionv1 'head0_reshap'"):
        InceptionV1(nodes, ["head0_reshap"])


def test_valid_padding(tmp_path):
    graph = Graph()
    graph.pool("pool", graph.conv("conv2d0", "input", 3, 3, 4, 2, "VALID"), 2, 2, padding="VALID")
    network = load_inception(graph.write(tmp_path / "g.pb"), ["conv2d0", "pool"])
    assert [tuple(x.shape[2:]) for x in network(torch.rand(1, 3, 20, 21)).values()] == [(9, 10), (4, 5)]


def test_missing_nodes_are_an_error(tmp_path):
    graph = Graph()
    graph.add("relu", "Relu", ["input"])
    nodes = [n for n in read_graph(graph.write(tmp_path / "g.pb")) if n.name != "input"]
    with pytest.raises(StreamfxError, match=r"unknown layer|node 'input' is missing"):
        InceptionV1(nodes, ["relu"])


# --- malicious graphs


def test_cycles_are_refused(tmp_path):
    graph = Graph()
    graph.nodes.append(node("loop", "Const", ("back",), value=block(8, tensor(np.zeros((1, 1, 3, 2), "f4")))))
    graph.nodes.append(node("back", "Const", ("loop",), value=block(8, tensor(np.zeros(2, "f4")))))
    graph.add("conv", "Conv2D", ["input", "loop"], strides=ints([1, 1, 1, 1]))
    with pytest.raises(StreamfxError, match="depends on itself"):
        load_inception(graph.write(tmp_path / "g.pb"), ["conv"])


@pytest.mark.parametrize(
    ("size", "stride", "reason"),
    [(3, 0, "strides 0x0"), (10**9, 1, "ksize 1000000000x"), (3, 10**9, "strides"), (-1, 1, "ksize -1x-1")],
)
def test_impossible_windows_are_refused(tmp_path, size, stride, reason):
    graph = Graph()
    graph.pool("pool", graph.conv("conv2d0", "input", 3, 3, 4), size, stride)
    with pytest.raises(StreamfxError, match=reason):
        load_inception(graph.write(tmp_path / "g.pb"), ["pool"])


def test_huge_activations_are_refused(tmp_path):
    graph = Graph()
    x = graph.conv("conv2d0", "input", 3, 3, 4)
    for i in range(30):
        x = graph.concat(f"c{i}", [x, x])
    with pytest.raises(StreamfxError, match=r"cannot run graph .* \('c\d+' has \d+ channels\)"):
        load_inception(graph.write(tmp_path / "g.pb"), [x])


def test_weights_of_wrong_shape_are_refused(tmp_path):
    graph = Graph()
    graph.conv("conv2d1", graph.conv("conv2d0", "input", 3, 3, 4), 3, 7, 4)
    with pytest.raises(StreamfxError, match=r"cannot run graph .*g\.pb"):
        load_inception(graph.write(tmp_path / "g.pb"), ["conv2d1"])


@settings(max_examples=60)
@given(st.data())
def test_corrupted_graphs_load_or_are_refused(tmp_path_factory, data):
    graph = Graph()
    graph.pool("pool", graph.norm("norm", graph.conv("conv", "input", 1, 3, 2)), 2, 2)
    content = bytearray(b"".join(graph.nodes))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.pb"
    path.write_bytes(content[: data.draw(st.integers(len(content) - 40, len(content)))])
    with suppress(StreamfxError):
        layers = list(spatial_layers(read_graph(path)))
        load_inception(path, layers[-1:])
