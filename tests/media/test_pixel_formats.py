"""Colors survive from the decoder to RGB and back to the encoder."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.frame import Frame
from streamfx.media.pixel_formats import (
    coding_of,
    convert_pixel_format,
    convertible,
    family,
    over_black,
    tag,
    to_image,
    to_video_frame,
)
from streamfx.media.probe import Coding

PATCHES = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (128, 128, 128),
    (200, 120, 60),
    (20, 90, 160),
]
MATRICES = {"bt601": "smpte170m", "bt709": "bt709", "bt2020": "bt2020nc", "untagged": "smpte170m"}
TAGS = {
    "bt601": ["-colorspace", "smpte170m", "-color_primaries", "smpte170m", "-color_trc", "smpte170m"],
    "bt709": ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"],
    "bt2020": ["-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "bt2020-10"],
    "untagged": [],
}


@pytest.fixture(scope="session")
def patches(tmp_path_factory):
    """Eight solid patches of 32x32 above a gray ramp, as raw RGB: path and values [64, 256, 3]."""
    values = np.zeros((64, 256, 3), np.uint8)
    for number, color in enumerate(PATCHES):
        values[:32, 32 * number : 32 * number + 32] = color
    values[32:] = np.arange(256, dtype=np.uint8)[None, :, None]
    path = tmp_path_factory.mktemp("patches") / "patches.rgb"
    path.write_bytes(values.tobytes() * 3)
    return path, values


@pytest.fixture(scope="session")
def coded(patches, clip):
    """coded(matrix, range, pix_fmt): the patches as lossless H.264 with this color coding and its tags."""

    def coded(matrix, limits, pix_fmt):
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "256x64", "-i", patches[0]]
        flags = "flags=accurate_rnd+full_chroma_int+full_chroma_inp"
        space = {"smpte170m": "bt601", "bt2020nc": "bt2020"}.get(MATRICES[matrix], MATRICES[matrix])
        convert = f"scale=out_color_matrix={space}:out_range={limits}:{flags},format={pix_fmt}"
        tags = [*TAGS[matrix], *([] if matrix == "untagged" and limits == "tv" else ["-color_range", limits])]
        return clip("patches.mkv", *raw, "-vf", convert, *tags, "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast")

    return coded


def max_error(actual, expected):
    """The largest difference inside the patches, away from their edges, where 4:2:0 mixes neighbors."""
    inside = [np.s_[..., 12:20, 32 * number + 12 : 32 * number + 20, :] for number in range(8)]
    return max(np.abs(actual[at].astype(int) - expected[at].astype(int)).max() for at in inside)


def max_error_of_ramp(actual, expected):
    ramp = np.s_[..., 44:52, :, :]
    return np.abs(actual[ramp].astype(int) - expected[ramp].astype(int)).max()


@pytest.mark.parametrize(
    ("matrix", "limits", "pix_fmt"),
    [
        *((matrix, limits, "yuv420p") for matrix in ("bt601", "bt709") for limits in ("tv", "pc")),
        *((matrix, limits, "yuv420p10le") for matrix in ("bt601", "bt709") for limits in ("tv", "pc")),
        ("untagged", "tv", "yuv420p"),
        ("bt2020", "tv", "yuv420p10le"),
    ],
)
def test_patches_keep_their_colors_and_tags(matrix, limits, pix_fmt, coded, patches, convert, rgb, video_stream):
    source = coded(matrix, limits, pix_fmt)
    tags = {k: v for k, v in video_stream(source).items() if k.startswith("color_")}
    lossless = {"encoder": "libx264", "options": {"qp": "0"}}
    for name, chain in [("null.mkv", "null"), ("rgb.mkv", "mirror,mirror")]:
        result = convert(source, name, chain, **lossless).path
        assert max_error(rgb(result), patches[1]) <= 3, name
        assert max_error_of_ramp(rgb(result), rgb(source)) <= 3, name
        assert {k: v for k, v in video_stream(result).items() if k.startswith("color_")} == tags
        assert video_stream(result)["pix_fmt"].replace("yuvj", "yuv") == pix_fmt  # ffprobe reports full range as yuvj


@pytest.fixture(scope="session")
def solids(clip):
    """A video of eight solid frames, lossless BT.709."""
    colors = "+".join(f"eq(N,{n})*{{{n}}}" for n in range(8))
    planes = [colors.format(*(patch[channel] for patch in PATCHES)) for channel in range(3)]
    draw = "nullsrc=s=32x32:r=25:d=0.32,format=gbrp,geq=" + ":".join(f"{c}='{p}'" for c, p in zip("rgb", planes))
    code = ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", *TAGS["bt709"], "-color_range", "tv"]
    return clip("solids.mkv", "-f", "lavfi", "-i", draw, *code, "-c:v", "libx264", "-qp", "0")


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.webm", "out.ts", "out.gif", "out.apng"])
@pytest.mark.parametrize("chain", ["null", "trails=0"])
def test_default_encoders_keep_solid_colors(name, chain, solids, convert, rgb, video_stream):
    result = convert(solids, name, chain).path
    frames = rgb(result)
    assert len(frames) == 8
    assert np.abs(frames[:, 4:-4, 4:-4].astype(int) - np.array(PATCHES)[:, None, None]).max() <= 3
    if name[4:] in ("mp4", "mov", "mkv", "ts"):
        assert {"color_space": "bt709", "color_range": "tv"}.items() <= video_stream(result).items()


@pytest.mark.parametrize("name", ["out.png", "out.jpg"])
@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
@pytest.mark.parametrize("chain", ["trim=end_frame=1", "trim=end_frame=1,mirror,mirror"])
def test_still_images_from_videos_keep_the_colors(name, matrix, chain, coded, patches, convert, rgb):
    result = convert(coded(matrix, "tv", "yuv420p"), name, chain).path
    assert max_error(rgb(result), patches[1]) <= 3 + 2 * (name == "out.jpg")


@pytest.mark.parametrize("chain", ["null", "mirror,mirror"])
def test_rgb_sources_become_tagged_bt709(chain, clip, patches, convert, rgb, video_stream):
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "256x64", "-i", patches[0]]
    result = convert(clip("rgb.mkv", *raw, "-c:v", "ffv1", "-pix_fmt", "bgr0"), "out.mp4", chain).path
    assert max_error(rgb(result), patches[1]) <= 3
    stream = video_stream(result)
    assert (stream["pix_fmt"], stream["color_space"], stream["color_range"]) == ("yuv420p", "bt709", "tv")
    assert stream["color_primaries"] == stream["color_transfer"] == "bt709"


@pytest.mark.parametrize("chain", ["null", "mirror,mirror"])
def test_jpeg_to_video_keeps_the_colors(chain, clip, patches, convert, rgb, video_stream):
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "256x64", "-i", patches[0]]
    still = clip("still.jpg", *raw, "-frames:v", "1", "-q:v", "1", "-qmin", "1")
    result = convert(still, "out.mp4", chain).path
    assert max_error(rgb(result), rgb(still)) <= 3
    assert video_stream(result)["color_range"] == "pc"


CODINGS = st.builds(
    Coding,
    st.sampled_from(["yuv444p", "yuv444p10le", "yuv444p12le", "yuv444p16le", "yuva444p", "yuva444p10le"]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([1, 2, 4, 5, 6, 7, 9, 10]),
)


@settings(max_examples=60)
@given(CODINGS, st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_yuv_and_rgb_are_inverse(coding, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=generator)
    alpha = torch.rand(1, height, width, generator=generator) if coding.has_alpha else None
    frame = to_video_frame(image, alpha, coding)
    assert coding_of(frame) == coding
    back, opacity = to_image(frame)
    step = 1 / (220 * 2 ** (coding.depth - 8))
    torch.testing.assert_close(back, image, atol=1.6 * step, rtol=0)
    if alpha is None:
        assert opacity is None
    else:
        torch.testing.assert_close(opacity, alpha, atol=0.6 / (2**coding.depth - 1), rtol=0)


@settings(max_examples=40)
@given(
    st.sampled_from(["rgb24", "bgr24", "bgra", "gbrp", "gbrp10le", "rgb48le", "rgba64le", "gbrap12le", "0rgb"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**31),
)
def test_rgb_formats_are_lossless(pix_fmt, height, width, seed):
    coding = Coding(pix_fmt, 0, 0)
    peak = 2**coding.depth - 1
    image = torch.randint(0, peak + 1, (3, height, width), generator=torch.Generator().manual_seed(seed)) / peak
    alpha = torch.ones(1, height, width) if coding.has_alpha else None
    back, _ = to_image(to_video_frame(image, alpha, coding))
    torch.testing.assert_close(back, image, atol=0.1 / peak, rtol=0)


@pytest.mark.parametrize(
    "pix_fmt",
    [
        "gray",
        "gray10le",
        "gray16le",
        "ya8",
        "pal8",
        "monow",
        "monob",
        "nv12",
        "p010le",
        "yuyv422",
        "yuv410p",
        "yuvj420p",
        "gbrpf32le",
    ],
)
def test_every_kind_of_pixel_format_is_read(pix_fmt, ffmpeg):
    size = {"size": "32x16"}
    gray = "gray" in pix_fmt or pix_fmt.startswith(("mono", "ya"))
    raw = ffmpeg(
        "-f",
        "lavfi",
        "-i",
        f"color=white:s={size['size']}:d=1",
        "-frames:v",
        "1",
        "-pix_fmt",
        "rgb24",
        "-f",
        "rawvideo",
        "-",
    )
    white = av.VideoFrame.from_ndarray(np.frombuffer(raw, np.uint8).reshape(16, 32, 3).copy(), format="rgb24")
    image, alpha = to_image(white.reformat(format=pix_fmt) if pix_fmt != "pal8" else white.reformat(format="rgb8"))
    assert image.shape == (3, 16, 32)
    assert image.dtype == torch.float32
    assert (image - 1).abs().max() < 3 / 255
    assert alpha is None or bool((alpha == 1).all())
    assert gray or family(pix_fmt) in ("yuv", "gbr")


@pytest.mark.parametrize(("full", "black", "white"), [(False, 16, 235), (True, 0, 255)])
def test_the_range_of_the_coding_is_used(full, black, white):
    for pix_fmt in ("yuv420p", "gray"):
        frame = to_video_frame(
            torch.stack([torch.zeros(4, 4), torch.ones(4, 4)], 1).reshape(1, 8, 4).expand(3, -1, -1),
            None,
            Coding(pix_fmt, 1 + full, 1),
        )
        luma = frame.to_ndarray()[:8, :4]
        assert (luma.min(), luma.max()) == (black, white)


def test_convertible_requires_the_same_color_coding():
    assert convertible(Coding("yuv420p", 1, 1), Coding("yuv444p10le", 1, 1))
    assert not convertible(Coding("yuv420p", 1, 1), Coding("yuv420p", 2, 1))
    assert not convertible(Coding("yuv420p", 1, 1), Coding("yuv420p", 1, 5))
    assert not convertible(Coding("yuv420p", 1, 1), Coding("rgb24", 1, 1))
    assert convertible(Coding("bgra"), Coding("gbrap10le"))


@pytest.mark.parametrize("limits", [1, 2])
def test_a_pixel_format_change_keeps_code_values(limits):
    frame = av.VideoFrame(8, 8, "yuv420p")
    for plane, value in zip(frame.planes, (200, 90, 160)):
        plane.update(bytes([value]) * plane.buffer_size)
    tag(frame, Coding("yuv420p", limits, 1, 1, 1))
    wide = convert_pixel_format(frame, "yuv444p10le")
    assert coding_of(wide) == Coding("yuv444p10le", limits, 1, 1, 1)
    for plane, value in zip(wide.planes, (200, 90, 160)):
        first = np.frombuffer(memoryview(plane), "<u2")[0] / 4
        assert abs(first - value) <= (0 if limits == 1 else 1)


def test_over_black():
    assert over_black(torch.ones(3, 1, 2), torch.tensor([[[0.0, 0.5]]])).tolist() == [[[0.0, 0.5]]] * 3
    assert Frame(torch.ones(3, 1, 2), Fraction(0), Fraction(1)).alpha is None
