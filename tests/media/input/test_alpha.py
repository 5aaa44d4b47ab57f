"""Alpha in a stream of its own is kept, for animations and stills."""

from fractions import Fraction

import numpy as np
import pytest
from av import VideoFrame
from PIL import Image

from streamfx.media.input.alpha import add_alpha
from streamfx.media.input.reader import Reader

RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))


def image(level, alpha=True):
    gray = np.full((48, 64, 3), level, np.uint8)
    return Image.fromarray(np.dstack([gray, RAMP]) if alpha else gray)


@pytest.fixture
def avif(tmp_path):
    """avif(name, count, alpha): an AVIF file of images that get brighter; a ramp is its alpha."""

    def avif(name, count, alpha=True):
        first, *rest = [image(40 * number, alpha) for number in range(count)]
        path = tmp_path / name
        options = {"save_all": True, "append_images": rest, "duration": 100} if rest else {}
        first.save(path, quality=95, speed=10, **options)
        return path

    return avif


@pytest.mark.parametrize("alpha", [True, False])
def test_all_frames_of_an_animated_avif(alpha, avif, convert, rgb):
    made = convert(avif("moving.avif", 5, alpha), "out.mkv", "null")
    assert made.frames == 5
    assert made.warnings == []
    frames = rgb(made.path, "rgba")
    assert frames[:, 24, 40, 0].tolist() == pytest.approx([0, 40, 80, 120, 160], abs=6)
    expected = RAMP if alpha else np.full_like(RAMP, 255)
    assert np.abs(frames[3, :, :, 3].astype(int) - expected).max() <= 4


def test_trimming_keeps_color_and_alpha_together(avif):
    with Reader(avif("moving.avif", 6), start=Fraction(3, 10)) as reader:
        frames = list(reader.frames())
    assert [round(float(frame.image.mean()) * 255 / 40) for frame in frames] == [3, 4, 5]
    assert all(frame.alpha is not None for frame in frames)


def test_a_still_with_alpha(avif, convert, rgb):
    made = convert(avif("still.avif", 1), "out.png", "null")
    pixels = rgb(made.path, "rgba")[0]
    assert np.abs(pixels[:, :, 3].astype(int) - RAMP).max() <= 4


def test_a_heic_photo_with_alpha(tmp_path, convert, rgb):
    pillow_heif = pytest.importorskip("pillow_heif")
    large = image(120).resize((256, 192))
    pillow_heif.from_pillow(large).save(tmp_path / "photo.heic", quality=95)
    pixels = rgb(convert(tmp_path / "photo.heic", "out.png", "null").path, "rgba")[0]
    assert np.abs(pixels[:, :, 3].astype(int) - np.asarray(large)[:, :, 3]).max() <= 8


@pytest.mark.parametrize(
    ("color", "alpha", "merged"),
    [
        ("yuv420p", "gray", "yuva420p"),
        ("yuvj444p", "gray", "yuva444p"),
        ("yuv420p10le", "gray10le", "yuva420p10le"),
        ("yuv420p10le", "gray", "yuva420p10le"),
        ("gbrp", "gray", "gbrap"),
        ("gray", "gray", "yuva444p"),
    ],
)
def test_add_alpha(color, alpha, merged):
    frame = VideoFrame(66, 50, color)
    for plane in frame.planes:
        plane.update(bytes(range(1, 251)) * (plane.buffer_size // 250) + bytes(plane.buffer_size % 250))
    frame.time_base = Fraction(1, 25)
    opacity = VideoFrame(66, 50, alpha)
    opacity.planes[0].update(bytes([200, 2] * (opacity.planes[0].buffer_size // 2)))
    made = add_alpha(frame, opacity)
    assert made.format.name == merged
    if len(frame.planes) == 3:
        row = 66 * made.format.components[0].bits // 8
        assert bytes(made.planes[0])[:row] == bytes(frame.planes[0])[:row]
