"""`streamfx train` from the command line's side."""

import pytest
import typer
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from streamfx.cli.train import train
from streamfx.errors import StreamfxError
from streamfx.preset import load_preset

app = typer.Typer()
app.command()(train)


@pytest.fixture
def painting(tmp_path):
    file = tmp_path / "cup.png"
    Image.fromarray(data.coffee()).save(file)
    return file


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_it_trains_a_preset_and_says_where_it_is(painting, tmp_path):
    done = call(painting, "--minutes", "0.01", "--out", tmp_path / "out", "--height", 64)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "preset cup" in done.stderr
    preset = load_preset(str(tmp_path / "out" / "cup.toml"))
    assert preset.weights.is_file()
    assert preset.style.training.painting_height == 64

    again = call(painting, "--minutes", "0.01", "--out", tmp_path / "out")
    assert isinstance(again.exception, StreamfxError)
    assert "-y" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg is no file"),
        (["cup.png", "--name", "../x"], "cannot name a preset"),
        (["cup.png", "--photos", "nowhere"], "is not a folder"),
    ],
)
def test_mistakes_are_one_line(painting, monkeypatch, arguments, message):
    monkeypatch.chdir(painting.parent)
    failed = call(*arguments, "--out", painting.parent)
    assert isinstance(failed.exception, StreamfxError)
    assert message in str(failed.exception)


def test_a_budget_of_nothing_is_a_misuse(painting):
    assert call(painting, "--minutes", "0").exit_code == 2
