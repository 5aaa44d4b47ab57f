"""`streamfx train` and `streamfx style --style-image` from the command line's side."""

import json
import shutil

import pytest
import typer
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from streamfx.cli._options import Misuse
from streamfx.cli.style import style
from streamfx.cli.train import train
from streamfx.errors import StreamfxError
from streamfx.presets import TrainingSettings, load_preset
from streamfx.styletransfer.training.finetune import cached_preset, fit_style

app = typer.Typer()
app.command()(train)
app.command()(style)


@pytest.fixture
def painting(tmp_path):
    file = tmp_path / "a cup.png"
    Image.fromarray(data.coffee()[::2, ::2].copy()).save(file)
    return file


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(data.chelsea()[::6, ::6].copy()).save(folder / "cat.png")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_it_trains_a_preset_and_says_where_it_is(painting, photos, tmp_path, caplog):
    out = tmp_path / "out"
    given = ["train", painting, "--out", out, "--photos", photos, "--quality", "fast", "--minutes", "0.01"]
    done = call(*given, "--height", 96, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert f"preset a-cup: {out / 'a-cup.toml'}" in done.stderr
    assert "gram " in done.stderr
    assert "broken.jpg" in caplog.text
    preset = load_preset(str(out / "a-cup.toml"))
    assert preset.weights("fast").is_file()
    assert preset.style.painting[0].height == 96
    assert (preset.style.training.minutes, preset.style.training.seed) == (0.01, 3)
    assert (out / "a-cup-fast.sheet.png").is_file()

    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    again = call(*given)
    assert isinstance(again.exception, StreamfxError)
    assert "overwrite it with -y" in str(again.exception)
    assert {file.name: file.stat().st_mtime_ns for file in out.iterdir()} == before

    over = call(*given, "--resume")
    assert over.exit_code == 0, over.output
    assert "are over already" in over.stderr


def test_presets_go_to_the_user_s_folder(painting, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    given = ["--name", "tasse", "--photos", photos, "--quality", "fast", "--minutes", "0.01"]
    assert call("train", painting, painting, *given).exit_code == 0
    preset = load_preset("tasse")
    assert preset.path == tmp_path / "data" / "streamfx" / "presets" / "tasse.toml"
    assert [each.file for each in preset.style.painting] == ["a cup.png", "a cup.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg does not exist"),
        (["photos"], "photos is no picture"),
        (["a cup.png", "--name", "../x"], "is not a preset name"),
        (["a cup.png", "--name", "mine,yours"], "is not a preset name"),
        (["a cup.png", "--photos", "nowhere"], "is not a folder"),
        (["a cup.png", "a cup.png", "none.jpg"], "none.jpg does not exist"),
        (["a cup.png", "--device", "gpu"], "unknown device"),
    ],
)
def test_mistakes_are_one_line(painting, photos, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(painting.parent)
    failed = call("train", *arguments, "--out", tmp_path / "out")
    assert isinstance(failed.exception, StreamfxError)
    assert message in str(failed.exception)
    assert "\n" not in str(failed.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["--minutes", "0"], ["--minutes", "nan"], ["--quality", "finest"], ["--seed", "-1"]]
)
def test_what_makes_no_sense_is_a_misuse(painting, arguments):
    assert call("train", painting, *arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["--resume", "-y"], ["--minutes", "inf"]])
def test_what_contradicts_itself_is_a_misuse(painting, arguments):
    assert isinstance(call("train", painting, *arguments).exception, Misuse)


@pytest.fixture
def fitted(painting, tmp_path, monkeypatch):
    """A cache that holds the style after the painting, as if it had been fitted at full length."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = fit_style(painting, "fast", settings=TrainingSettings(steps=1, crop=64, batch=2))
    kept = cached_preset(painting, "fast")
    shutil.move(made.parent, kept.parent)
    return kept


def test_a_film_is_painted_after_any_painting(painting, film, fitted, tmp_path, probe):
    output = tmp_path / "out.mp4"
    done = call("style", film, output, "--style-image", painting, "--quality", "fast", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["frames"] == 25
    assert (said["preset"], said["style_image"]) == (str(fitted), str(painting))
    assert probe(output)["streams"][0]["codec_type"] == "video"
    assert "learning" not in done.stderr


def test_what_stops_the_film_is_said_before_the_fit(painting, film, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there = tmp_path / "there.mp4"
    there.write_bytes(b"kept")
    for source, target, message in ((film, there, "exists"), (tmp_path / "no.mp4", tmp_path / "x.mp4", "no such file")):
        failed = call("style", source, target, "--style-image", painting)
        assert isinstance(failed.exception, StreamfxError)
        assert message in str(failed.exception)
    failed = call("style", film, tmp_path / "x.mp4", "--style-image", tmp_path / "none.jpg")
    assert "cannot read" in str(failed.exception)
    assert not (tmp_path / "cache").exists()
    assert there.read_bytes() == b"kept"


def test_a_painting_and_a_preset_together_are_a_misuse(painting, film, tmp_path):
    failed = call("style", film, tmp_path / "x.mp4", "--style-image", painting, "--preset", "munch")
    assert isinstance(failed.exception, Misuse)
