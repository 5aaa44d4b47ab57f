"""How a target selects its output format."""

import io

import av
import pytest

from streamfx.errors import StreamfxError
from streamfx.media.output.formats import EXTENSIONS, FORMATS, format_of, lists_codec


@pytest.mark.parametrize(
    ("target", "name", "muxer"),
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
        ("a%04d.EXR", None, "image2"),
        ("a%04d.exr", "exr", "image2"),
        ("a%04d.png", "png16", "image2"),
        ("a.mov", "prores", "mov"),
    ],
)
def test_format_of(target, name, muxer):
    assert format_of(target, name).muxer == muxer


def test_formats_of_images_check_the_ending():
    assert format_of("a%d.exr", None).encoder == "exr"
    assert format_of("a.png", "png16").single_frame
    assert not format_of("a%d.png", "png16").single_frame
    with pytest.raises(StreamfxError, match=r"'a.mp4' does not end in .exr; give 'frames/%05d.exr'"):
        format_of("a.mp4", "exr")


def test_image_and_numbered_images():
    assert format_of("a.png", None).single_frame
    assert not format_of("a%d.png", None).single_frame
    assert format_of("5%.png", None).single_frame


@pytest.mark.parametrize("target", ["a", "a.doc", "http://host/x"])
def test_unknown_extensions_are_errors(target):
    with pytest.raises(StreamfxError, match="cannot tell the format"):
        format_of(target, None)


def test_a_similar_name_is_suggested():
    with pytest.raises(StreamfxError, match=r"did you mean .*webm"):
        format_of("a.bin", "wepm")


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if not form.pipe])
def test_formats_that_cannot_be_piped(name):
    with pytest.raises(StreamfxError, match="cannot be written to a pipe"):
        format_of("-", name)


def test_every_extension_has_a_format():
    assert set(EXTENSIONS.values()) <= FORMATS.keys()


@pytest.mark.parametrize(
    ("muxer", "codec", "listed"),
    [
        ("mp4", "libx264", True),
        ("mp4", "gif", False),
        ("webm", "libopus", True),
        ("webm", "aac", False),
        ("flv", "pcm_s16le", True),
        ("matroska", "srt", True),
        ("mpegts", "gif", True),  # FFmpeg does not know
    ],
)
def test_lists_codec(muxer, codec, listed):
    with av.open(io.BytesIO(), "w", format=muxer) as output:
        assert lists_codec(output, codec) == listed
