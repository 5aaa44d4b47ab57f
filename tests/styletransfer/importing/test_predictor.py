"""Styles predicted from pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.presets import ImportedNetwork, load_preset
from streamfx.styletransfer.importing.network import ImportedStylizer
from streamfx.styletransfer.importing.predictor import middle_square, predict_style, predicted_preset
from streamfx.styletransfer.importing.preset import Import, import_model

KNOWN = {"layout": "nhwc", "input_range": "0..1", "output_range": "0..1"}


@pytest.fixture(scope="module")
def picture(tmp_path_factory, photo):
    file = tmp_path_factory.mktemp("picture") / "photo.png"
    Image.fromarray((photo * 255).byte().permute(1, 2, 0).numpy()).save(file)
    return file


@pytest.fixture(scope="module")
def pair(lite, tmp_path_factory, picture):
    """The preset of the transformer and its predictor."""
    request = Import(
        lite("arbitrary_transform"),
        "magenta",
        predictor=lite("arbitrary_predict"),
        photo=picture,
        channels="rgb",
        value_range="0..1",
    )
    return load_preset(str(import_model(request, tmp_path_factory.mktemp("presets")).preset))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_pair_equals_onnxruntime(lite, run_onnx, photo):
    network = ImportedNetwork(kind="onnx", **KNOWN)
    style = predict_style(lite("arbitrary_predict"), network, photo)
    square = torch.nn.functional.interpolate(middle_square(photo)[None], (256, 256), mode="bilinear")
    expected = run_onnx(lite("arbitrary_predict"), square.permute(0, 2, 3, 1).numpy()).flatten()
    assert (torch.tensor(style) - expected).abs().max() < 0.2  # int8 of two libraries; the numbers reach 3
    frame = torch.nn.functional.interpolate(photo[None], (384, 384), mode="bilinear")[0]
    known = network.model_copy(update={"style": style})
    stylized = ImportedStylizer(lite("arbitrary_transform"), known, "fp32", torch.device("cpu"))(frame)
    numbers = np.float32(style).reshape(1, 1, 1, 100)
    expected = run_onnx(lite("arbitrary_transform"), frame[None].permute(0, 2, 3, 1).numpy(), numbers)[0]
    assert (stylized - expected.permute(2, 0, 1)).abs().mean() < 0.02


@pytest.mark.usefixtures("cache")
def test_a_preset_with_the_style_of_a_picture(pair, picture, tmp_path):
    assert pair.style.network.size is None  # the file says 384x384, and the network takes any
    assert pair.style.network.style == ()
    made = predicted_preset(pair, picture)
    written = made.stat().st_mtime_ns
    assert len(load_preset(str(made)).style.network.style) == 100
    assert predicted_preset(pair, picture) == made
    assert made.stat().st_mtime_ns == written
    Image.new("RGB", (80, 70), "red").save(tmp_path / "red.png")
    assert predicted_preset(pair, tmp_path / "red.png") != made


def test_other_presets_and_pictures(pair, picture, tmp_path):
    with pytest.raises(StreamfxError, match="the preset vangogh has a style of its own; give --style-image alone"):
        predicted_preset(load_preset("vangogh"), picture)
    with pytest.raises(StreamfxError, match="cannot read"):
        predicted_preset(pair, tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(StreamfxError, match="is not a readable image"):
        predicted_preset(pair, tmp_path / "text.png")


def test_a_network_that_is_not_a_predictor(lite, photo):
    with pytest.raises(StreamfxError, match="a predictor takes one and returns numbers"):
        predict_style(lite("multistyle26"), ImportedNetwork(kind="onnx"), photo)
