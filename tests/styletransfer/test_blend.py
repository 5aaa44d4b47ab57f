"""Blends of networks of all kinds."""

import numpy as np
import pytest
import torch
from skimage import data

from streamfx.errors import StreamfxError
from streamfx.motion.temporal import WarpedFrame
from streamfx.presets import ImportedNetwork, Preset, StylePreset, load_preset
from streamfx.styletransfer.blend import build_blend
from streamfx.styletransfer.importing.transformer_net import TransformerNet, save_network

CPU = torch.device("cpu")


@pytest.fixture
def candy(tmp_path):
    """A preset of a small imported network."""
    torch.manual_seed(1)
    network = TransformerNet(8, 8, 8, blocks=1)
    with torch.no_grad():
        network.deconv3.conv2d.weight *= 100
        network.deconv3.conv2d.bias += 100
    save_network(tmp_path / "candy.safetensors", network)
    return preset(tmp_path / "candy.toml", kind="fast_neural_style")


def preset(file, **known):
    weights = {"fine": "candy.safetensors", "fast": "candy.safetensors"}
    style = StylePreset(kind="style", title="Candy", license="MIT", weights=weights, network=ImportedNetwork(**known))
    return Preset(path=file, style=style)


@pytest.fixture(scope="module")
def image():
    return torch.from_numpy(np.ascontiguousarray(data.chelsea()[:96, :128])).permute(2, 0, 1) / 255


def test_imported_and_shipped_networks_are_mixed_in_their_shares(candy, image):
    parts = [(candy, 0.5), (load_preset("vangogh"), 0.3), (load_preset("munch"), 0.2)]
    images = [build_blend([(part, 1.0)], "fast", "fp32", CPU)(image, None, 1.0, 0.0) for part, _ in parts]
    mixed = build_blend(parts, "fast", "fp32", CPU)(image, None, 1.0, 0.0)
    expected = sum(stylized * share for stylized, (_, share) in zip(images, parts))
    assert (mixed - expected).abs().max() < 1e-4
    assert (images[0] - images[1]).abs().mean() > 0.02


def test_the_previous_stylized_frame_is_mixed_in(candy, image):
    stylize = build_blend([(candy, 1.0)], "fine", "fp32", CPU)
    alone = stylize(image, None, 1.0, 0.0)
    share = torch.zeros(1, 96, 128)
    share[:, 48:] = 0.8
    previous = WarpedFrame(torch.zeros(3, 96, 128), share, share, share)
    mixed = stylize(image, previous, 1.0, 0.0)
    assert (mixed - alone)[:, :40].abs().mean() < 0.03
    assert mixed[:, 56:].mean() < 0.5 * alone[:, 56:].mean()


def test_a_preset_that_needs_a_picture(candy):
    needy = preset(candy.path, kind="onnx", predictor="p.onnx")
    with pytest.raises(StreamfxError, match="takes its style from a picture; give --style-image PICTURE"):
        build_blend([(needy, 1.0)], "fine", "fp32", CPU)
