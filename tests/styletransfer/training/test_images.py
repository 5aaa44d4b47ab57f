"""Images of every color mode load as correct RGB; unusable paintings are errors."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data

from streamfx.errors import StreamfxError
from streamfx.presets import Painting
from streamfx.styletransfer.training.images import load_image, load_painting, painting_height


def save(folder, image, name="image.png", **options):
    image.save(folder / name, **options)
    return folder / name


def pixels(file):
    return load_image(file).permute(1, 2, 0).numpy()


def test_16_bit_gray_is_scaled(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(1, 256).repeat(4, 0)
    for name in ("ramp.png", "ramp.tif"):
        loaded = pixels(save(tmp_path, Image.fromarray(ramp), name))
        assert loaded.shape == (4, 256, 3)
        assert (loaded[0, :, 0] == np.arange(256)).all()


def test_16_bit_color_is_scaled(tmp_path, ffmpeg):
    values = np.zeros((2, 4, 3), np.uint16)
    values[..., 0], values[..., 1] = 65535, [[0, 257 * 64, 257 * 128, 257 * 255]] * 2
    file = tmp_path / "deep.png"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", "4x2", "-i", "-"]
    ffmpeg(*raw, "-pix_fmt", "rgb48be", "-frames:v", "1", file, stdin=values.tobytes())
    assert pixels(file)[0].tolist() == [[255, 0, 0], [255, 64, 0], [255, 128, 0], [255, 255, 0]]


def test_white_of_float_images_is_1_or_255(tmp_path):
    for white in (1.0, 255.0):
        gray = Image.fromarray(np.array([[0.0, white / 2, white, np.nan]], np.float32))
        assert pixels(save(tmp_path, gray, "float.tif"))[0, :, 0].tolist() == [0, 128, 255, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_become_white(tmp_path, mode):
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.paste((0, 0, 0, 255), (0, 0, 2, 4))
    assert pixels(save(tmp_path, half.convert(mode)))[0].tolist() == [[0] * 3] * 2 + [[255] * 3] * 2


def test_animated_and_transparent_palette_images(tmp_path):
    first, second = Image.new("P", (4, 4), 0), Image.new("P", (4, 4), 1)
    for image in (first, second):
        image.putpalette([200, 10, 20, 0, 0, 255] + [0] * 762)
    file = save(tmp_path, first, "moving.gif", save_all=True, append_images=[second])
    assert pixels(file)[0, 0].tolist() == [200, 10, 20]
    assert pixels(save(tmp_path, first, "hole.gif", transparency=0))[0, 0].tolist() == [255] * 3


def test_cmyk_is_converted_to_rgb(tmp_path):
    cmyk = Image.merge("CMYK", [Image.new("L", (16, 16), value) for value in (255, 0, 0, 0)])
    cyan = pixels(save(tmp_path, cmyk, "cmyk.jpg", quality=95))[8, 8]
    assert cyan[0] < 8
    assert min(cyan[1:]) > 247
    assert pixels(save(tmp_path, cmyk, "cmyk.tif"))[8, 8].tolist() == [0, 255, 255]


def test_color_profiles_are_applied_and_invalid_ones_ignored(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (4, 4), (200, 30, 40))
    for profile in (lab, srgb, b"nonsense"):
        color = pixels(save(tmp_path, image, icc_profile=profile))[0, 0].astype(int)
        assert np.abs(color - (200, 30, 40)).max() <= 1


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert pixels(save(tmp_path, image, "rotated.jpg", exif=exif)).shape == (8, 4, 3)


@pytest.mark.parametrize(("height", "expected"), [(64, 256), (200, 300), (400, 460), (700, 700), (3000, 960)])
def test_default_height_of_a_painting(tmp_path, height, expected):
    assert painting_height(save(tmp_path, Image.new("RGB", (80, height)))) == expected


def test_paintings_are_scaled_and_cropped_to_their_settings(painting):
    image = load_painting(painting, Painting(file="", height=200, margin=0.1))
    assert image.shape == (3, 160, 240)
    assert 0 <= image.min() < image.max() <= 1


def test_a_part_of_a_painting(tmp_path):
    image = np.zeros((200, 400, 3), np.uint8)
    image[100:, 200:] = np.random.default_rng(0).integers(100, 256, (100, 200, 3))
    part = load_painting(
        save(tmp_path, Image.fromarray(image)), Painting(file="", height=100, margin=0, crop=(0.5, 0.5, 1, 1))
    )
    assert part.shape == (3, 100, 200)
    assert part.min() > 0.3


def test_long_paintings_are_center_cropped(tmp_path):
    wide = Image.fromarray(np.tile(data.coffee()[:100, :100], (1, 20, 1)))
    assert load_painting(save(tmp_path, wide), Painting(file="", height=100, margin=0)).shape == (3, 100, 300)


def test_unusable_paintings_are_errors(tmp_path):
    settings = Painting(file="")
    text = tmp_path / "text.jpg"
    text.write_text("not an image")
    with pytest.raises(StreamfxError, match=r"text\.jpg is not a readable image"):
        load_painting(text, settings)
    with pytest.raises(StreamfxError, match="does not exist"):
        load_painting(tmp_path / "none.png", settings)
    with pytest.raises(StreamfxError, match=r"has 10x10 pixels; give one with at least 64"):
        load_painting(save(tmp_path, Image.new("RGB", (10, 10))), settings)
    with pytest.raises(StreamfxError, match=r"has 64x2000 pixels and is 26 wide at height 800"):
        load_painting(save(tmp_path, Image.new("RGB", (64, 2000))), settings)
    with pytest.raises(StreamfxError, match="has only one color"):
        load_painting(save(tmp_path, Image.new("L", (100, 100), 77)), settings)
    encoded = io.BytesIO()
    Image.fromarray(data.coffee()).save(encoded, "jpeg")
    text.write_bytes(encoded.getvalue()[:5000])
    with pytest.raises(StreamfxError, match="not a readable image"):
        load_painting(text, settings)
    with pytest.raises(StreamfxError, match="not a readable image"):
        load_painting(tmp_path, settings)


def test_gray_paintings_load_as_rgb(tmp_path):
    gray = Image.fromarray(data.coffee()[::2, ::2].copy()).convert("L")
    image = load_painting(save(tmp_path, gray), Painting(file="", height=200))
    assert (image[0] == image[1]).all()
