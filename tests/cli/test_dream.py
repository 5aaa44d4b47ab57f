"""`streamfx dream`: pictures, films, what it tells, its mistakes."""

import json

import numpy as np
import pytest
from PIL import Image

from streamfx.cli.explore import QUALITY

QUICK = ("--layer", "block3", "--octaves", "1", "--steps", "1")


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    file = tmp_path_factory.mktemp("photo") / "photo.png"
    chance = np.random.default_rng(1)
    Image.fromarray(chance.integers(0, 255, (9, 12, 3), np.uint8)).resize((96, 72)).save(file)
    return file


@pytest.fixture
def here(tmp_path):
    """The environment of somebody with an empty cache."""
    return {"env": {"XDG_CACHE_HOME": str(tmp_path / "cache")}}


def test_a_picture_and_what_is_told_once(streamfx, small, here):
    done = streamfx("dream", "--start", small, "out.png", *QUICK, "--json", **here)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["model"], said["layer"], said["frames"]) == ("lite0", "block3", 1)
    assert "dreaming with lite0 at block3" in done.stderr
    assert "streamfx models fetch inceptionv1" in done.stderr
    made, source = (np.asarray(Image.open(file).convert("RGB"), int) for file in (streamfx.home / "out.png", small))
    assert made.shape == source.shape
    assert np.abs(made - source).mean() > 2
    again = streamfx("dream", "--start", small, "again.png", *QUICK, **here)
    assert "fetch" not in again.stderr
    assert (streamfx.home / "again.png").read_bytes() == (streamfx.home / "out.png").read_bytes()


def test_a_film_keeps_its_sound_and_tells_its_settings(streamfx, video, probe, here):
    done = streamfx("dream", video, "out.mkv", *QUICK, "--duration", "0.2", "-q", **here)
    assert (done.returncode, done.stderr) == (0, "")
    said = probe(streamfx.home / "out.mkv")
    assert [stream["codec_type"] for stream in said["streams"]] == ["video", "audio"]
    tags = {key.lower(): value for key, value in said["format"]["tags"].items()}
    assert any("dream=layer=block3:model=lite0" in value for value in tags.values()), tags


