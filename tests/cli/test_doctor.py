"""`streamfx doctor`."""

import json
import os
from importlib.metadata import version
from pathlib import Path

import torch
from typer.testing import CliRunner

from streamfx.cli import app


def told():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_versions_and_devices_are_those_of_this_machine():
    found = told()
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["av"] == version("av")
    assert found["versions"]["ffmpeg"]
    assert found["devices"]["cuda"]["works"] == torch.cuda.is_available()
    assert found["devices"]["cpu"]["cores"] >= 1


def test_encoders_and_folders():
    found = told()
    assert found["encoders"]["libx264"]
    assert found["encoders"]["aac"]
    assert found["counts"]["filters"] > 200
    assert found["counts"]["presets"] >= 1
    assert all(Path(folder).is_absolute() for folder in found["folders"].values())


def test_what_is_missing_comes_with_a_way_to_get_it():
    found = told()
    assert all(each["what"] and each["how"] for each in found["missing"])
    lacks_gpu = any("GPU" in each["what"] or "CUDA" in each["what"] for each in found["missing"])
    assert lacks_gpu or found["devices"]["cuda"]["works"]


def test_a_cache_that_cannot_be_written_is_missing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "a cache" not in {each["what"] for each in told()["missing"]}
    if os.geteuid() != 0:  # root may write everywhere
        tmp_path.chmod(0o500)
        assert "a cache" in {each["what"] for each in told()["missing"]}


def test_as_text():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    for word in ("Versions", "Devices", "Encoders", "Folders", "Missing", "libx264", "cores"):
        assert word in result.stdout
