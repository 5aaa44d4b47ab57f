"""Imported networks give the results of onnxruntime, on frames of any size."""

import numpy as np
import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.inference.onnx import Port
from streamfx.ops.resize import resize
from streamfx.presets import ImportedNetwork
from streamfx.styletransfer.importing.network import (
    ImportedStylizer,
    as_vector,
    from_network,
    image_and_vector,
    to_network,
)

CPU = torch.device("cpu")


def stylizer(file, **known):
    return ImportedStylizer(file, ImportedNetwork(kind="onnx", **known), "fp32", CPU)


@pytest.mark.parametrize("value_range", ["0..1", "0..255", "-1..1"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_there_and_back(value_range, channels, layout, photo):
    known = {"channels": channels, "layout": layout, "input_range": value_range, "output_range": value_range}
    network = ImportedNetwork(kind="onnx", **known)
    images = to_network(photo, network)
    assert images.shape == ((1, 3, 128, 192) if layout == "nchw" else (1, 128, 192, 3))
    assert torch.allclose(from_network(images, network), photo, atol=1e-6)
    first = images[:, :1] if layout == "nchw" else images[..., :1]
    factor, offset = {"0..1": (1, 0), "0..255": (255, 0), "-1..1": (2, -1)}[value_range]
    assert torch.allclose(first.flatten(), (photo[0 if channels == "rgb" else 2] * factor + offset).flatten())


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_written_network_equals_onnxruntime(layout, write_onnx, run_onnx, photo):
    file = write_onnx("blur.onnx", layout=layout)
    images = photo.flip(0)[None] * 255
    images = images if layout == "nchw" else images.permute(0, 2, 3, 1)
    expected = run_onnx(file, images.numpy())
    expected = expected[0] if layout == "nchw" else expected[0].permute(2, 0, 1)
    stylized = stylizer(file, layout=layout, channels="bgr")(photo)
    assert (stylized - expected.flip(0) / 255).abs().max() < 1e-4


def test_the_multistyle_network_equals_onnxruntime(lite, run_onnx, photo):
    known = {"input_range": "0..1", "output_range": "0..1", "style": tuple(np.eye(26)[19])}
    stylized = stylizer(lite("multistyle26"), **known)(photo)
    expected = run_onnx(lite("multistyle26"), photo[None].numpy(), np.eye(26)[19])[0]
    assert (stylized - expected).abs().max() < 1e-3


def test_sizes_that_the_network_does_not_take_are_extended(lite, run_onnx, photo):
    known = {"input_range": "0..1", "output_range": "0..1", "style": tuple(np.eye(26)[3])}
    run = stylizer(lite("multistyle26"), **known)
    odd = photo[:, :121, :187]
    assert run(odd).shape == odd.shape
    assert run(photo[:, :5, :7]).shape == (3, 5, 7)
    padded = torch.nn.functional.pad(odd[None], (0, 5, 0, 7), mode="replicate")
    expected = run_onnx(lite("multistyle26"), padded.numpy(), np.eye(26)[3])[0]
    assert (run(odd) - expected[:, :121, :187]).abs().max() < 1e-3


def test_a_network_of_one_size_gets_scaled_frames(write_onnx, run_onnx, photo):
    file = write_onnx("fixed.onnx", size=(48, 64), factor=1.0)
    stylized = stylizer(file, size=(48, 64), input_range="0..1", output_range="0..1", channels="bgr")(photo)
    expected = run_onnx(file, resize(photo, (48, 64)).flip(0)[None].numpy())[0].flip(0)
    assert stylized.shape == photo.shape
    assert (resize(stylized, (48, 64)) - expected).abs().mean() < 0.02


def test_inputs_that_are_not_those_of_a_style_network(tmp_path):
    image, vector = Port("x", (1, 3, None, None)), Port("v", (1, 4))
    assert image_and_vector([vector, image], tmp_path) == (image, vector)
    for ports in ([image, image], [vector], [image, vector, vector], []):
        with pytest.raises(StreamfxError, match="a style network takes one picture"):
            image_and_vector(ports, tmp_path)


def test_styles_that_do_not_fit(tmp_path):
    assert as_vector((1.0, 2.0), Port("v", (None, 1, 2)), tmp_path).shape == (1, 1, 2)
    for style in ((), (1.0,)):
        with pytest.raises(StreamfxError, match=f"takes a style of 2 numbers, but the preset has {len(style)}"):
            as_vector(style, Port("v", (2,)), tmp_path)