def test_a_chain_tells_the_model_too(command, video, probe):
    chain = "dream=octaves=1:steps=1"
    done = command("run", video, "out.mkv", "--chain", chain, "--duration", "0.1")
    assert done.returncode == 0, done.stderr
    tags = probe(command.home / "out.mkv")["format"]["tags"].values()
    assert any("layer=block10:model=lite0" in value for value in tags)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["in.mp4"], 2, "give an input and an output"),
        (["a.png", "b.png", "--start", "c.png"], 2, "with --start, give only the image or video to write"),
        (["out.mp4", "--start", "c.png"], 1, "no such file: 'c.png'"),
        (["out.mp4", "--start", "c.png", "--audio", "none.mp3"], 1, "no such file: 'none.mp3'"),
        (["out.mp4", "--start", "c.png", "--zoom", "1+beat"], 1, "'beat' needs audio; give a file with --audio"),
        (["out.mp4", "--start", "c.png", "--size", "640:-2"], 2, "give both sides in --size"),
        (["out.mp4", "--start", "c.png", "--from", "3"], 2, "--from needs a source video"),
        (["out.mp4", "--start", "c.png", "--mask", "m.png"], 2, "--mask needs a source image or video"),
        (["out.mp4", "--start", "in.mp4", "--palette", "none.jpg", "--duration", "0.1"], 1, "no such file: 'none.jpg'"),
        (["out.mp4", "--start", "c.png", "--look", "corals"], 1, "unknown look 'corals'; did you mean coral"),
        (["in.mp4", "out.mp4", "--audio", "a.mp3"], 2, "--audio needs a video made from an image"),
        (["in.mp4", "out.mp4", "--step", "0.01*beat"], 2, "must be a number from 0 to 1"),
        (["in.mp4", "out.mp4", "--layer", "blck10"], 1, "did you mean block10"),
        (["in.mp4", "out.mp4", "--layer", "mixed4c"], 1, "streamfx models fetch inceptionv1"),
        (["in.mp4", "out.mp4", "--layer", "block10:999"], 1, "has channels 0 to 111"),
        (["in.mp4", "out.mp4", "--model", "lite0", "--weights", "x"], 1, "has built-in weights"),
        (["none.mp4", "out.mp4", *QUICK, "--model", "lite0"], 1, "no such file: 'none.mp4'"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(arguments, code, words, command, video):
    given = [str(video) if each == "in.mp4" and len(arguments) > 1 else each for each in arguments]
    done = command("dream", *given)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert [line for line in done.stderr.splitlines() if "dreaming with" not in line][1:] == []
    assert list(command.home.iterdir()) == []


@pytest.fixture(scope="session")
def song(clip, tone):
    return clip(
        "song.mp3", *tone("1.5"), "-af", "volume='if(lt(mod(t,0.5),0.1),1,0.05)':eval=frame", "-c:a", "libmp3lame"
    )


TINY = ("--size", "64x48", "--fps", "8", "--layer", "block2", "--octaves", "1")


def test_a_film_from_one_picture_is_as_long_as_its_song(streamfx, small, song, probe, hashes, here):
    done = streamfx(
        "dream", "--start", small, "--audio", song, "out.mp4", *TINY, "--zoom", "1+beat/50", "--json", **here
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 12
    pictures, sound = probe(streamfx.home / "out.mp4")["streams"]
    assert (pictures["width"], pictures["height"], pictures["avg_frame_rate"]) == (64, 48, "8/1")
    assert float(pictures["duration"]) == 1.5
    assert float(sound["duration"]) == pytest.approx(1.5, abs=0.06)
    assert hashes(streamfx.home / "out.mp4", "a") == hashes(song, "a")
    assert "zoom='1+beat/50'" in probe(streamfx.home / "out.mp4")["format"]["tags"]["comment"]


def test_duration_cuts_the_song_and_no_song_is_needed(streamfx, small, song, probe, here):
    asked = ["dream", "--start", small, "out.mp4", *TINY, "--duration", "0.5"]
    assert streamfx(*asked, "--audio", song, **here).returncode == 0
    kinds = {each["codec_type"]: float(each["duration"]) for each in probe(streamfx.home / "out.mp4")["streams"]}
    assert kinds == pytest.approx({"video": 0.5, "audio": 0.5}, abs=0.06)
    again = streamfx(*asked, **here)
    assert (again.returncode, "give -y to overwrite" in again.stderr) == (1, True)
    assert streamfx(*asked, "-y", **here).returncode == 0
    assert [each["codec_type"] for each in probe(streamfx.home / "out.mp4")["streams"]] == ["video"]


def test_a_dry_run_shows_what_the_schedules_come_to(streamfx, song, here):
    asked = ["--zoom", "0:(1), 4:(2)", "--shift-x", "t", "--plot", "plan.png", "--dry-run"]
    done = streamfx("dream", "--start", "none.png", "--audio", song, "out.mp4", *TINY, *asked, **here)
    assert done.returncode == 0, done.stderr
    heading, *rows = done.stdout.decode().splitlines()
    assert heading.split() == ["frame", "time", "zoom", "angle", "shift_x", "shift_y", "step", "layer"]
    assert [row.split()[0] for row in rows] == [str(number) for number in range(12)]
    assert [row.split()[2] for row in rows[:5]] == ["1", "1.25", "1.5", "1.75", "2"]
    assert [row.split()[4] for row in rows[:5]] == ["0", "1", "2", "3", "4"]
    assert [file.name for file in streamfx.home.iterdir()] == ["plan.png"]
    with Image.open(streamfx.home / "plan.png") as plan:
        assert plan.width > 1000


def test_models_lists_and_tells_layers(command):
    said = json.loads(command("models", "--json").stdout)
    assert (said["lite0"]["cached"], said["inceptionv1"]["cached"]) == (True, False)
    assert "mixed4a_3x3_bottleneck_pre_relu" in said["inceptionv1"]["layers"]
    assert "inceptionv1" in command("models").stdout
    layers = json.loads(command("models", "layers", "lite0", "--json").stdout)
    assert {"layer": "block10", "channels": 112, "stride": 16} in layers
    assert "block10 (default)" in command("models", "layers", "lite0").stdout
    wrong = command("models", "layers", "lite7")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "is already installed" in command("models", "fetch", "lite0").stderr


def test_explore_makes_a_page_and_goes_on(command, small):
    asked = ["--layers", "block2,block3", "--channels", "0:2", "--octaves", "1", "--steps", "1"]
    done = command("explore", small, "page", *asked)
    assert done.returncode == 0, done.stderr
    home = command.home / "page"
    page = (home / "index.html").read_text()
    names = {"block2", "block2_0", "block2_1", "block3", "block3_0", "block3_1"}
    assert {file.stem for file in (home / "pictures").iterdir()} == names
    assert {file.name for file in (home / "sheets").iterdir()} == {"block2.png", "block3.png"}
    assert all(f'href="pictures/{name}.jpg"' in page for name in names)
    line = "streamfx dream --start {} out.png --size 96x72 --model lite0 --layer block3:1 --octaves 1 --steps 1"
    assert line.format(small) in page
    before = {file: file.stat().st_mtime_ns for file in (home / "pictures").iterdir()}
    (home / "thumbnails" / "block3_1.jpg").unlink()
    assert command("explore", small, "page", *asked).returncode == 0
    after = {file: file.stat().st_mtime_ns for file in (home / "pictures").iterdir()}
    assert [file.stem for file in after if after[file] != before[file]] == ["block3_1"]
    other = command("explore", small, "page", *asked, "--steps", "2")
    assert (other.returncode, "different settings (steps)" in other.stderr) == (1, True)
    assert command("explore", small, "page", *asked[:2], "-y", "--octaves", "1", "--steps", "2").returncode == 0
    assert {file.stem for file in (home / "pictures").iterdir()} == {"block2", "block3"}


def test_the_command_below_a_picture_makes_that_picture(command, small):
    command("explore", small, "page", "--layers", "block2", "--octaves", "1", "--steps", "2", "--width", "64")
    page = (command.home / "page" / "index.html").read_text()
    given = page.partition("<code>streamfx ")[2].partition("</code>")[0].split()
    assert command(*given).returncode == 0
    Image.open(command.home / "out.png").convert("RGB").save(command.home / "out.jpg", quality=QUALITY)
    made, shown = (
        np.asarray(Image.open(command.home / file), float) for file in ("out.jpg", "page/pictures/block2.jpg")
    )
    assert made.shape == shown.shape
    assert np.abs(made - shown).mean() < 1


@pytest.mark.parametrize("wrong", ["3", "5:2", "a:b", "0:0"])
def test_channels_that_are_none(wrong, command, small):
    done = command("explore", small, "page", "--channels", wrong)
    assert (done.returncode, "is not a range of channels" in done.stderr) == (2, True)
