"""`streamfx render`: videos from timelines, previews, sections, dry runs, and errors."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

TEXT = """kind = "timeline"
size = [64, 48]
fps = 10
[pictures]
begin = "begin.png"
[defaults]
octaves = 1
layer = "block1"
[[section]]
name = "one"
start = "begin"
to = 6
zoom = "1 + t/100"
[[section]]
name = "two"
direction = "backward"
start = "begin"
length = "0.6s"
[[section]]
name = "end"
kind = "still"
picture = "begin"
length = 2
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a timeline, and one with its image."""
    (tmp_path / "video.toml").write_text(TEXT)
    (tmp_path / "assets").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).resize((80, 60)).save(tmp_path / "assets" / "begin.png")
    return tmp_path


@pytest.fixture
def render(command, folder):
    """render(...): the command on the timeline with its folder of images."""

    def render(*options, name="video.toml"):
        return command("render", folder / name, "out.mkv", "--assets", folder / "assets", *options)

    render.home = command.home
    return render


def test_a_video_with_its_audio_and_nothing_else(render, probe, clip, tone):
    soundtrack = clip("long.mp3", *tone("1.5"), "-c:a", "libmp3lame")
    done = render("--audio", soundtrack, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["frames"], report["work"], report["model"]) == (14, 20, "lite0")
    assert [path.name for path in render.home.iterdir()] == ["out.mkv"]
    video, audio = probe(render.home / "out.mkv")["streams"]
    assert (video["width"], video["height"], video["avg_frame_rate"]) == (64, 48, "10/1")
    assert audio["codec_name"] == "mp3"
    assert "render video.toml" in probe(render.home / "out.mkv")["format"]["tags"]["COMMENT"]
    again = render()
    assert (again.returncode, "give -y to overwrite" in again.stderr) == (1, True)


def test_a_section_has_its_part_of_the_audio(render, probe, clip, tone):
    soundtrack = clip("long.mp3", *tone("1.5"), "-c:a", "libmp3lame")
    done = render("--audio", soundtrack, "--section", "two", "--size", "96x64", "-q")
    assert done.returncode == 0, done.stderr
    info = probe(render.home / "out.mkv", "-show_packets", "-show_streams")
    assert (info["streams"][0]["width"], info["streams"][0]["height"]) == (96, 64)
    kinds = [packet["codec_type"] for packet in info["packets"]]
    assert kinds.count("video") == 6
    assert kinds.count("audio") == pytest.approx(0.6 * 48000 / 1152, abs=2)


def test_a_preview_is_small_and_says_so(render, folder, probe):
    (folder / "video.toml").write_text(TEXT.replace("[64, 48]", "[256, 192]").replace("fps = 10", "fps = 20"))
    done = render("--preview")
    assert done.returncode == 0, done.stderr
    assert "every 4th frame" in done.stderr
    video = probe(render.home / "out.mkv")["streams"][0]
    assert (video["width"], video["height"], video["avg_frame_rate"]) == (64, 48, "5/1")


def test_a_dry_run_shows_sections_and_schedules(render, folder):
    done = render("--dry-run", "--plot", "plan.png")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[1] == ["one", "dream", "0..5", "6", "0"]
    assert lines[2] == ["two", "dream", "6..11", "6", "6"]
    assert lines[3] == ["end", "still", "12..13", "2", "0"]
    assert lines[4][:4] == ["frame", "time", "zoom", "angle"]
    assert lines[10][:3] == ["5", "0:00.50", "1.05"]
    assert [path.name for path in render.home.iterdir()] == ["plan.png"]


def test_shipped_timelines_have_names(command):
    done = command("render", "tabea", "out.mp4", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "backwards" in done.stdout
    missing = command("render", "tabea", "out.mp4", "-q")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "pictures.guide_a: no file" in missing.stderr
    assert "--assets" in missing.stderr
    other = command("render", "tabbea", "out.mp4")
    assert "tabea" in other.stderr
    assert list(command.home.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--section", "too"], 1, "did you mean two"),
        (["--fps", "3"], 2, "10 divided by a whole number"),
        (["--size", "64:-2"], 2, "no aspect ratio to keep"),
        (["--size", "16x16"], 1, "too small"),
        (["--from", "3"], 2, "--section renders a part"),
        (["--model", "lite7"], 1, "lite7"),
        (["--loop"], 1, "'end' cannot be looped"),
        (["--audio", "none.mp3"], 1, "no such file: 'none.mp3'"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(options, code, message, render):
    done = render(*options)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert list(render.home.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("begin.png", "../video.toml", "line 5, pictures.begin: '../video.toml' is outside"),
        ("begin.png", "http://localhost/x.png", "--allow-network"),
        ("begin.png", "none.png", "no file 'none.png'"),
        ('layer = "block1"', 'layer = "blok1"', "line 8, defaults.layer"),
        ('zoom = "1 + t/100"', 'zoom = "1 + tt"', "line 13, section[1].zoom: zoom, character 5"),
        ('zoom = "1 + t/100"', "__import__ = 3", "line 13, section[1].__import__: unknown key"),
        ('zoom = "1 + t/100"', "zoom = \"open('x')\"", "section[1].zoom"),
    ],
)
def test_errors_in_the_file_have_a_line_and_a_key(old, new, message, render, folder):
    shutil.rmtree(folder / "inner", ignore_errors=True)
    (folder / "inner").mkdir()
    (folder / "inner" / "video.toml").write_text(TEXT.replace(old, new, 1))
    done = render(name="inner/video.toml")
    assert done.returncode == 1
    assert message in done.stderr
    assert [line for line in done.stderr.splitlines() if "dreaming with" not in line][1:] == []
    assert list(render.home.iterdir()) == []
