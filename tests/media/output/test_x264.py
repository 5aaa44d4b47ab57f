"""x264 is deterministic, also at widths at which it is not by default."""

import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest

from streamfx.media.output import x264
from streamfx.media.output.x264 import repeatable_options

HEIGHT, WIDTH = 96, 400  # 25 macroblocks in a row


def encoded(images, options):
    context = av.CodecContext.create("libx264", "w")
    context.height, context.width = images[0].shape[:2]
    context.pix_fmt, context.framerate, context.options = "yuv420p", Fraction(25), options
    context.time_base = Fraction(1, 12800)
    digest = hashlib.md5()
    for number, pixels in enumerate(images):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = 512 * number, Fraction(1, 12800)
        for packet in context.encode(frame):
            digest.update(bytes(packet))
    for packet in context.encode(None):
        digest.update(bytes(packet))
    return digest.hexdigest()


def test_encoding_is_deterministic():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (20, WIDTH // 8 + 36, 3), np.uint8).repeat(8, 0).repeat(8, 1).astype(int)
    noise = rng.integers(0, 30, (HEIGHT, WIDTH, 3))
    images = []
    for step in range(28):
        moved = scene[4 : HEIGHT + 4, 4 + 3 * step : WIDTH + 4 + 3 * step] + np.roll(noise, 5 * step, 1)
        images.append(moved.clip(0, 255).astype(np.uint8))
    options = repeatable_options("libx264", {"crf": "18", "preset": "veryfast"}, WIDTH)
    digests = set()
    for _ in range(10):
        dirty = [np.full(size, 7, np.uint8) for size in rng.integers(1000, 2_000_000, 6)]
        del dirty  # uninitialized memory must not matter
        digests.add(encoded(images, options))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("encoder", "options", "width", "has_avx512", "params"),
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
def test_avx_512_is_disabled_only_where_needed(encoder, options, width, has_avx512, params, monkeypatch):
    monkeypatch.setattr(x264, "_has_avx512", lambda: has_avx512)
    result = repeatable_options(encoder, options, width)
    assert result.pop("x264-params", None) == params
    assert result == {name: value for name, value in options.items() if name != "x264-params"}
