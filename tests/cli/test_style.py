"""`streamfx style`: masks on real videos, sizes and rates, and errors."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from streamfx.chain import build_chain, chain_text
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.frame import Frame

CPU = torch.device("cpu")
SIZE = "48x32"
PIXELS = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="session")
def halves(tmp_path_factory):
    """A mask: black to the left, white to the right."""
    file = tmp_path_factory.mktemp("mask") / "halves.png"
    pixels = np.zeros((32, 48), np.uint8)
    pixels[:, 24:] = 255
    Image.fromarray(pixels).save(file)
    return str(file)


@pytest.fixture(scope="session")
def blink(clip):
    """A mask video of a second: black, and white from half a second on."""
    text = f"color=white:size={SIZE}:rate=20:duration=1,drawbox=color=black:t=fill:enable='lt(n,10)'"
    return str(clip("blink.mkv", "-f", "lavfi", "-i", text, "-c:v", "ffv1"))


@pytest.fixture(scope="session")
def short_video(clip, moving):
    return clip("short.mkv", *moving(SIZE, "10"), "-c:v", "ffv1", "-pix_fmt", "gbrp")


def stylize(style, pts=Fraction(0)):
    (stylized,) = style.build(CPU)(Frame(PIXELS, pts, Fraction(1, 25)), {})
    return stylized.image


def test_the_source_stays_where_the_mask_is_black(halves):
    stylized = stylize(Style(mask=halves))
    assert torch.equal(stylized[..., :24], PIXELS[..., :24])
    assert torch.equal(stylized[..., 24:], stylize(Style())[..., 24:])
    assert (stylized - PIXELS)[..., 24:].abs().mean() > 0.02


def test_another_preset_where_it_is_black(halves):
    settings = {"strength": 0.7, "preserve_color": True}
    stylized = stylize(Style(mask=halves, mask_preset="munch", **settings))
    assert torch.equal(stylized[..., 24:], stylize(Style(**settings))[..., 24:])
    assert torch.equal(stylized[..., :24], stylize(Style(preset="munch", **settings))[..., :24])


@settings(max_examples=8)
@given(gray=st.integers(0, 255))
def test_gray_mixes(gray, tmp_path_factory):
    file = tmp_path_factory.mktemp("gray") / "gray.png"
    Image.new("L", (3, 2), gray).save(file)
    torch.testing.assert_close(stylize(Style(mask=str(file))), PIXELS.lerp(stylize(Style()), gray / 255))


def test_a_mask_in_a_chain(halves):
    (style,) = build_chain(f"style=vangogh:mask={halves}:mask_preset=munch")
    assert style == Style("vangogh", mask=halves, mask_preset="munch")
    assert build_chain(chain_text([style])) == [style]
    later = Style(mask="a.mp4", mask_start=Fraction(21, 2))
    assert build_chain(chain_text([later])) == [later]


@settings(deadline=None)
@given(start=st.fractions(0, 10**4), more=st.fractions(0, 10))
def test_a_job_that_starts_later_starts_later_in_its_mask(start, more):
    style = Style(mask="a.mp4", mask_start=more, precision="fp32")
    assert style.resolve(CPU, start) == replace(style, mask_start=start + more)
    assert Style(precision="fp32").resolve(CPU, start) == Style(precision="fp32")


def test_a_step_that_starts_in_the_middle_gives_the_same_frames(blink):
    times = [Fraction(n, 20) for n in range(7, 13)]
    step = Style(mask=blink).build(CPU)
    whole = [next(iter(step(Frame(PIXELS, pts, Fraction(1, 20)), {}))).image for pts in times]
    assert [torch.equal(image, PIXELS) for image in whole] == [True] * 3 + [False] * 3
    for pts, image in [*zip(times, whole)][::-2]:
        assert torch.equal(stylize(Style(mask=blink), pts), image)


def test_masks_are_read_before_anything_is_stylized(tmp_path):
    (tmp_path / "no.png").write_bytes(bytes(99))
    with pytest.raises(StreamfxError, match=r"^the mask: .*no\.png"):
        Style(mask=str(tmp_path / "no.png")).build(CPU)


@pytest.mark.parametrize("wrong", [-1, Fraction(10**8), "1", None, float("nan")])
def test_invalid_start_times(wrong):
    with pytest.raises(StreamfxError, match=r"mask_start is .* must be"):
        Style(mask="a.mp4", mask_start=wrong)


def test_a_part_of_a_video_with_a_mask_of_the_whole(streamfx, short_video, blink, rgb):
    """--from 0.3: the output at 0.2 s is the video at 0.5 s, where the mask turns white."""
    options = ["--from", "0.3", "--mask", blink, "--quality", "fast", "--stroke", "2"]
    done = streamfx("style", short_video, "out.mkv", *options, "--encoder", "ffv1")
    assert (done.returncode, done.stderr) == (0, "")
    changed = np.abs(rgb(streamfx.home / "out.mkv").astype(int) - rgb(short_video)[3:]).mean((1, 2, 3))
    assert len(changed) == 7
    assert (changed[:2] <= 1).all()
    assert (changed[2:] > 5).all()


def test_the_last_frame_of_a_short_mask_is_held_with_a_warning(short_video, convert, clip, rgb):
    white = clip("white.mkv", "-f", "lavfi", "-i", f"color=white:size={SIZE}:rate=10:duration=0.4", "-c:v", "ffv1")
    done = convert(short_video, "out.mkv", f"style=mask={white}", encoder="ffv1")
    assert done.warnings == [f"the mask '{white}' ends at 0.40 s, before the video; holding its last frame"]
    assert (np.abs(rgb(done.path).astype(int) - rgb(short_video)).mean((1, 2, 3)) > 5).all()


def test_a_gif_with_a_rate_and_a_width(streamfx, short_video, video_stream):
    done = streamfx("style", short_video, "out.gif", "--fps", "4", "--width", "33", "--quality", "fast", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert b'"frames": 4' in done.stdout
    assert b'"frames_read": 4' in done.stdout  # dropped frames are not stylized
    stream = video_stream(streamfx.home / "out.gif")
    assert (stream["width"], stream["height"]) == (33, 22)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--mask", "none.png"], 1, "the mask: no such file: 'none.png'"),
        (["--mask", "-"], 1, "the mask cannot come from stdin"),
        (["--mask-preset", "munch"], 2, "--mask-preset is for the black part of a mask; give --mask as well"),
        (["--preset", "vangogh:0,munch:0"], 1, "must be finite and above 0"),
        *((["--fps", wrong], 2, f"'{wrong}' is not a frame rate") for wrong in ("0", "-3", "abc", "1/0", "1e9")),
        *((["--width", wrong], 2, f"'{wrong}' is not a width") for wrong in ("0", "-3", "3.5", "100000", "wide", "٣")),
    ],
)
def test_errors_are_one_line_and_leave_nothing(arguments, code, message, streamfx, short_video):
    done = streamfx("style", short_video, "out.mp4", *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(streamfx.home.iterdir()) == []


@pytest.mark.parametrize("option", [["--quality", "best"], ["--stroke", "3"], ["--stroke", "0.1"]])
def test_options_out_of_range(option, streamfx, short_video):
    assert streamfx("style", short_video, "out.mp4", *option).returncode == 2
    assert list(streamfx.home.iterdir()) == []
