"""Presets from network files of other projects."""

import pytest
import torch
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.presets import load_preset
from streamfx.styletransfer.importing.preset import Import, import_model
from streamfx.styletransfer.importing.transformer_net import TransformerNet


@pytest.fixture
def photo_file(photo, tmp_path):
    Image.fromarray((photo * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def imported(tmp_path, photo_file):
    """imported(file, ...): the network of the preset that is made of a file."""

    def imported(file, overwrite=False, **known):
        request = Import(file, "new", photo=photo_file, **known)
        return load_preset(str(import_model(request, tmp_path / "presets", overwrite=overwrite).preset))

    return imported


def test_a_pth_file(imported, tmp_path):
    torch.save(TransformerNet(8, 16, 16, blocks=1).state_dict(), tmp_path / "candy.pth")
    preset = imported(tmp_path / "candy.pth", license="MIT")
    assert (preset.style.title, preset.style.license) == ("candy", "MIT")
    assert (preset.style.network.kind, preset.style.network.source) == ("fast_neural_style", "candy.pth")
    assert sorted(file.name for file in preset.path.parent.iterdir()) == [
        "new.safetensors",
        "new.sheet.png",
        "new.toml",
    ]
    assert preset.weights("fast") == preset.weights("fine")
    with Image.open(preset.path.with_name("new.sheet.png")) as sheet:
        assert sheet.size == (384, 192)
    with pytest.raises(StreamfxError, match="has one style of its own; leave out --predictor, --style"):
        imported(tmp_path / "candy.pth", overwrite=True, style="3")


def test_a_network_with_several_styles(imported, lite):
    network = imported(lite("multistyle26"), style="3:0.5,12:1.5").style.network
    assert (network.input_range, network.output_range, network.channels) == ("0..1", "0..1", "rgb")
    assert {at: share for at, share in enumerate(network.style) if share} == {3: 0.25, 12: 0.75}
    assert network.size is None
    for style, message in (
        ("", r"takes 26 numbers beside the picture: if each is one of its styles, give --style 0..25 or a mix"),
        ("26", r"'26' is not one of the styles 0..25"),
        ("vangogh", "'vangogh' is not one of the styles"),
    ):
        with pytest.raises(StreamfxError, match=message):
            imported(lite("multistyle26"), overwrite=True, style=style)


def test_a_network_of_one_size(imported, write_onnx):
    network = imported(write_onnx("fixed.onnx", size=(48, 64), factor=1.0)).style.network
    assert (network.size, network.input_range) == (None, "0..1")  # convolutions take any size
    network = imported(write_onnx("pointless.onnx", size=(8, 8)), overwrite=True).style.network
    assert network.kind == "onnx"


def test_existing_presets_and_names(imported, write_onnx, tmp_path, photo_file):
    imported(write_onnx("blur.onnx"))
    with pytest.raises(StreamfxError, match="exists; give -y to replace it, or another --name"):
        imported(write_onnx("blur.onnx"))
    imported(write_onnx("blur.onnx", layout="nhwc"), overwrite=True)
    with pytest.raises(StreamfxError, match="is not a preset name"):
        import_model(Import(write_onnx("blur.onnx"), "a:b", photo=photo_file), tmp_path)


def test_failures_leave_nothing(imported, write_onnx, lite, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"not a network")
    for file, known, message in (
        (tmp_path / "x.onnx", {}, "is not an ONNX network that OpenVINO can read"),
        (tmp_path / "none.onnx", {}, "cannot read the network"),
        (write_onnx("blur.onnx"), {"style": "1"}, "has one style of its own; leave out --predictor and --style"),
        (write_onnx("blur.onnx", style=2), {"style": "0", "style_image": tmp_path}, "--style-image needs the network"),
        (lite("arbitrary_predict"), {}, "changes the picture"),
    ):
        with pytest.raises(StreamfxError, match=message):
            imported(file, **known)
    assert list((tmp_path / "presets").iterdir()) == []
