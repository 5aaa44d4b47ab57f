"""`streamfx style --style-image`: the preset from the cache, and what is checked before the training."""

import io
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from streamfx.cli._options import VideoOptions
from streamfx.cli._style_image import _check_output, fitted_preset
from streamfx.cli.style import style
from streamfx.errors import Misuse, StreamfxError
from streamfx.presets import TrainingSettings
from streamfx.styletransfer.training.finetune import cached_preset, fit_style

app = typer.Typer()
app.command()(style)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache folder of a user, which does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cached(painting, cache):
    """The preset file of the painting in the cache, trained for one step."""
    trained = fit_style(painting, "fast", settings=TrainingSettings(steps=1, crop=64, batch=2))
    preset = cached_preset(painting, "fast")  # under the default settings
    shutil.move(trained.parent, preset.parent)
    return preset


def run_style(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_cached_preset_is_used(painting, video, cached, tmp_path, probe, capsys):
    output = tmp_path / "out.mp4"
    done = run_style(video, output, "--style-image", painting, "--quality", "fast", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["frames"] == 25
    assert (report["preset"], report["style_image"]) == (str(cached), str(painting))
    assert probe(output)["streams"][0]["codec_type"] == "video"
    assert "training" not in done.stderr
    options = VideoOptions(progress=True)
    assert fitted_preset(painting, "fast", str(video), str(tmp_path / "two.mp4"), options) == str(cached)
    assert not (tmp_path / "two.mp4").exists()
    assert "takes about" not in capsys.readouterr().err


def test_errors_of_input_and_output_are_raised_before_training(painting, video, tmp_path, cache):
    existing = tmp_path / "existing.mp4"
    existing.write_bytes(b"kept")
    missing, output = tmp_path / "missing.mp4", tmp_path / "out.mp4"
    for source, target, message in ((video, existing, "exists"), (missing, output, "no such file")):
        failed = run_style(source, target, "--style-image", painting)
        assert isinstance(failed.exception, StreamfxError)
        assert message in str(failed.exception)
    failed = run_style(video, output, "--style-image", tmp_path / "none.jpg")
    assert "cannot read" in str(failed.exception)
    failed = run_style(video, output, "--style-image", painting, "--device", "gpu")
    assert "unknown device 'gpu'" in str(failed.exception)
    assert not cache.exists()
    assert existing.read_bytes() == b"kept"


def test_a_preset_with_a_style_of_its_own_takes_no_style_image(painting, video, tmp_path):
    failed = run_style(video, tmp_path / "x.mp4", "--style-image", painting, "--preset", "munch")
    assert "the preset munch has a style of its own; give --style-image alone" in str(failed.exception)
    failed = run_style(video, tmp_path / "x.mp4", "--style-image", painting, "--preset", "munch,monet")
    assert isinstance(failed.exception, Misuse)


def test_an_interrupted_training_leaves_nothing(painting, video, tmp_path, cache, caplog, monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)

    def interrupt():
        while "takes about" not in stderr.getvalue():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(typer.Exit) as end:
        fitted_preset(painting, "fast", str(video), str(tmp_path / "out.mp4"), VideoOptions(device="cpu"))
    thread.join()
    assert end.value.exit_code == 130
    assert stderr.getvalue() == f"training on {painting}: takes about three minutes, once\n"
    assert caplog.messages == [f"interrupted: the training on {painting} was not saved"]
    assert [path.name for path in cache.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "out.mp4").exists()


# --- checks before the training


def test_the_check_writes_nothing_and_repeats_no_warnings(video, tmp_path, caplog):
    _check_output(str(video), str(tmp_path / "out.gif"), VideoOptions())  # gif has no audio
    assert (caplog.messages, list(tmp_path.iterdir())) == ([], [])
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("out.xyz", {}, "cannot tell the format of 'out.xyz'"),
        ("nowhere/out.mp4", {}, "folder 'nowhere' not found"),
        ("kept.mp4", {}, "'kept.mp4' exists; give -y"),
        ("out.mp4", {"format": "matroshka"}, "unknown format 'matroshka'"),
    ],
)
def test_outputs_that_cannot_be_written_are_errors(target, options, message, video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("kept.mp4").touch()
    with pytest.raises(StreamfxError, match=message):
        _check_output(str(video), target, VideoOptions(**options))
    assert logging.root.manager.disable == logging.NOTSET


def test_the_options_of_the_output_count(video, tmp_path):
    (tmp_path / "out").touch()
    _check_output(str(video), str(tmp_path / "out"), VideoOptions(format="mp4", yes=True))


@pytest.mark.parametrize("source", ["-", "http://localhost:1/video.mp4", "fifo"])
def test_sources_that_can_be_opened_only_once_are_not_opened(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    _check_output(source, "out.mp4", VideoOptions())
    _check_output("none.mp4", "out.mp4", VideoOptions(input_format="v4l2"))
