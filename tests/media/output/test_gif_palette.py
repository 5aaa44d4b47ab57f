"""GIFs: colours near the source's, nothing that shimmers, times in whole hundredths, endless."""

import subprocess
from fractions import Fraction

import numpy as np
import pytest
from av import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from streamfx.media.output.gif_palette import Palettes


def picture(pixels):
    made = VideoFrame.from_ndarray(pixels, format="rgb24")
    made.pts, made.time_base = 0, Fraction(1, 25)
    return made


def mapped(palettes, pixels):
    return palettes.mapped(picture(pixels)).to_ndarray(format="rgb24")


def colours(seed, low, high, size=(48, 64)):
    """Smooth patches of colours between low and high."""
    coarse = np.random.default_rng(seed).integers(low, high, (size[0] // 8, size[1] // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def made_of(gif):
    """Pictures [N, H, W, 3] of a GIF as Pillow shows them, ms that each lasts, and how often it plays (0: for ever)."""
    with Image.open(gif) as image:
        shown, lasting = [], []
        for number in range(image.n_frames):
            image.seek(number)
            shown.append(np.asarray(image.convert("RGB")))
            lasting.append(image.info["duration"])
        return np.stack(shown), lasting, image.info.get("loop")


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(0, 120), st.integers(130, 255))
def test_colours_stay_near(seed, low, high):
    source = colours(seed, low, high)
    assert np.abs(mapped(Palettes(), source).astype(int) - source).mean() < 9


def test_the_palette_stays_while_it_serves():
    """A patch that moves over a ground of the same colours leaves the rest of the picture as it is, to the bit."""
    palettes, ground = Palettes(), colours(1, 0, 255)
    before = mapped(palettes, ground)
    for x in range(0, 40, 4):
        moved = ground.copy()
        moved[10:20, x : x + 10] = ground[30:40, 50:60]
        shown = mapped(palettes, moved)
        outside = np.ones((48, 64), bool)
        outside[10:20, x : x + 10] = False
        np.testing.assert_array_equal(shown[outside], before[outside])


def test_another_palette_for_other_colours():
    palettes, dark, light = Palettes(), colours(2, 0, 60), colours(3, 190, 255)
    for source in (dark, light, dark):
        assert np.abs(mapped(palettes, source).astype(int) - source).mean() < 5


def test_a_small_thing_of_a_new_colour_is_seen():
    palettes, ground = Palettes(), colours(4, 0, 80)
    mapped(palettes, ground)
    with_red = ground.copy()
    with_red[20:28, 20:28] = (250, 10, 10)  # 2 % of the picture
    assert np.abs(mapped(palettes, with_red)[20:28, 20:28].astype(int) - (250, 10, 10)).max() < 16


def test_one_colour():
    flat = np.full((8, 8, 3), (12, 200, 90), np.uint8)
    assert np.abs(mapped(Palettes(), flat).astype(int) - flat).max() <= 4


@pytest.mark.parametrize("chain", ["null", "mirror,mirror"])
def test_what_stands_still_stays_the_same(chain, clip, convert):
    soft = "gradients=size=96x64:rate=10:duration=1:seed=3:speed=0.00001:c0=0x3a6ea5:c1=0xe0b070"
    still = f"{soft},trim=end_frame=1,loop=9:1,setpts=N/10/TB"
    source = clip("still.mkv", "-f", "lavfi", "-i", still, "-c:v", "ffv1", "-pix_fmt", "gbrp", "-r", "10")
    shown, lasting, loop = made_of(convert(source, "out.gif", chain).path)
    assert lasting == [1000] or lasting == [100] * 10
    assert (shown == shown[0]).all()
    assert loop == 0


def test_a_gif_is_near_its_source(real_clip, clip, convert, rgb):
    source = clip("small.mkv", "-t", "1", "-i", real_clip("bikes.mp4"), "-vf", "scale=200:-2", "-c:v", "ffv1")
    shown, _, _ = made_of(convert(source, "out.gif", "fps=10").path)
    true = rgb(source)[:: 25 // 10][: len(shown)].astype(int)  # the nearest frames, some a frame off
    assert len(shown) == 10
    assert np.abs(shown[0].astype(int) - true[0]).mean() < 4


@pytest.mark.parametrize(("rate", "lasting"), [("15", [70, 60, 70]), ("12.5", [80]), ("30000/1001", [30, 40, 30])])
def test_times_are_the_nearest_hundredths(rate, lasting, clip, convert, moving):
    source = clip("rate.mkv", *moving(rate=rate, seconds="2"), "-c:v", "ffv1")
    _, found, _ = made_of(convert(source, "out.gif").path)
    assert found[: len(lasting)] == lasting
    assert abs(sum(found) - 2000) <= 40
    starts = np.cumsum([0, *found])[:-1]
    exact = [float(n / Fraction(rate)) * 1000 for n in range(len(found))]
    assert np.abs(starts - exact).max() <= 6  # half a hundredth, and the millisecond that Matroska rounds


@pytest.mark.parametrize("chain", ["null", "mirror"])
def test_no_more_than_players_can_show(chain, clip, convert, moving):
    source = clip("fast.mkv", *moving(rate="60", seconds="1"), "-c:v", "ffv1")
    made = convert(source, "out.gif", chain)
    _, lasting, _ = made_of(made.path)
    assert lasting == [20] * 50
    assert made.lines == ["gif shows at most 50 frames a second: 60 frames became 50"]


def test_frames_that_come_too_close_are_dropped(clip, convert, moving):
    """A variable rate below 50 frames a second on average, where two come within a hundredth."""
    uneven = [*moving(rate="25"), "-vf", "setpts='(N+if(mod(N,5),0,-0.8))/25/TB'", "-c:v", "ffv1", "-fps_mode", "vfr"]
    made = convert(clip("uneven.mkv", *uneven, "-enc_time_base", "1/1000"), "out.gif")
    _, lasting, _ = made_of(made.path)
    assert min(lasting) >= 20
    assert len(lasting) < made.frames


def test_streamed_between_pipes(streamfx, film, tmp_path, ffmpeg):
    source = ffmpeg("-i", film, "-c", "copy", "-f", "matroska", "-")
    done = streamfx("run", "-", "-", "--chain", "null", "--format", "gif", "--fps", "5", "--width", "33", stdin=source)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.gif").write_bytes(done.stdout)
    shown, lasting, loop = made_of(tmp_path / "out.gif")
    assert (shown.shape, lasting, loop) == ((5, 25, 33, 3), [200] * 5, 0)
    assert subprocess.run(["ffprobe", "-v", "error", tmp_path / "out.gif"], capture_output=True).stderr == b""
