"""`streamfx explore`: the page, its images and commands, and how it is continued or started over."""

import json
import os
import shlex
import signal
import threading
import time
from fractions import Fraction
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamfx.cli.explore import QUALITY, SETTINGS, THUMBNAIL, Gallery, _addresses, _channels, _first_frame, _prepare
from streamfx.effects.dream import Dream
from streamfx.errors import Misuse, StreamfxError
from streamfx.frame import Frame

QUICK = ["--octaves", "1", "--steps", "1"]


@pytest.fixture
def explore(command, tmp_path_factory, monkeypatch):
    """explore(image, *options): the command with the smallest network; its folder is `page` in `home`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "explore-cache"))  # compiled networks

    def explore(image, *options):
        return command("explore", image, "page", "--model", "lite0", *QUICK, *options)

    explore.home = command.home
    return explore


def stems(folder):
    return {file.stem for file in folder.iterdir()}


def modification_times(folder):
    return {file.stem: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_explore_makes_a_page_and_continues_it(explore, noise):
    arguments = ["--layers", "block2,block3", "--channels", "0:2"]
    done = explore(noise, *arguments)
    assert (done.returncode, done.stderr) == (0, "streamfx: open page/index.html\n")
    home = explore.home / "page"
    page = (home / "index.html").read_text()
    assert stems(home / "pictures") == {"block2", "block2_0", "block2_1", "block3", "block3_0", "block3_1"}
    assert stems(home / "thumbnails") == stems(home / "pictures")
    assert {file.name for file in (home / "sheets").iterdir()} == {"block2.png", "block3.png"}
    assert all(f'href="pictures/{name}.jpg"' in page for name in stems(home / "pictures"))
    line = "streamfx dream --start {} out.png --size 96x72 --model lite0 --layer block3:1 --octaves 1 --steps 1"
    assert line.format(noise) in page
    before = modification_times(home / "pictures")
    (home / "thumbnails" / "block3_1.jpg").unlink()
    assert explore(noise, *arguments).returncode == 0
    after = modification_times(home / "pictures")
    assert [name for name in after if after[name] != before[name]] == ["block3_1"]
    other = explore(noise, *arguments, "--steps", "2")
    assert (other.returncode, other.stderr.count("\n")) == (1, 1)
    assert "'page' has different settings (steps); give another folder, or -y to start over" in other.stderr
    assert explore(noise, *arguments[:2], "-y", "--steps", "2").returncode == 0
    assert stems(home / "pictures") == {"block2", "block3"}
    assert json.loads((home / SETTINGS).read_text())["steps"] == 2


def test_the_command_of_an_image_makes_that_image(explore, command, noise):
    explore(noise, "--layers", "block2", "--steps", "2", "--width", "64")
    page = (command.home / "page" / "index.html").read_text()
    words = shlex.split(unescape(page.partition("<code>streamfx ")[2].partition("</code>")[0]))
    assert command(*words).returncode == 0
    Image.open(command.home / "out.png").convert("RGB").save(command.home / "out.jpg", quality=QUALITY)
    image, shown = (
        np.asarray(Image.open(command.home / file), float) for file in ("out.jpg", "page/pictures/block2.jpg")
    )
    assert image.shape == shown.shape == (48, 64, 3)
    assert np.abs(image - shown).mean() < 1


def test_more_layers_are_added_to_a_page(explore, noise):
    for layers in ("block1", "block2"):
        assert explore(noise, "--layers", layers, "-q").stderr == ""
    assert stems(explore.home / "page" / "pictures") == {"block1", "block2"}
    page = (explore.home / "page" / "index.html").read_text()
    assert "pictures/block2.jpg" in page
    assert "pictures/block1.jpg" not in page  # the page has the layers of this command


def test_an_interrupted_page_has_the_finished_images(explore, noise):
    def interrupt():
        while not (explore.home / "page" / "thumbnails" / "block1.jpg").is_file():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    done = explore(noise, "--layers", "block1,block2", "--channels", "0:40")
    thread.join()
    assert (done.returncode, done.stderr) == (130, "streamfx: interrupted: repeat the command to continue\n")
    finished = stems(explore.home / "page" / "thumbnails")
    assert 1 <= len(finished) < 82
    page = (explore.home / "page" / "index.html").read_text()
    assert f"{len(finished)} images, 96x72" in page
    assert all(f'href="pictures/{name}.jpg"' in page for name in finished)


@pytest.mark.parametrize(
    ("image", "options", "code", "message"),
    [
        ("in.png", ["--channels", "3"], 2, "'3' is not a range of channels; give FROM:TO, such as 0:64"),
        ("in.png", ["--layers", "blok1"], 1, "unknown layer of lite0 'blok1'; did you mean block1"),
        ("in.png", ["--layers", "block1,mixed4c"], 1, "unknown layer of lite0 'mixed4c'"),
        ("in.png", ["--model", "auto", "--layers", "mixed4c"], 1, "streamfx models fetch inceptionv1"),
        ("in.png", ["--model", "lite7", "--layers", "block1"], 1, "unknown model 'lite7'"),
        ("in.png", ["--weights", "x.pth", "--layers", "block1"], 1, "lite0 has built-in weights"),
        ("none.png", ["--layers", "block1"], 1, "no such file: 'none.png'"),
        ("in.png", ["--layers", "block1", "--max-pixels", "9"], 1, "96x72 pixels, but the limit is 3x3"),
        ("in.png", ["--layers", "block1", "--device", "gpu"], 1, "unknown device 'gpu'"),
    ],
)
def test_errors_are_one_line(image, options, code, message, explore, noise):
    (explore.home / "in.png").write_bytes(noise.read_bytes())
    done = explore(image, *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert message in done.stderr


def test_folders_that_cannot_be_written_are_errors(explore, noise):
    (explore.home / "page").write_text("a file")
    done = explore(noise, "--layers", "block1")
    assert (done.returncode, done.stderr) == (1, "streamfx: cannot write to 'page' (Not a directory)\n")


# --- parts


@pytest.fixture
def prepare(tmp_path):
    """prepare(image, overwrite, **settings): prepare a folder for images of this color and these settings."""

    def prepare(image=0.5, overwrite=False, **settings):
        dream = Dream(model="lite0", coherence="off", **settings)
        gallery = Gallery(tmp_path / "page", "in.png", (8, 8), dream)
        _prepare(gallery, Frame(torch.full((3, 8, 8), image), Fraction(0), Fraction(1)), overwrite)
        return gallery

    return prepare


@pytest.mark.parametrize(
    ("name", "value"),
    [("image", 0.7), ("octaves", 2), ("steps", 2), ("strength", 0.5), ("seed", 1), ("colors", "free")],
)
def test_images_of_other_settings_are_not_mixed(name, value, prepare):
    gallery = prepare()
    gallery.thumbnail("block1").touch()
    prepare()  # the same settings: the page is continued
    with pytest.raises(StreamfxError, match=rf"page' has different settings \({name}\); give another folder, or -y"):
        prepare(**{name: value})
    assert gallery.thumbnail("block1").exists()
    prepare(overwrite=True, **{name: value})
    assert not gallery.thumbnail("block1").exists()
    prepare(**{name: value})


def test_images_of_an_older_version_are_not_mixed(prepare):
    file = prepare().folder / SETTINGS
    older = json.loads(file.read_text())
    del older["colors"]
    file.write_text(json.dumps(older))
    with pytest.raises(StreamfxError, match="different settings"):
        prepare()


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '"x"', "{} {}", pytest.param("[" * 10**5, id="deep"), "\x00"])
def test_damaged_settings_count_as_different(text, prepare):
    file = prepare().folder / SETTINGS
    file.write_text(text)
    with pytest.raises(StreamfxError, match=r"different settings \(settings\)"):
        prepare()
    prepare(overwrite=True)
    assert json.loads(file.read_text())["model"] == "lite0"


@given(st.integers(0, 999_999), st.integers(0, 999_999))
def test_channel_ranges(first, end):
    if first < end:
        assert _channels(f"{first}:{end}") == _channels(f" {first}:{end} ") == range(first, end)
        return
    with pytest.raises(Misuse, match="is not a range of channels"):
        _channels(f"{first}:{end}")


@pytest.mark.parametrize("text", ["3", "5:2", "0:0", "a:b", "-1:3", "0:", ":5", "1:2:3", "0:1000000", " ", "٠:٣"])
def test_texts_that_are_no_channel_range(text):
    with pytest.raises(Misuse, match="is not a range of channels"):
        _channels(text)


def test_channels_that_a_layer_lacks_are_left_out():
    assert _channels("") is None
    assert _addresses("block1", 24, None) == ["block1"]
    assert _addresses("block1", 24, range(22, 30)) == ["block1", "block1:22", "block1:23"]
    assert _addresses("block1", 24, range(24, 30)) == ["block1"]
    assert _addresses("mixed4c", None, range(2)) == ["mixed4c", "mixed4c:0", "mixed4c:1"]  # the number is unknown


def test_commands_have_all_settings_that_differ_from_the_defaults():
    def command(source="in.png", **settings):
        dream = Dream(model="lite0", octaves=4, steps=10, coherence="off", **settings)
        return Gallery(Path("page"), source, (64, 48), dream).command("block1:3")

    basic = "streamfx dream --start in.png out.png --size 64x48 --model lite0 --layer block1:3 --octaves 4 --steps 10"
    assert command() == basic
    settings = {"weights": "my weights.pth", "strength": 0.5, "colors": "free", "seed": 7}
    assert command(**settings) == f"{basic} --weights 'my weights.pth' --strength 0.5 --colors free --seed 7"
    assert shlex.split(command("it's a photo.png"))[3] == "it's a photo.png"


def test_files_of_layers_with_punctuation():
    gallery = Gallery(Path("page"), "in.png", (64, 48), Dream())
    assert gallery.image_file("features.28:3") == Path("page/pictures/features.28_3.jpg")
    assert gallery.thumbnail("../x:3") == Path("page/thumbnails/.._x_3.jpg")
    assert gallery.sheet("layer1/conv") == Path("page/sheets/layer1_conv.png")


@pytest.mark.parametrize(
    ("size", "width", "scaled"),
    [((96, 72), 64, (64, 48)), ((96, 72), 640, (96, 72)), ((96, 72), 96, (96, 72)), ((400, 2), 100, (100, 1))],
)
def test_the_image_is_scaled_down_to_the_width(size, width, scaled, tmp_path):
    Image.new("RGB", size).save(tmp_path / "image.png")
    assert tuple(_first_frame(str(tmp_path / "image.png"), width).image.shape) == (3, scaled[1], scaled[0])


def test_the_first_frame_of_a_video_is_used(video, rgb):
    image = _first_frame(str(video), 640).image.permute(1, 2, 0).numpy() * 255
    differences = [np.abs(image - frame).mean() for frame in rgb(video)]
    assert np.argmin(differences) == 0


def test_thumbnails_are_small(explore, ffmpeg, moving):
    ffmpeg(*moving("800x400"), "-frames:v", "1", explore.home / "large.png")
    assert explore("large.png", "--layers", "stem").returncode == 0
    folder = explore.home / "page"
    with Image.open(folder / "pictures" / "stem.jpg") as image, Image.open(folder / "thumbnails" / "stem.jpg") as small:
        assert (image.size, small.size) == ((640, 320), (THUMBNAIL, THUMBNAIL // 2))
    assert f'width="{THUMBNAIL}" height="{THUMBNAIL // 2}"' in (folder / "index.html").read_text()
