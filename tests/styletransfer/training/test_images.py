"""Pictures of every kind become RGB as they are meant to look; what is no painting to learn from is said."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data

from streamfx.errors import StreamfxError
from streamfx.presets import Painting
from streamfx.styletransfer.training.images import load_image, load_painting, painting_height


def stored(folder, image, name="picture.png", **how):
    image.save(folder / name, **how)
    return folder / name


def pixels(file):
    return load_image(file).permute(1, 2, 0).numpy()


def test_grey_of_16_bits_is_scaled(tmp_path):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(1, 256).repeat(4, 0)
    for name in ("ramp.png", "ramp.tif"):
        seen = pixels(stored(tmp_path, Image.fromarray(ramp), name))
        assert seen.shape == (4, 256, 3)
        assert (seen[0, :, 0] == np.arange(256)).all()


def test_colour_of_16_bits_is_scaled(tmp_path, ffmpeg):
    values = np.zeros((2, 4, 3), np.uint16)
    values[..., 0], values[..., 1] = 65535, [[0, 257 * 64, 257 * 128, 257 * 255]] * 2
    file = tmp_path / "deep.png"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", "4x2", "-i", "-"]
    ffmpeg(*raw, "-pix_fmt", "rgb48be", "-frames:v", "1", file, stdin=values.tobytes())
    assert pixels(file)[0].tolist() == [[255, 0, 0], [255, 64, 0], [255, 128, 0], [255, 255, 0]]


def test_floats_are_white_at_one_or_at_255(tmp_path):
    for white in (1.0, 255.0):
        grey = Image.fromarray(np.array([[0.0, white / 2, white, np.nan]], np.float32))
        assert pixels(stored(tmp_path, grey, "float.tif"))[0, :, 0].tolist() == [0, 128, 255, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_white(tmp_path, mode):
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.paste((0, 0, 0, 255), (0, 0, 2, 4))
    assert pixels(stored(tmp_path, half.convert(mode)))[0].tolist() == [[0] * 3] * 2 + [[255] * 3] * 2


def test_a_palette_with_a_transparent_colour_and_an_animation(tmp_path):
    first, second = Image.new("P", (4, 4), 0), Image.new("P", (4, 4), 1)
    for image in (first, second):
        image.putpalette([200, 10, 20, 0, 0, 255] + [0] * 762)
    file = stored(tmp_path, first, "moving.gif", save_all=True, append_images=[second])
    assert pixels(file)[0, 0].tolist() == [200, 10, 20]
    assert pixels(stored(tmp_path, first, "hole.gif", transparency=0))[0, 0].tolist() == [255] * 3


def test_cmyk_has_its_colours(tmp_path):
    cmyk = Image.merge("CMYK", [Image.new("L", (16, 16), value) for value in (255, 0, 0, 0)])
    cyan = pixels(stored(tmp_path, cmyk, "cmyk.jpg", quality=95))[8, 8]
    assert cyan[0] < 8
    assert min(cyan[1:]) > 247
    assert pixels(stored(tmp_path, cmyk, "cmyk.tif"))[8, 8].tolist() == [0, 255, 255]


def test_a_colour_profile_is_heeded_and_a_broken_one_is_not(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (4, 4), (200, 30, 40))
    for profile in (lab, srgb, b"nonsense"):
        seen = pixels(stored(tmp_path, image, icc_profile=profile))[0, 0].astype(int)
        assert np.abs(seen - (200, 30, 40)).max() <= 1


def test_pictures_come_upright(tmp_path):
    image = Image.new("RGB", (8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert pixels(stored(tmp_path, image, "turned.jpg", exif=exif)).shape == (8, 4, 3)


@pytest.mark.parametrize(("own", "wanted"), [(64, 256), (200, 300), (400, 460), (700, 700), (3000, 960)])
def test_a_painting_is_learned_at_about_its_own_height(tmp_path, own, wanted):
    assert painting_height(stored(tmp_path, Image.new("RGB", (80, own)))) == wanted


def test_a_painting_loses_its_margin_and_has_its_height(painting):
    seen = load_painting(painting, Painting(file="", height=200, margin=0.1))
    assert seen.shape == (3, 160, 240)
    assert 0 <= seen.min() < seen.max() <= 1


def test_a_scroll_is_cut_to_its_middle(tmp_path):
    wide = Image.fromarray(np.tile(data.coffee()[:100, :100], (1, 20, 1)))
    assert load_painting(stored(tmp_path, wide), Painting(file="", height=100, margin=0)).shape == (3, 100, 300)


def test_what_is_no_painting_is_said(tmp_path):
    words = Painting(file="")
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    with pytest.raises(StreamfxError, match=r"text\.jpg is no picture"):
        load_painting(text, words)
    with pytest.raises(StreamfxError, match="does not exist"):
        load_painting(tmp_path / "none.png", words)
    with pytest.raises(StreamfxError, match=r"has 10x10 pixels; it needs 64"):
        load_painting(stored(tmp_path, Image.new("RGB", (10, 10))), words)
    with pytest.raises(StreamfxError, match=r"but 26 of width when 800 high"):
        load_painting(stored(tmp_path, Image.new("RGB", (64, 2000))), words)
    with pytest.raises(StreamfxError, match="all of one colour"):
        load_painting(stored(tmp_path, Image.new("L", (100, 100), 77)), words)
    whole = io.BytesIO()
    Image.fromarray(data.coffee()).save(whole, "jpeg")
    text.write_bytes(whole.getvalue()[:5000])
    with pytest.raises(StreamfxError, match="no picture"):
        load_painting(text, words)
    with pytest.raises(StreamfxError, match="no picture"):
        load_painting(tmp_path, words)


def test_a_grey_painting_is_a_painting(tmp_path):
    grey = Image.fromarray(data.coffee()[::2, ::2].copy()).convert("L")
    seen = load_painting(stored(tmp_path, grey), Painting(file="", height=200))
    assert (seen[0] == seen[1]).all()
