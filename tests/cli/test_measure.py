"""`streamfx measure`."""

import json
import os
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from streamfx.cli import app
from streamfx.cli._options import Misuse
from streamfx.errors import StreamfxError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in."""
    home = tmp_path / "work"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def videos(home, ffmpeg, moving):
    """in.mkv, half a second of a moving test pattern; out.mkv, the same with noise that differs from frame to frame."""
    ffmpeg(*moving(seconds="0.52"), "-c:v", "ffv1", home / "in.mkv")
    ffmpeg("-i", home / "in.mkv", "-vf", "noise=alls=30:allf=t", "-c:v", "ffv1", home / "out.mkv")
    return "in.mkv", "out.mkv"


def report(*arguments):
    """The object that --json prints."""
    result = CliRunner().invoke(app, ["measure", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def error_of(*arguments):
    """The error that the command ends with."""
    error = CliRunner().invoke(app, ["measure", *map(str, arguments)]).exception
    assert isinstance(error, StreamfxError)
    assert "\n" not in str(error)
    return error


def still_flows(folder, number, height=48, width=64):
    folder.mkdir(exist_ok=True)
    for index in range(1, number + 1):
        head = b"PIEH" + np.array([width, height], "<i4").tobytes()
        (folder / f"frame_{index:04d}.flo").write_bytes(head + bytes(8 * height * width))


def test_one_object_has_the_metrics_of_both(videos):
    facts = report(*videos)
    assert facts["frames"] == 13
    assert facts["motion"] == "dis"
    assert facts["processed"]["warp_near"] > 2 * facts["source"]["warp_near"]
    assert facts["processed"]["warp_far"] > facts["source"]["warp_far"]
    assert facts["processed"]["stab"] > facts["source"]["stab"]
    assert facts["processed"]["sharpness"] > facts["source"]["sharpness"] > 0
    assert facts["source"]["drift_last"] == 0
    curves = facts["processed"]["curves"]
    assert {len(curve) for curve in curves.values()} == {13}
    assert curves["warp_near"][0] is curves["warp_far"][9] is None


@pytest.mark.skipif(find_spec("lpips") is not None, reason="LPIPS is installed")
def test_missing_packages_are_listed_with_instructions(videos):
    facts = report(*videos)
    assert facts["processed"]["tlp"] is None
    assert facts["missing"] == [{"what": "tlp", "how": "tLP needs LPIPS, which is not installed: pip install lpips"}]


def test_as_a_table(videos):
    result = CliRunner().invoke(app, ["measure", *videos], catch_exceptions=False)
    for word in ("E_warp, lag 1", "E_warp, lag 10", "e_stab", "tLP", "color drift", "sharpness", "13 frames"):
        assert word in result.stdout


def test_a_plot_is_drawn(videos, home):
    report(*videos, "--plot", "plot.png")
    with Image.open(home / "plot.png") as image:
        assert image.format == "PNG"
        assert image.width == 1000
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20
    assert sorted(os.listdir()) == ["in.mkv", "out.mkv", "plot.png"]


def test_short_clips_are_measured_as_far_as_they_go(home, ffmpeg, moving):
    ffmpeg(*moving(), "-frames:v", "1", home / "one.png")
    facts = report("one.png", "one.png", "--plot", "plot.png")
    assert facts["processed"]["warp_near"] is None
    assert "-" in CliRunner().invoke(app, ["measure", "one.png", "one.png"]).stdout


def test_true_motion(videos, home):
    still_flows(home / "flow", 12)
    facts = report(*videos, "--flow", "flow")
    assert facts["motion"] == "flow; dis at lag 10"
    assert facts["source"]["warp_near"] > 0


def test_from_stdin_by_the_real_command(streamfx, videos, home):
    done = streamfx("measure", "-", home / "out.mkv", "--json", stdin=(home / "in.mkv").read_bytes())
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["frames"] == 13


# --- errors


def test_videos_of_other_lengths_or_sizes_are_errors(videos, home, ffmpeg):
    ffmpeg("-i", "in.mkv", "-frames:v", "7", "-c:v", "ffv1", home / "short.mkv")
    ffmpeg("-i", "in.mkv", "-vf", "scale=32:24", "-c:v", "ffv1", home / "small.mkv")
    assert "'in.mkv' has 13 frames, but 'short.mkv' has 7" in str(error_of("in.mkv", "short.mkv", "--plot", "p.png"))
    assert "'short.mkv' has 7 frames, but 'in.mkv' has 13" in str(error_of("short.mkv", "in.mkv"))
    assert "'in.mkv' is 64x48, but 'small.mkv' is 32x24" in str(error_of("in.mkv", "small.mkv"))
    assert not (home / "p.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["in.mkv", "none.mkv"], "no such file: 'none.mkv'"),
        (["in.mkv", "text.txt"], "text.txt"),
        (["in.mkv", "out.mkv", "--method", "rafd"], "'rafd'"),
        (["in.mkv", "out.mkv", "--device", "gpu"], "unknown device 'gpu'"),
        (["in.mkv", "out.mkv", "--plot", "plot.pdf"], "must end in .png"),
        (["in.mkv", "out.mkv", "--plot", "kept.png"], "'kept.png' exists; give -y"),
        (["in.mkv", "out.mkv", "--plot", "nowhere/plot.png"], "folder 'nowhere' not found"),
        (["kept.png", "out.mkv", "--plot", "kept.png", "-y"], "is one of the inputs"),
        (["in.mkv", "out.mkv", "--flow", "nowhere"], "folder not found: 'nowhere'"),
        (["in.mkv", "out.mkv", "--flow", "empty"], "no .flo files"),
        (["in.mkv", "out.mkv", "--flow", "few"], "3 .flo files, but 'in.mkv' has 13 frames"),
        (["in.mkv", "out.mkv", "--flow", "small"], "8x6 pixels, but the source has 64x48"),
    ],
)
def test_errors_are_one_line_and_change_no_files(home, videos, arguments, words):
    (home / "text.txt").write_text("Once upon a time there was no video.\n" * 50)
    (home / "kept.png").write_bytes(b"kept")
    (home / "empty").mkdir()
    still_flows(home / "few", 3)
    still_flows(home / "small", 12, 6, 8)
    before = sorted(os.listdir())
    assert words in str(error_of(*arguments))
    assert sorted(os.listdir()) == before
    assert (home / "kept.png").read_bytes() == b"kept"


def test_both_from_stdin_is_misuse(home):
    assert isinstance(error_of("-", "-"), Misuse)


def test_a_dream_is_compared_with_its_start_image(videos, ffmpeg, home):
    ffmpeg("-i", "in.mkv", "-frames:v", "1", home / "start.png")
    result = CliRunner().invoke(app, ["measure", "--dream", "start.png", "out.mkv", "--plot", "plot.png"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[:3]] == ["second", "start", "0.0"]
    with Image.open("plot.png") as plot:
        assert plot.width == 1000
    result = CliRunner().invoke(app, ["measure", "--dream", "start.png", "out.mkv", "--json"])
    rows = json.loads(result.stdout)
    assert rows["frames"][0]["palette"] > rows["start"]["palette"] == 0
    assert "cannot be combined" in str(error_of("--dream", "start.png", "out.mkv", "--flow", "flows"))
