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


def streams(video):
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", "stream=codec_name,nb_frames,width,duration"]
    return json.loads(subprocess.run([*command, video], check=True, stdout=subprocess.PIPE).stdout)["streams"]


def frames(video, height, width):
    command = ["ffmpeg", "-v", "error", "-i", video, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3).astype(int)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    result = CliRunner().invoke(app, [str(folder / "out.mp4"), *SMALL])
    assert result.exit_code == 0, result.output
    assert "out.mp4" in result.stdout
    assert "out-source.mp4" in result.stdout
    return folder / "out-source.mp4", folder / "out.mp4"


def test_makes_a_stylized_video_and_its_source_with_audio(videos):
    for video in videos:
        video_stream, audio_stream = streams(video)
        assert (video_stream["codec_name"], video_stream["width"], video_stream["nb_frames"]) == ("h264", 160, "10")
        assert audio_stream["codec_name"] == "aac"
        assert abs(float(audio_stream["duration"]) - 0.4) < 0.05


def test_the_stylized_video_differs_from_its_source(videos):
    source, stylized = (frames(video, 90, 160) for video in videos)
    assert np.abs(source - stylized).mean() > 10
    assert stylized.std() > 20


def test_the_source_shows_all_photos_and_has_audio(tmp_path):
    video = tmp_path / "source.mp4"
    make_source(video, 160, 90, 2.0)
    shown = frames(video, 90, 160)
    assert len(shown) == 50
    assert np.abs(shown[0] - shown[49]).mean() > 30
    assert np.abs(shown[0] - shown[20]).mean() > 5  # the camera moves
    steps = np.abs(np.diff(shown, axis=0)).mean((1, 2, 3))
    assert steps.min() > 0  # the camera never stands still
    assert steps.max() < 40  # and nothing jumps
    command = ["ffmpeg", "-v", "error", "-i", video, "-f", "s16le", "-ac", "1", "-"]
    samples = np.frombuffer(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, np.int16)
    assert 3000 < np.abs(samples).max() < 32767


def test_existing_files_are_not_overwritten(videos):
    before = [video.read_bytes() for video in videos]
    result = CliRunner().invoke(app, [str(videos[1]), *SMALL])
    assert isinstance(result.exception, StreamfxError)
    assert "-y" in str(result.exception)
    assert [video.read_bytes() for video in videos] == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--preset", "vangog"], "did you mean vangogh"),
        (["--size", "2x2"], "at least 16x16"),
        (["--size", "x"], "size"),
    ],
)
def test_errors_are_raised_before_the_work(tmp_path, options, reason):
    result = CliRunner().invoke(app, [str(tmp_path / "out.mp4"), *options])
    assert isinstance(result.exception, StreamfxError)
    assert reason in str(result.exception)
    assert not list(tmp_path.iterdir())
