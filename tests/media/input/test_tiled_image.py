"""Photos in tiles are assembled, or refused with a hint."""

import sys

import av
import numpy as np
import pytest
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader
from streamfx.media.input.tiled_image import decode_tiled, has_tiles, is_tiled

pillow_heif = pytest.importorskip("pillow_heif")


def picture(width, height, alpha=False):
    y, x = np.mgrid[0:height, 0:width]
    layers = [x * 255 // (width - 1), y * 255 // (height - 1), 255 * ((x // 32 + y // 32) % 2)]
    return np.stack(layers + [np.full_like(x, 130)] * alpha, -1).astype(np.uint8)


@pytest.fixture
def heic(tmp_path):
    """heic(width, height, tile): a HEIC photo in tiles; 0 for one without tiles."""

    def heic(width, height, tile=128, name="photo.heic"):
        options = {"tile_size": tile} if tile else {}
        pillow_heif.from_pillow(Image.fromarray(picture(width, height))).save(tmp_path / name, quality=95, **options)
        return tmp_path / name

    return heic


@pytest.mark.parametrize(("width", "height"), [(384, 256), (300, 200), (500, 130)])
def test_tiles_are_assembled(width, height, heic, convert, rgb):
    photo = heic(width, height)
    assert is_tiled(str(photo))
    pixels = rgb(convert(photo, "out.png", "null").path)[0]
    assert pixels.shape == (height, width, 3)
    assert np.abs(pixels.astype(int) - picture(width, height)).mean() < 4


def test_a_sequence_of_photos_in_tiles(heic, tmp_path, convert, probe):
    heic(256, 192, name="1.heic")
    heic(256, 192, name="2.heic")
    made = convert(tmp_path / "%d.heic", "out.mp4", "hflip")
    assert made.frames == 2
    (video,) = probe(made.path)["streams"]
    assert (video["width"], video["height"]) == (256, 192)


def test_photos_without_tiles_and_videos_are_left_to_ffmpeg(heic, video):
    assert not is_tiled(str(heic(64, 48, tile=0)))
    assert not is_tiled(str(video))
    assert not is_tiled("http://host/photo.heic")
    with av.open(str(video)) as container:
        assert not has_tiles(container)


def test_deep_photos_keep_their_bits(tmp_path):
    deep = picture(256, 192).astype(np.uint16) * 257
    image = pillow_heif.from_bytes(mode="RGB;16", size=(256, 192), data=deep.tobytes())
    image.save(tmp_path / "deep.heic", quality=95, tile_size=128)
    assert decode_tiled(str(tmp_path / "deep.heic")).format.name == "rgb48le"


def test_without_the_package_the_error_says_what_to_install(heic, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(StreamfxError, match=r"HEIC photo in tiles; install streamfx\[heif\]"):
        Reader(heic(256, 192))


def test_an_incomplete_photo_is_refused(heic):
    photo = heic(256, 192)
    data = photo.read_bytes()
    photo.write_bytes(data[: len(data) // 2])
    with pytest.raises(StreamfxError, match=r"is incomplete: [0-3] of 4 tiles"):
        Reader(photo)


def test_the_size_is_limited(heic, monkeypatch):
    monkeypatch.setattr("streamfx.media.limits._limit", 100)
    with pytest.raises(StreamfxError, match="256x192 pixels"):
        decode_tiled(str(heic(256, 192)))


def test_a_name_that_is_too_long_is_no_tiled_image():
    assert not is_tiled("a" * 300)
