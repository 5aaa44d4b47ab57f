"""`streamfx demo`."""

import json
import subprocess

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from streamfx.cli.demo import demo, make_source
from streamfx.errors import StreamfxError

app = typer.Typer()
app.command()(demo)
SMALL = ["--size", "160x90", "--seconds", "0.4"]


def streams(film):
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", "stream=codec_name,nb_frames,width,duration"]
    return json.loads(subprocess.run([*command, film], check=True, stdout=subprocess.PIPE).stdout)["streams"]


def frames(film, height, width):
    command = ["ffmpeg", "-v", "error", "-i", film, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3).astype(int)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    result = CliRunner().invoke(app, [str(folder / "out.mp4"), *SMALL])
    assert result.exit_code == 0, result.output
    assert "out.mp4" in result.stdout
    assert "out-source.mp4" in result.stdout
    return folder / "out-source.mp4", folder / "out.mp4"


def test_makes_a_painted_film_and_its_source_with_sound(films):
    for film in films:
        picture, sound = streams(film)
        assert (picture["codec_name"], picture["width"], picture["nb_frames"]) == ("h264", 160, "10")
        assert sound["codec_name"] == "aac"
        assert abs(float(sound["duration"]) - 0.4) < 0.05


def test_the_painting_differs_from_its_source(films):
    source, painted = (frames(film, 90, 160) for film in films)
    assert np.abs(source - painted).mean() > 10
    assert painted.std() > 20


def test_the_source_shows_all_photographs_and_can_be_heard(tmp_path):
    film = tmp_path / "source.mp4"
    make_source(film, 160, 90, 2.0)
    shown = frames(film, 90, 160)
    assert len(shown) == 50
    assert np.abs(shown[0] - shown[49]).mean() > 30
    assert np.abs(shown[0] - shown[20]).mean() > 5  # the camera moves
    steps = np.abs(np.diff(shown, axis=0)).mean((1, 2, 3))
    assert steps.min() > 0  # the camera never stands still
    assert steps.max() < 40  # and nothing jumps
    command = ["ffmpeg", "-v", "error", "-i", film, "-f", "s16le", "-ac", "1", "-"]
    sound = np.frombuffer(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, np.int16)
    assert 3000 < np.abs(sound).max() < 32767


def test_is_not_made_over_what_exists(films):
    before = [film.read_bytes() for film in films]
    result = CliRunner().invoke(app, [str(films[1]), *SMALL])
    assert isinstance(result.exception, StreamfxError)
    assert "-y" in str(result.exception)
    assert [film.read_bytes() for film in films] == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--preset", "vangog"], "did you mean vangogh"),
        (["--size", "2x2"], "at least 16x16"),
        (["--size", "x"], "size"),
    ],
)
def test_mistakes_are_told_before_the_work(tmp_path, options, reason):
    result = CliRunner().invoke(app, [str(tmp_path / "out.mp4"), *options])
    assert isinstance(result.exception, StreamfxError)
    assert reason in str(result.exception)
    assert not list(tmp_path.iterdir())
