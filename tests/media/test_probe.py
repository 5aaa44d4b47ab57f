"""Metadata of sources, pixel formats and codecs."""

from fractions import Fraction

import pytest

import streamfx
from streamfx.media.probe import Coding, decoders, depth, encoders, has_alpha, plausible, versions


def test_info_of_a_video(video):
    with streamfx.open(video) as reader:
        info = reader.info
    assert (info.height, info.width, info.rate) == (48, 64, 25)
    assert info.time_base == Fraction(1, 12800)
    assert info.duration == 1
    assert info.frames == 25
    assert info.coding == Coding("yuv420p")
    assert info.sample_aspect_ratio == 1
    assert not info.interlaced
    assert info.mastering is info.light_level is None


def test_info_of_a_10_bit_source_without_a_duration(clip, moving):
    source = clip("raw.y4m", *moving(pix_fmt="yuv422p10le"), "-strict", "-1")
    with streamfx.open(source) as reader:
        assert reader.info.coding.pix_fmt == "yuv422p10le"
        assert reader.info.coding.depth == 10
        assert reader.info.rate == 25


def test_info_of_wide_pixels_and_real_clips(real_clip, clip, moving):
    with streamfx.open(clip("wide.mkv", *moving(), "-vf", "setsar=64/45", "-c:v", "libx264")) as reader:
        assert reader.info.sample_aspect_ratio == Fraction(64, 45)
    with streamfx.open(real_clip("bigbuckbunny.mp4")) as reader:
        assert (reader.info.height, reader.info.width, reader.info.rate) == (720, 1280, 25)
        assert abs(reader.info.frames - 132) <= 1
    with streamfx.open(real_clip("bikes.mp4")) as reader:
        assert (reader.info.height, reader.info.width) == (272, 640)
        assert abs(reader.info.frames - 250) <= 1


@pytest.mark.parametrize(
    ("pix_fmt", "bits", "alpha"),
    [
        ("yuv420p", 8, False),
        ("p010le", 10, False),
        ("yuva444p12le", 12, True),
        ("rgba64le", 16, True),
        ("pal8", 8, True),
    ],
)
def test_depth_and_alpha_of_pixel_formats(pix_fmt, bits, alpha):
    assert depth(pix_fmt) == bits
    assert has_alpha(pix_fmt) == alpha
    assert Coding(pix_fmt).depth == bits
    assert Coding(pix_fmt).has_alpha == alpha


def test_rates_that_are_ticks_are_not_plausible():
    assert plausible(Fraction(30000, 1001)) == Fraction(30000, 1001)
    assert plausible(Fraction(960)) == 960
    assert plausible(Fraction(60000)) is plausible(Fraction(0)) is plausible(None) is None


def test_codecs_of_this_build():
    assert {"libx264", "libx265", "ffv1", "png"} <= encoders()
    assert "aac" in encoders("audio")
    assert {"h264", "hevc", "vp9"} <= decoders()
    assert encoders().isdisjoint(encoders("audio"))


def test_versions_include_the_libraries():
    assert {"python", "av", "ffmpeg", "libavcodec"} <= versions().keys()
