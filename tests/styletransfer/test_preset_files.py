"""Preset files and folders are written whole or not at all."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.presets import ImportedNetwork, StylePreset, load_preset
from streamfx.styletransfer.preset_files import check_name, make_folder, save_preset, temporary_folder


def test_names():
    assert check_name("my-style_2.1") == "my-style_2.1"
    for name in ("", "a:b", "a,b", "a/b", ".a"):
        with pytest.raises(StreamfxError, match="is not a preset name; give a --name of letters"):
            check_name(name)


def test_an_imported_preset_is_read_back(tmp_path):
    network = ImportedNetwork(kind="onnx", channels="bgr", size=(64, 96), style=(0.5, 0.25))
    style = StylePreset(kind="style", title="X", license="MIT", weights={"fine": "x.onnx"}, network=network)
    save_preset(tmp_path / "x.toml", style)
    assert load_preset(str(tmp_path / "x.toml")).style == style
    assert "training" not in (tmp_path / "x.toml").read_text()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StreamfxError, match="cannot create the folder"):
        make_folder(tmp_path / "file" / "folder")


def test_a_temporary_folder(tmp_path):
    target = tmp_path / "cache" / "made"
    with temporary_folder(target, target.is_dir) as folder:
        (folder / "a").touch()
        assert not target.exists()
    assert [file.name for file in target.iterdir()] == ["a"]
    with pytest.raises(ZeroDivisionError), temporary_folder(tmp_path / "cache" / "other", target.is_dir) as folder:
        raise ZeroDivisionError
    assert [file.name for file in target.parent.iterdir()] == ["made"]
