"""How large pictures may be: told by headers of all kinds, and refused before memory is asked for."""

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
from streamfx.media.limits import PIXELS, check_size, limit_pixels
from streamfx.styletransfer.training.images import load_image


@pytest.fixture(autouse=True)
def _usual_limit():
    yield
    limit_pixels(PIXELS)


def png(path, width, height):
    """A PNG whose header tells this size; it ends after a few rows."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(
    ("text", "count"),
    [("8192x8192", PIXELS), ("1M", 10**6), ("1.5m", 1_500_000), ("500k", 500_000), ("7", 7), ("2G", 2 * 10**9)],
)
def test_numbers_of_pixels(text, count):
    assert parse_pixels(text) == count
    assert parse_pixels(MAX_PIXELS) == PIXELS


@pytest.mark.parametrize("text", ["", "0", "0x100", "1T", "-5", "1e9", "nan", "8192 x", "9" * 40, "٣"])
def test_what_is_no_number_of_pixels(text):
    with pytest.raises(Misuse, match="no number of pixels"):
        parse_pixels(text)


KINDS = {
    "film.mp4": ["-c:v", "libx264"],
    "film.mkv": ["-c:v", "libx264"],
    "film.ts": ["-c:v", "mpeg2video"],
    "film.webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8"],
    "film.avi": ["-c:v", "mpeg4"],
    "film.nut": ["-c:v", "ffv1"],
    "film.y4m": [],
    "film.gif": [],
    "still.png": ["-frames:v", "1"],
    "still.jpg": ["-frames:v", "1"],
    "still.webp": ["-frames:v", "1"],
    "still.bmp": ["-frames:v", "1"],
    "still.tif": ["-frames:v", "1"],
}


@pytest.mark.parametrize("name", KINDS)
def test_larger_pictures_are_refused_and_others_read(name, clip, moving):
    made = clip(name, *moving(size="320x180", seconds="0.08"), *KINDS[name])
    limit_pixels(320 * 180)
    with Reader(made) as reader:
        assert next(iter(reader)).image.shape == (3, 180, 320)
    limit_pixels(320 * 180 - 1)
    with pytest.raises(StreamfxError, match=r"320x180 pixels, but 57599 at most are read; give --max-pixels"):
        Reader(made)


@pytest.mark.parametrize("name", ["film.mp4", "film.ts", "film.y4m", "still.png"])
def test_ffmpeg_refuses_what_is_far_too_large_by_itself(name, clip, moving):
    made = clip(name, *moving(size="1920x1080", seconds="0.04"), *KINDS[name])
    limit_pixels(10_000)
    with pytest.raises(StreamfxError, match=r"1920x10\d\d pixels, but 100x100 at most"):
        Reader(made)


def test_numbered_pictures(clip, moving, tmp_path):
    source = clip("still.png", *moving(size="320x180"), "-frames:v", "1")
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(source.read_bytes())
    png(tmp_path / "3.png", 100_000, 100_000)
    with Reader(tmp_path / "%d.png") as reader, pytest.raises(StreamfxError, match=r"3\.png' has pictures of 100000x"):
        list(reader)
    limit_pixels(1000)
    with pytest.raises(StreamfxError, match=r"1\.png' has pictures of 320x180 pixels, but 1000 at most"):
        Reader(tmp_path / "%d.png")


def test_masks_and_paintings(tmp_path):
    huge = png(tmp_path / "huge.png", 100_000, 100_000)
    with pytest.raises(StreamfxError, match=r"the mask: .*huge.png' has pictures of 100000x100000 pixels"):
        Mask(str(huge)).at(Fraction(0), Frame(torch.zeros(3, 8, 8), Fraction(0), Fraction(1)).image)
    large = png(tmp_path / "large.png", 9000, 9000)
    with pytest.raises(StreamfxError, match=r"large.png' has pictures of 9000x9000 pixels, but 8192x8192 at most"):
        load_image(large)
    with pytest.raises(StreamfxError, match="too many pixels"):
        load_image(huge)


def test_a_size_that_grows_within_a_film(clip, moving, tmp_path):
    small = clip("small.ts", *moving(seconds="0.2"), "-c:v", "mpeg2video")
    large = clip("large.ts", *moving(size="640x480", seconds="0.2"), "-c:v", "mpeg2video", "-output_ts_offset", "0.2")
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with Reader(both) as reader:
        assert len(list(reader)) > 5  # the larger ones scaled to the first
    limit_pixels(64 * 48)
    with Reader(both) as reader, pytest.raises(StreamfxError, match="has pictures of 640x480 pixels"):
        list(reader)


def test_memory_is_not_asked_for(tmp_path):
    """16000x16000 is the most that FFmpeg itself takes: 768 MB as RGB."""
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
    done = subprocess.run([sys.executable, "-c", script, large], capture_output=True, text=True, check=True)
    refusal, grown = done.stdout.splitlines()
    assert "16000x16000" in refusal
    assert int(grown) < 50_000  # KiB


def test_the_limit_is_told_as_a_square_or_a_number():
    check_size("a", 8192, 8192)
    with pytest.raises(StreamfxError, match="'a' has pictures of 8193x8192 pixels, but 8192x8192 at most"):
        check_size("a", 8193, 8192)
    limit_pixels(12_345)
    with pytest.raises(StreamfxError, match="but 12345 at most"):
        check_size("a", 200, 100)


def test_the_command_takes_it(streamfx, clip, moving):
    made = clip("still.png", *moving(size="320x180"), "-frames:v", "1")
    done = streamfx("run", made, "out.png", "--chain", "null", "--max-pixels", "100x100")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "320x180 pixels, but 100x100 at most are read" in done.stderr
    done = streamfx("run", made, "out.png", "--chain", "null", "--max-pixels", "many")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
