"""x264 codes the same pictures alike each time, at widths where by itself it does not."""

import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest

from streamfx.media.output import x264
from streamfx.media.output.x264 import repeatable

HEIGHT, WIDTH = 96, 400  # 25 macroblocks in a row


def coded(pictures, options):
    context = av.CodecContext.create("libx264", "w")
    context.height, context.width = pictures[0].shape[:2]
    context.pix_fmt, context.framerate, context.options = "yuv420p", Fraction(25), options
    context.time_base = Fraction(1, 12800)
    digest = hashlib.md5()
    for number, pixels in enumerate(pictures):
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        picture.pts, picture.time_base = 512 * number, Fraction(1, 12800)
        for packet in context.encode(picture):
            digest.update(bytes(packet))
    for packet in context.encode(None):
        digest.update(bytes(packet))
    return digest.hexdigest()


def test_the_same_pictures_are_coded_alike():
    chance = np.random.default_rng(0)
    scene = chance.integers(0, 255, (20, WIDTH // 8 + 36, 3), np.uint8).repeat(8, 0).repeat(8, 1).astype(int)
    noise = chance.integers(0, 30, (HEIGHT, WIDTH, 3))
    pictures = []
    for at in range(28):
        moved = scene[4 : HEIGHT + 4, 4 + 3 * at : WIDTH + 4 + 3 * at] + np.roll(noise, 5 * at, 1)
        pictures.append(moved.clip(0, 255).astype(np.uint8))
    options = repeatable("libx264", {"crf": "18", "preset": "veryfast"}, WIDTH)
    made = set()
    for _ in range(10):
        dirty = [np.full(size, 7, np.uint8) for size in chance.integers(1000, 2_000_000, 6)]
        del dirty  # what it finds in memory must not matter
        made.add(coded(pictures, options))
    assert len(made) == 1


@pytest.mark.parametrize(
    ("encoder", "options", "width", "has", "given"),
    [
        ("libx264", {"crf": "18"}, 400, True, "asm=avx2"),
        ("libx264rgb", {}, 320, True, "asm=avx2"),
        ("libx264", {"x264-params": "keyint=7"}, 100, True, "asm=avx2:keyint=7"),
        ("libx264", {"x264-params": "asm=sse2"}, 100, True, "asm=sse2"),
        ("libx264", {}, 100, False, None),
        ("libx264", {}, 1280, True, None),
        ("libx264", {}, 1275, True, None),
        ("libx265", {}, 100, True, None),
    ],
)
def test_it_is_kept_from_avx_512_where_that_matters(encoder, options, width, has, given, monkeypatch):
    monkeypatch.setattr(x264, "_has_avx512", lambda: has)
    told = repeatable(encoder, options, width)
    assert told.pop("x264-params", None) == given
    assert told == {name: value for name, value in options.items() if name != "x264-params"}
