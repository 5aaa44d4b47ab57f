"""Frames and thumbnails of media files."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.studio.frames import MediaInfo, describe, frame_at, jpeg, thumbnail


def test_frames_are_exact(video, rgb):
    info = describe(video)
    assert (info.width, info.height, info.rate, info.audio) == (64, 48, 25, True)
    for number in (0, 1, 13, 24):
        time = info.snap(number / 25)
        assert time == Fraction(number, 25)
        image = frame_at(video, time).image.permute(1, 2, 0).numpy() * 255
        distances = np.abs(image - rgb(video).astype(float)).mean((1, 2, 3))
        assert distances[number] <= distances.min() + 0.05  # neighbors may look the same
        assert distances[(number + 5) % 25] > distances[number] + 0.3


def test_times_are_those_of_frames():
    info = MediaInfo(64, 48, Fraction(24000, 1001), Fraction(10))
    step = Fraction(1001, 24000)
    assert info.snap(-1) == 0
    assert info.snap(float(step * 7)) == step * 7  # despite rounding
    assert info.snap(float(step * 7) + 0.01) == step * 7
    assert info.snap(100) <= 10 - step
    assert MediaInfo(64, 48, None, None).snap(3) == 0


def test_images_have_one_frame(tmp_path):
    file = tmp_path / "image.png"
    Image.new("RGB", (96, 72), "red").save(file)
    info = describe(file)
    assert (info.width, info.height, info.duration) == (96, 72, None)
    assert frame_at(file).image.shape == (3, 72, 96)


def test_large_frames_are_scaled_down_with_square_pixels(clip, moving):
    wide = clip("wide.mp4", *moving("64x96"), "-vf", "setsar=2", "-pix_fmt", "yuv420p")
    assert (describe(wide).width, describe(wide).height) == (128, 96)
    assert frame_at(wide, pixels=128 * 96 // 4).image.shape == (3, 48, 64)


def test_thumbnails_are_cached(video, tmp_path):
    content = thumbnail(video, tmp_path / "cache")
    assert Image.open(io.BytesIO(content)).size == (64, 48)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(b"cached")
    assert thumbnail(video, tmp_path / "cache") == b"cached"


def test_jpeg_files_have_the_picture(video):
    image = frame_at(video).image
    decoded = np.array(Image.open(io.BytesIO(jpeg(image)))).transpose(2, 0, 1) / 255
    assert np.abs(decoded - image.numpy()).mean() < 0.05


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.mp4").write_text("x")
    with pytest.raises(StreamfxError, match=r"x\.mp4"):
        describe(tmp_path / "x.mp4")
