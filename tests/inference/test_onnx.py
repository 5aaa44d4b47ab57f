"""ONNX files: what they take and return, and how they run."""

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from streamfx.errors import StreamfxError
from streamfx.inference.onnx import Port, build_onnx_engine, output_shape, read_ports

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def network(tmp_path):
    """A file of a network that halves two inputs' sum; the first has any height."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("a", [1, 3, "h", 4]), ("b", [1, 3, 1, 1]))
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "h", 4])
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["sum", "half"], ["y"])]
    graph = helper.make_graph(nodes, "halves", inputs, [output], [half])
    file = tmp_path / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file


def test_ports_and_shapes(network):
    inputs, outputs = read_ports(network)
    assert inputs == [Port("a", (1, 3, None, 4)), Port("b", (1, 3, 1, 1))]
    assert outputs[0].shape == (1, 3, None, 4)
    assert output_shape(network, [(1, 3, 5, 4), (1, 3, 1, 1)]) == (1, 3, 5, 4)
    assert output_shape(network, [(1, 3, 5, 7), (1, 2, 1, 1)]) is None


def test_the_engine_equals_onnxruntime_and_is_cached(network, cache):
    first, second = torch.rand(1, 3, 5, 4), torch.rand(1, 3, 1, 1)
    shapes = [(1, 3, 5, 4), (1, 3, 1, 1)]
    expected = onnxruntime.InferenceSession(str(network)).run(None, {"a": first.numpy(), "b": second.numpy()})[0]
    assert torch.allclose(build_onnx_engine(network, shapes, "f32")(first, second), torch.from_numpy(expected))
    assert len(list(cache.glob("*.blob"))) == 1
    build_onnx_engine(network, shapes, "f32")
    assert len(list(cache.glob("*.blob"))) == 1


def test_other_files_are_errors(tmp_path, monkeypatch):
    with pytest.raises(StreamfxError, match="cannot read the network"):
        read_ports(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "model.xml").write_text("<net name='a' version='11'><layers/></net>")
    for file in ("text.onnx", "model.xml"):
        with pytest.raises(StreamfxError, match="is not an ONNX network that OpenVINO can read"):
            read_ports(tmp_path / file)
    monkeypatch.setattr("streamfx.inference.onnx._MAX_BYTES", 5)
    with pytest.raises(StreamfxError, match="has 10 bytes; a network may have at most 5"):
        read_ports(tmp_path / "text.onnx")


def test_an_operation_that_openvino_does_not_know(network):
    model = onnx.load(network)
    model.graph.node[0].op_type = "Unheard"
    onnx.save(model, network)
    with pytest.raises(StreamfxError) as raised:
        build_onnx_engine(Path(network), [(1, 3, 5, 4), (1, 3, 1, 1)], "f32")
    assert "\n" not in str(raised.value)
    assert "Unheard" in str(raised.value)
