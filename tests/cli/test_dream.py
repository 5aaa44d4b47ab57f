"""`streamfx dream` on images and videos: outputs, messages and errors."""

import json

import numpy as np
import pytest
from PIL import Image

QUICK = ("--layer", "block3", "--octaves", "1", "--steps", "1")


def test_an_image_and_a_suggestion_that_is_printed_once(streamfx, noise, empty_cache):
    done = streamfx("dream", "--start", noise, "out.png", *QUICK, "--json", env=empty_cache)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["model"], report["layer"], report["frames"]) == ("lite0", "block3", 1)
    assert "dreaming with lite0 at block3" in done.stderr
    assert "streamfx models fetch inceptionv1" in done.stderr
    image, source = (np.asarray(Image.open(file).convert("RGB"), int) for file in (streamfx.home / "out.png", noise))
    assert image.shape == source.shape
    assert np.abs(image - source).mean() > 2
    again = streamfx("dream", "--start", noise, "again.png", *QUICK, env=empty_cache)
    assert "fetch" not in again.stderr
    assert (streamfx.home / "again.png").read_bytes() == (streamfx.home / "out.png").read_bytes()


def test_a_video_keeps_its_audio_and_has_the_settings_in_a_comment(streamfx, video, probe, empty_cache):
    done = streamfx("dream", video, "out.mkv", *QUICK, "--duration", "0.2", "-q", env=empty_cache)
    assert (done.returncode, done.stderr) == (0, "")
    info = probe(streamfx.home / "out.mkv")
    assert [stream["codec_type"] for stream in info["streams"]] == ["video", "audio"]
    tags = {key.lower(): value for key, value in info["format"]["tags"].items()}
    assert any("dream=layer=block3:model=lite0" in value for value in tags.values()), tags


def test_a_chain_has_the_model_in_the_comment(command, video, probe):
    chain = "dream=octaves=1:steps=1"
    done = command("run", video, "out.mkv", "--chain", chain, "--duration", "0.1")
    assert done.returncode == 0, done.stderr
    tags = probe(command.home / "out.mkv")["format"]["tags"].values()
    assert any("layer=block10:model=lite0" in value for value in tags)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
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
def test_errors_are_one_line_and_leave_nothing(arguments, code, message, command, video):
    words = [video if word == "in.mp4" and len(arguments) > 1 else word for word in arguments]
    done = command("dream", *words)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert [line for line in done.stderr.splitlines() if "dreaming with" not in line][1:] == []
    assert list(command.home.iterdir()) == []
