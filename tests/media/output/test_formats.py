"""Which container a target becomes."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.media.output.formats import ENDINGS, FORMATS, format_of


@pytest.mark.parametrize(
    ("target", "asked", "muxer"),
    [
        ("a.mp4", None, "mp4"),
        ("A.MP4", None, "mp4"),
        ("a.tar.mkv", None, "matroska"),
        ("-", None, "nut"),
        ("-", "fmp4", "mp4"),
        ("-", "ts", "mpegts"),
        ("-", "mkv", "matroska"),
        ("a.bin", "webm", "webm"),
        ("udp://127.0.0.1:1", None, "mpegts"),
        ("rtmp://host/live", None, "flv"),
        ("http://host/x", "mpegts", "mpegts"),
        ("a.png", None, "image2"),
        ("a%04d.jpg", None, "image2"),
    ],
)
def test_format_of(target, asked, muxer):
    assert format_of(target, asked).muxer == muxer


def test_a_picture_and_many():
    assert format_of("a.png", None).one_picture
    assert not format_of("a%d.png", None).one_picture
    assert format_of("5%.png", None).one_picture


@pytest.mark.parametrize("target", ["a", "a.doc", "http://host/x"])
def test_targets_that_say_nothing(target):
    with pytest.raises(StreamfxError, match="cannot tell the format"):
        format_of(target, None)


def test_a_near_name_is_offered():
    with pytest.raises(StreamfxError, match=r"did you mean .*webm"):
        format_of("a.bin", "wepm")


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if not form.pipe])
def test_what_a_pipe_cannot_take(name):
    with pytest.raises(StreamfxError, match="cannot be written to a pipe"):
        format_of("-", name)


def test_every_ending_has_its_format():
    assert set(ENDINGS.values()) <= FORMATS.keys()
