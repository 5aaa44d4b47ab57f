"""`streamfx doctor`."""

import json
import os
from importlib.metadata import version
from pathlib import Path

import torch
from typer.testing import CliRunner

from streamfx.cli import app


def report():
    """The object that --json prints."""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_versions_and_devices_are_those_of_this_machine():
    facts = report()
    assert facts["versions"]["torch"] == version("torch")
    assert facts["versions"]["av"] == version("av")
    assert facts["versions"]["ffmpeg"]
    assert facts["devices"]["cuda"]["works"] == torch.cuda.is_available()
    assert facts["devices"]["cpu"]["cores"] >= 1


def test_encoders_and_folders():
    facts = report()
    assert facts["encoders"]["libx264"] == facts["encoders"]["aac"] == "built in"
    assert facts["encoders"]["h264_nvenc"] == "works" or facts["encoders"]["h264_nvenc"].startswith("built in, but: ")
    if not torch.cuda.is_available():
        assert facts["encoders"]["h264_nvenc"] != "works"
    assert facts["counts"]["filters"] > 200
    assert facts["counts"]["presets"] >= 1
    assert all(Path(folder).is_absolute() for folder in facts["folders"].values())


def test_missing_parts_are_listed_with_instructions():
    facts = report()
    assert all(item["what"] and item["how"] for item in facts["missing"])
    lacks_gpu = any("GPU" in item["what"] or "CUDA" in item["what"] for item in facts["missing"])
    assert lacks_gpu or facts["devices"]["cuda"]["works"]


def test_a_cache_that_cannot_be_written_is_missing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "a cache" not in {item["what"] for item in report()["missing"]}
    if os.geteuid() != 0:  # root may write everywhere
        tmp_path.chmod(0o500)
        assert "a cache" in {item["what"] for item in report()["missing"]}


def test_as_text():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    for word in ("Versions", "Devices", "Encoders", "Folders", "Missing", "libx264", "cores"):
        assert word in result.stdout
