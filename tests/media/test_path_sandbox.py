"""Shared timelines and presets may use only safe filters and file sources."""

import os
from pathlib import Path

import pytest

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import Filter, available_filters
from streamfx.media.path_sandbox import FORBIDDEN_OPTIONS, SAFE_FILTERS, check_filters, check_source

UNSAFE = [
    "movie",
    "amovie",
    "lut1d",
    "lut3d",
    "psnr",
    "ssim",
    "ssim360",
    "xpsnr",
    "vmafmotion",
    "removelogo",
    "cellauto",
    "deshake",
    "fieldhint",
    "fsync",
    "sendcmd",
    "zmq",
    "azmq",
    "frei0r",
    "drawtext",
    "subtitles",
    "ass",
    "libvmaf",
    "vidstabdetect",
    "vidstabtransform",
    "signature",
    "ocr",
    "dnn_processing",
    "hwupload",
    "hwmap",
    "hwupload_cuda",
    "realtime",
    "cue",
    "nonsense",
]


def test_safe_filters_exist_in_this_ffmpeg():
    assert available_filters() >= SAFE_FILTERS | FORBIDDEN_OPTIONS.keys()
    assert not SAFE_FILTERS & FORBIDDEN_OPTIONS.keys()


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_filters_are_rejected(name):
    with pytest.raises(StreamfxError, match=f"the filter '{name}' may access files or devices; use it on"):
        check_filters([Filter("hflip"), Filter(name, "a.txt")])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hue", "s=1.2"),
        ("scale", "640:-2"),
        ("drawbox", "enable='gte(t,1)'"),
        ("curves", "preset=vintage"),
        ("curves", "red=0/0 1/1:blue=0/0.5 1/1"),
        ("metadata", "mode=delete"),
        ("paletteuse", ""),
        ("selectivecolor", "reds=0.1 0 0 0"),
    ],
)
def test_safe_filters_are_accepted(name, options):
    check_filters([Filter(name, options)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("curves", "psfile=/etc/passwd"),
        ("curves", "red=0/0 1/1:plot=/tmp/x"),
        ("curves", " psfile =x"),
        ("curves", "vintage:::::::/tmp/x"),
        ("curves", "'psfile'=x"),
        ("curves", "red='0/0:psfile=x'"),
        ("curves", r"ps\file=x"),
        ("metadata", "mode=print:file=out.txt"),
        ("metadata", "print:::::out.txt"),
        ("paletteuse", "debug_kdtree=x"),
        ("selectivecolor", "psfile=x"),
        ("life", "f=x"),
        ("life", "x"),
    ],
)
def test_options_that_name_or_hide_files_are_rejected(name, options):
    with pytest.raises(StreamfxError, match=rf"{name}: "):
        check_filters([Filter(name, options)])


@pytest.mark.parametrize(
    "text", ["clip.mp4", "./a:b.mp4", "shots/%05d.png", "../clip.mp4", "a b.png", "shots/a:b.png", "a,b.png"]
)
def test_relative_paths_start_at_the_folder_of_the_file(text):
    assert check_source(text, Path("/clips/mine")) == str(Path("/clips/mine") / text)


def test_absolute_paths_do_not_change():
    assert check_source("/clips/clip.mp4", Path("/elsewhere")) == "/clips/clip.mp4"


@pytest.mark.parametrize(
    "text", ["http://a.b/c.mp4", "HTTPS://a.b/c.mp4", "rtmp://a/b", "tcp://1.2.3.4:5", "ftp://a/b", "rtsp://cam/1"]
)
def test_urls_need_allow_network(text):
    with pytest.raises(StreamfxError, match="--allow-network"):
        check_source(text, Path("/clips"))
    assert check_source(text, Path("/clips"), network=True) == text


@pytest.mark.parametrize("network", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "concat:a.mp4|b.mp4",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "file:/etc/passwd",
        "pipe:0",
        "fd:0",
        "data:text/plain,abc",
        "crypto:a",
        "cache:http://a.b/c",
        "async:http://a.b/c",
        "unix:/run/socket",
        "http:a",
        "x://y",
        "a:b.mp4",
        "-",
        "",
        "a\0b",
    ],
)
def test_names_that_ffmpeg_treats_as_more_than_a_path_are_rejected(text, network):
    with pytest.raises(StreamfxError, match="is not a file path"):
        check_source(text, Path("/clips"), network=network)


def test_overlong_names_do_not_raise():
    assert check_source("a" * 5000, Path("/clips")) == "/clips/" + "a" * 5000


def test_devices_and_pipes_are_rejected(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for text in ("pipe", "/dev/zero"):
        with pytest.raises(StreamfxError, match="is a device or a pipe"):
            check_source(text, tmp_path)
