"""`streamfx train`."""

import pytest
import typer
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from streamfx.cli._options import Misuse
from streamfx.cli.style import style
from streamfx.cli.train import train
from streamfx.errors import StreamfxError
from streamfx.presets import load_preset
from streamfx.styletransfer.network import is_style_network

app = typer.Typer()
app.command()(train)
app.command()(style)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(data.chelsea()[::6, ::6].copy()).save(folder / "cat.png")
    (folder / "broken.jpg").write_bytes(b"not an image")
    return folder


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_training_writes_a_preset_and_can_be_resumed(painting, photos, tmp_path, caplog):
    out = tmp_path / "out"
    command = ["train", painting, "--out", out, "--photos", photos, "--quality", "fast", "--minutes", "0.01"]
    done = call(*command, "--height", 96, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert f"preset a-cup: {out / 'a-cup.toml'}" in done.stderr
    assert "gram " in done.stderr
    assert "broken.jpg" in caplog.text
    preset = load_preset(str(out / "a-cup.toml"))
    assert is_style_network(preset.weights("fast"))
    assert preset.style.painting[0].height == 96
    assert (preset.style.training.minutes, preset.style.training.seed) == (0.01, 3)
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert set(before) == {
        *("a-cup.toml", "a-cup.jpg", "a-cup-targets.safetensors"),
        *(f"a-cup-fast.{suffix}" for suffix in ("safetensors", "checkpoint", "sheet.png")),
    }

    repeated = call(*command)
    assert isinstance(repeated.exception, StreamfxError)
    assert "overwrite it with -y" in str(repeated.exception)
    assert {file.name: file.stat().st_mtime_ns for file in out.iterdir()} == before

    resumed = call(*command, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "give more --minutes" in resumed.stderr


def test_presets_are_written_to_the_user_s_folder(painting, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    options = ["--name", "cup", "--photos", photos, "--quality", "fast", "--minutes", "0.01"]
    assert call("train", painting, painting, *options).exit_code == 0
    preset = load_preset("cup")
    assert preset.path == tmp_path / "data" / "streamfx" / "presets" / "cup.toml"
    assert [entry.file for entry in preset.style.painting] == ["a cup.png", "a cup.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg does not exist"),
        (["photos"], "photos is not a readable image"),
        (["a cup.png", "--name", "../x"], "is not a preset name"),
        (["a cup.png", "--name", "mine,yours"], "is not a preset name"),
        (["a cup.png", "--photos", "nowhere"], "is not a folder"),
        (["a cup.png", "a cup.png", "none.jpg"], "none.jpg does not exist"),
        (["a cup.png", "--device", "gpu"], "unknown device"),
    ],
)
def test_errors_are_one_line(painting, photos, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(painting.parent)
    failed = call("train", *arguments, "--out", tmp_path / "out")
    assert isinstance(failed.exception, StreamfxError)
    assert message in str(failed.exception)
    assert "\n" not in str(failed.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["--minutes", "0"], ["--minutes", "nan"], ["--quality", "finest"], ["--seed", "-1"]]
)
def test_invalid_options_exit_with_2(painting, arguments):
    assert call("train", painting, *arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["--resume", "-y"], ["--minutes", "inf"]])
def test_contradictory_options_are_misuse(painting, arguments):
    assert isinstance(call("train", painting, *arguments).exception, Misuse)
