"""The pixel limit is checked against file headers of all formats, before memory is allocated."""

import struct
import subprocess
import sys
import zlib
from fractions import Fraction

import pytest
import torch

from streamfx.cli._max_pixels import MAX_PIXELS, parse_pixels
from streamfx.cli._options import Misuse
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.input.mask import Mask
from streamfx.media.input.reader import Reader
from streamfx.media.limits import DEFAULT_MAX_PIXELS, check_size, limit_pixels
from streamfx.styletransfer.training.images import load_image


@pytest.fixture(autouse=True)
def _usual_limit():
    yield
    limit_pixels(DEFAULT_MAX_PIXELS)


def png(path, width, height):
    """Write a PNG with this size in its header and data for a few rows."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(
    ("text", "count"),
    [("8192x8192", 8192**2), ("1M", 10**6), ("1.5m", 1_500_000), ("500k", 500_000), ("7", 7), ("2G", 2 * 10**9)],
)
def test_pixel_limits_are_parsed(text, count):
    assert parse_pixels(text) == count
    assert parse_pixels(MAX_PIXELS) == DEFAULT_MAX_PIXELS


@pytest.mark.parametrize("text", ["", "0", "0x100", "1T", "-5", "1e9", "nan", "8192 x", "9" * 40, "٣"])
def test_invalid_pixel_limits_are_rejected(text):
    with pytest.raises(Misuse, match="not a number of pixels"):
        parse_pixels(text)


KINDS = {
    "video.mp4": ["-c:v", "libx264"],
    "video.mkv": ["-c:v", "libx264"],
    "video.ts": ["-c:v", "mpeg2video"],
    "video.webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8"],
    "video.avi": ["-c:v", "mpeg4"],
    "video.nut": ["-c:v", "ffv1"],
    "video.y4m": [],
    "video.gif": [],
    "still.png": ["-frames:v", "1"],
    "still.jpg": ["-frames:v", "1"],
    "still.webp": ["-frames:v", "1"],
    "still.bmp": ["-frames:v", "1"],
    "still.tif": ["-frames:v", "1"],
}


@pytest.mark.parametrize("name", KINDS)
def test_only_sources_above_the_limit_are_rejected(name, clip, moving):
    source = clip(name, *moving(size="320x180", seconds="0.08"), *KINDS[name])
    limit_pixels(320 * 180)
    with Reader(source) as reader:
        assert next(iter(reader)).image.shape == (3, 180, 320)
    limit_pixels(320 * 180 - 1)
    with pytest.raises(StreamfxError, match=r"320x180 pixels, but the limit is 57599; raise it with --max-pixels"):
        Reader(source)


@pytest.mark.parametrize("name", ["video.mp4", "video.ts", "video.y4m", "still.png"])
def test_sizes_rejected_by_ffmpeg_give_the_same_error(name, clip, moving):
    source = clip(name, *moving(size="1920x1080", seconds="0.04"), *KINDS[name])
    limit_pixels(10_000)
    with pytest.raises(StreamfxError, match=r"1920x10\d\d pixels, but the limit is 100x100"):
        Reader(source)


def test_image_sequences_are_limited(clip, moving, tmp_path):
    source = clip("still.png", *moving(size="320x180"), "-frames:v", "1")
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(source.read_bytes())
    png(tmp_path / "3.png", 100_000, 100_000)
    with Reader(tmp_path / "%d.png") as reader, pytest.raises(StreamfxError, match=r"3\.png' is 100000x"):
        list(reader)
    limit_pixels(1000)
    with pytest.raises(StreamfxError, match=r"1\.png' is 320x180 pixels, but the limit is 1000"):
        Reader(tmp_path / "%d.png")


def test_masks_and_style_images_are_limited(tmp_path):
    huge = png(tmp_path / "huge.png", 100_000, 100_000)
    with pytest.raises(StreamfxError, match=r"the mask: .*huge.png' is 100000x100000 pixels"):
        Mask(str(huge)).at(Fraction(0), Frame(torch.zeros(3, 8, 8), Fraction(0), Fraction(1)).image)
    large = png(tmp_path / "large.png", 9000, 9000)
    with pytest.raises(StreamfxError, match=r"large.png' is 9000x9000 pixels, but the limit is 8192x8192"):
        load_image(large)
    with pytest.raises(StreamfxError, match="too many pixels"):
        load_image(huge)


def test_frame_sizes_that_grow_within_a_video_are_limited(clip, moving, tmp_path):
    small = clip("small.ts", *moving(seconds="0.2"), "-c:v", "mpeg2video")
    large = clip("large.ts", *moving(size="640x480", seconds="0.2"), "-c:v", "mpeg2video", "-output_ts_offset", "0.2")
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with Reader(both) as reader:
        assert len(list(reader)) > 5  # the larger frames are scaled to the first
    limit_pixels(64 * 48)
    with Reader(both) as reader, pytest.raises(StreamfxError, match="is 640x480 pixels"):
        list(reader)


def test_rejected_files_allocate_no_memory(tmp_path):
    """16000x16000, 768 MB as RGB, is the largest size that FFmpeg itself accepts."""
    large = png(tmp_path / "large.png", 16_000, 16_000)
    script = """
import resource, sys
from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    Reader(sys.argv[1])
except StreamfxError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run([sys.executable, "-c", script, large], capture_output=True, text=True, check=True)
    message, growth = result.stdout.splitlines()
    assert "16000x16000" in message
    assert int(growth) < 50_000  # KiB


def test_messages_give_the_limit_as_a_square_or_a_number():
    check_size("a", 8192, 8192)
    with pytest.raises(StreamfxError, match="'a' is 8193x8192 pixels, but the limit is 8192x8192"):
        check_size("a", 8193, 8192)
    limit_pixels(12_345)
    with pytest.raises(StreamfxError, match="but the limit is 12345"):
        check_size("a", 200, 100)


def test_the_command_line_option(streamfx, clip, moving):
    source = clip("still.png", *moving(size="320x180"), "-frames:v", "1")
    result = streamfx("run", source, "out.png", "--chain", "null", "--max-pixels", "100x100")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "320x180 pixels, but the limit is 100x100" in result.stderr
    result = streamfx("run", source, "out.png", "--chain", "null", "--max-pixels", "many")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
