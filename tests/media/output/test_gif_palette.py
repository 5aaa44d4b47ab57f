"""GIF: accurate colors, no flicker, durations in hundredths of a second, endless loop."""

import subprocess
from fractions import Fraction

import numpy as np
import pytest
from av import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from streamfx.media.output.gif_palette import PaletteMapper


def video_frame(pixels):
    frame = VideoFrame.from_ndarray(pixels, format="rgb24")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


def mapped(mapper, pixels):
    return mapper.apply(video_frame(pixels)).to_ndarray(format="rgb24")


def colors(seed, low, high, size=(48, 64)):
    """Smooth patches with code values between low and high."""
    coarse = np.random.default_rng(seed).integers(low, high, (size[0] // 8, size[1] // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def read_gif(gif):
    """The frames [N, H, W, 3] of a GIF as read by Pillow, their durations in ms, and its loop count (0: endless)."""
    with Image.open(gif) as image:
        images, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            images.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
        return np.stack(images), durations, image.info.get("loop")


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(0, 120), st.integers(130, 255))
def test_colors_are_close_to_the_source(seed, low, high):
    source = colors(seed, low, high)
    assert np.abs(mapped(PaletteMapper(), source).astype(int) - source).mean() < 9


def test_the_palette_is_reused_while_it_fits():
    """A patch moving over a background of the same colors leaves the other pixels unchanged."""
    mapper, background = PaletteMapper(), colors(1, 0, 255)
    before = mapped(mapper, background)
    for x in range(0, 40, 4):
        moved = background.copy()
        moved[10:20, x : x + 10] = background[30:40, 50:60]
        image = mapped(mapper, moved)
        outside = np.ones((48, 64), bool)
        outside[10:20, x : x + 10] = False
        np.testing.assert_array_equal(image[outside], before[outside])


def test_new_colors_get_a_new_palette():
    mapper, dark, light = PaletteMapper(), colors(2, 0, 60), colors(3, 190, 255)
    for source in (dark, light, dark):
        assert np.abs(mapped(mapper, source).astype(int) - source).mean() < 5


def test_a_small_object_in_a_new_color_is_shown():
    mapper, background = PaletteMapper(), colors(4, 0, 80)
    mapped(mapper, background)
    with_red = background.copy()
    with_red[20:28, 20:28] = (250, 10, 10)  # 2 % of the frame
    assert np.abs(mapped(mapper, with_red)[20:28, 20:28].astype(int) - (250, 10, 10)).max() < 16


def test_a_single_color():
    flat = np.full((8, 8, 3), (12, 200, 90), np.uint8)
    assert np.abs(mapped(PaletteMapper(), flat).astype(int) - flat).max() <= 4


@pytest.mark.parametrize("chain", ["null", "mirror,mirror"])
def test_a_still_video_does_not_flicker(chain, clip, convert):
    soft = "gradients=size=96x64:rate=10:duration=1:seed=3:speed=0.00001:c0=0x3a6ea5:c1=0xe0b070"
    still = f"{soft},trim=end_frame=1,loop=9:1,setpts=N/10/TB"
    source = clip("still.mkv", "-f", "lavfi", "-i", still, "-c:v", "ffv1", "-pix_fmt", "gbrp", "-r", "10")
    images, durations, loop = read_gif(convert(source, "out.gif", chain).path)
    assert durations == [1000] or durations == [100] * 10
    assert (images == images[0]).all()
    assert loop == 0


def test_a_gif_is_close_to_its_source(real_clip, clip, convert, rgb):
    source = clip("small.mkv", "-t", "1", "-i", real_clip("bikes.mp4"), "-vf", "scale=200:-2", "-c:v", "ffv1")
    images, _, _ = read_gif(convert(source, "out.gif", "fps=10").path)
    expected = rgb(source)[:: 25 // 10][: len(images)].astype(int)  # the nearest frames; some are off by one
    assert len(images) == 10
    assert np.abs(images[0].astype(int) - expected[0]).mean() < 4


def test_streaming_between_pipes(streamfx, video, tmp_path, ffmpeg):
    source = ffmpeg("-i", video, "-c", "copy", "-f", "matroska", "-")
    done = streamfx("run", "-", "-", "--chain", "null", "--format", "gif", "--fps", "5", "--width", "33", stdin=source)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.gif").write_bytes(done.stdout)
    images, durations, loop = read_gif(tmp_path / "out.gif")
    assert (images.shape, durations, loop) == ((5, 25, 33, 3), [200] * 5, 0)
    assert subprocess.run(["ffprobe", "-v", "error", tmp_path / "out.gif"], capture_output=True).stderr == b""
