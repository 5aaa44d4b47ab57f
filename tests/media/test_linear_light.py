"""Linear light in floating point: what OpenEXR files hold, and how they are read."""

import numpy as np
import pytest
import torch
from av import VideoFrame

from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader
from streamfx.media.linear_light import LINEAR, is_float, to_image, to_video_frame

CODES = torch.tensor([0.0, 0.02, 0.2, 0.5, 0.735357, 1.0])
LIGHT = [0.0, 0.001548, 0.033105, 0.214041, 0.5, 1.0]  # IEC 61966-2-1


@pytest.fixture
def image():
    return CODES.expand(3, 4, -1) * torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)


def planes_of(frame):
    rows = [np.frombuffer(memoryview(plane), "<f4").reshape(plane.height, -1) for plane in frame.planes]
    return torch.from_numpy(np.stack(rows)[:, :, : frame.width])


def test_float_formats():
    assert [is_float(name) for name in ("gbrpf32le", "grayf16be", "gbrp16le", "yuv420p")] == [True, True, False, False]


def test_light_is_linear_and_premultiplied(image):
    green, blue, red, alpha = planes_of(to_video_frame(image, torch.full((1, 4, 6), 0.25), "gbrapf32le"))
    assert torch.allclose(red[0], torch.tensor(LIGHT) * 0.25, atol=1e-6)
    assert (green[:, -1] - 0.25 * 0.214041).abs().max() < 1e-6
    assert (blue == 0).all()
    assert (alpha == 0.25).all()


@pytest.mark.parametrize("alpha", [None, 0.25])
def test_there_and_back(alpha, image):
    opacity = None if alpha is None else torch.full((1, 4, 6), alpha)
    frame = to_video_frame(image, opacity, "gbrpf32le" if alpha is None else "gbrapf32le")
    frame.color_trc = LINEAR
    restored, restored_alpha = to_image(frame)
    assert (restored - image).abs().max() < 1e-5
    assert (restored_alpha is None) if alpha is None else (restored_alpha == alpha).all()


def test_values_that_are_not_colors():
    frame = to_video_frame(torch.zeros(3, 4, 6), None, "gbrpf32le")
    np.copyto(np.frombuffer(memoryview(frame.planes[0]), "<f4"), np.float32("nan"))
    np.copyto(np.frombuffer(memoryview(frame.planes[1]), "<f4"), np.float32("inf"))
    image, _ = to_image(frame)
    assert (image.min(), image.max()) == (0, 1)


def test_gray_is_read_as_three_channels():
    frame = VideoFrame(6, 4, "grayf32le")
    np.copyto(np.frombuffer(memoryview(frame.planes[0]), "<f4"), np.float32(0.5))
    image, alpha = to_image(frame)
    assert image.shape == (3, 4, 6)
    assert (image == 0.5).all()
    assert alpha is None


@pytest.fixture
def transparent_png(clip):
    ramp = "color=gray:s=32x16:r=25:d=0.08,format=rgba,geq=r=40+X*6:g=200:b=Y*10:a=255-X*4"
    return clip("a%d.png", "-f", "lavfi", "-i", ramp)


def test_exr_and_png16_keep_color_and_alpha(transparent_png, convert, ffmpeg, tmp_path):
    made = convert(transparent_png, "l%d.exr", "mirror,mirror")
    assert made.encoder == "exr"
    raw = ffmpeg("-i", tmp_path / "l1.exr", "-f", "rawvideo", "-pix_fmt", "gbrapf32le", "-")
    green = np.frombuffer(raw, "<f4").reshape(4, 16, 32)[0]
    expected = ((200 / 255 + 0.055) / 1.055) ** 2.4 * (255 - 4 * np.arange(32)) / 255
    assert np.abs(green[0] - expected).max() < 1e-3  # half floats
    convert(tmp_path / "l%d.exr", "back%d.png", "null", format="png16")
    source, back = (next(iter(Reader(name))) for name in (transparent_png, tmp_path / "back%d.png"))
    assert (source.image - back.image).abs().max() < 1e-3
    assert (source.alpha - back.alpha).abs().max() < 1e-3


def test_hdr_cannot_become_exr(clip, moving, convert):
    tags = ["-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "smpte2084"]
    source = clip("hdr.mkv", *moving(seconds="0.08"), "-pix_fmt", "yuv420p10le", "-c:v", "ffv1", *tags)
    with pytest.raises(StreamfxError, match=r"linear Rec.709 light, but the source is BT.2020 or HDR; give --format"):
        convert(source, "o%d.exr", "mirror")
