"""Encoder and pixel format selection: bit depth, alpha, odd sizes, HDR and user options."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from streamfx.effects.mirror import Mirror
from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader

OPAQUE = "testsrc2=s=64x48:r=25:d=0.2"


SOURCES = ["qtrle.mov", "png.mov", "prores.mov", "ffv1.mkv", "vp9.webm", "anim.apng"]


@pytest.mark.parametrize(
    ("source", "target", "chain"),
    [
        *((source, "out.mov", "null") for source in SOURCES),
        *((source, "o%d.png", "mirror,mirror") for source in ("prores.mov", "vp9.webm")),
        *((source, "out.mkv", "mirror,mirror") for source in ("qtrle.mov", "vp9.webm")),
        *((source, "out.webm", "null") for source in ("png.mov", "prores.mov", "anim.apng")),
        *((source, "out.apng", "mirror,mirror") for source in ("qtrle.mov", "prores.mov", "ffv1.mkv")),
    ],
)
def test_alpha_is_kept(source, target, chain, transparent, convert):
    made = convert(transparent(source), target, chain)
    assert not made.warned("does not support transparency")
    # read by our Reader: ffmpeg 5 supports alpha of more than 8 bits neither in apng nor in ffv1
    with Reader(made.path.with_name("o1.png") if "%" in target else made.path) as reader:
        frame = next(iter(reader))
    opacity, color = frame.alpha[0, 4:-4] * 255, frame.image[:, 4:-4, 4:28] * 255
    assert (opacity[:, 4:28] - 255).abs().max() <= 3
    assert (opacity[:, 36:60] - 80).abs().max() <= 4
    assert (color - torch.tensor([254.0, 0, 0]).view(3, 1, 1)).abs().max() <= 6


@pytest.mark.parametrize("chain", ["null", "mirror", "mirror,hue=s=0.5"])
@pytest.mark.parametrize(
    ("target", "name", "pix_fmts"),
    [
        ("out.mov", "prores", ("yuv444p12le", "yuva444p12le")),
        ("o%d.png", "png16", ("rgb48be", "rgba64be")),
        ("o%d.exr", None, ("gbrpf32le", "gbrapf32le")),
    ],
)
def test_formats_for_editors(target, name, pix_fmts, chain, video, transparent, convert, video_stream):
    for source, pix_fmt in zip((video, transparent("png.mov")), pix_fmts):
        made = convert(source, target, chain, format=name, overwrite=True, audio=False)
        stream = video_stream(made.path.with_name(target.replace("%d", "1")))
        assert stream["pix_fmt"] == pix_fmt
        assert stream.get("profile", "4444") in ("4444", "unknown")
        assert not made.warnings


def test_ffmpeg_reads_our_alpha(transparent, convert, rgb):
    for source, target, before in (
        ("png.mov", "out.mov", []),
        ("ffv1.mkv", "out.mkv", []),
        ("anim.apng", "out.apng", []),
        ("png.mov", "out.webm", ["-c:v", "libvpx-vp9"]),
    ):
        image = rgb(convert(transparent(source), target, "null").path, "rgba", *before)[0].astype(int)
        assert np.abs(image[4:-4, 4:28, 3] - 255).max() <= 3
        assert np.abs(image[4:-4, 36:60, 3] - 80).max() <= 4


@pytest.mark.parametrize("chain", ["null", "mirror,mirror"])
def test_gif_keeps_binary_alpha(chain, transparent, convert, rgb):
    made = convert(transparent("qtrle.mov", alpha=0), "out.gif", chain)
    image = rgb(made.path, "rgba")[0]
    assert (image[:, 4:28, 3] == 255).all()
    assert (image[:, 36:60, 3] == 0).all()


@pytest.mark.parametrize("chroma", ["420", "422", "444"])
@pytest.mark.parametrize(
    ("target", "chain", "codec"),
    [("out.mp4", "null", "hevc"), ("out.mkv", "mirror", "hevc"), ("out.nut", "null", "h264")],
)
def test_ten_bits_are_kept(chroma, target, chain, codec, clip, convert, video_stream):
    source = clip("ten.mkv", "-f", "lavfi", "-i", OPAQUE, "-c:v", "ffv1", "-pix_fmt", f"yuv{chroma}p10le")
    stream = video_stream(convert(source, target, chain).path)
    assert (stream["codec_name"], stream["pix_fmt"]) == (codec, f"yuv{chroma}p10le")


@pytest.mark.parametrize("chain", ["null", "mirror"])
def test_ten_bits_keep_their_precision(chain, clip, convert, ffmpeg):
    """A slow ramp has code values between those of 8 bits, also after the chain."""
    ramp = "nullsrc=s=256x64:d=0.1:r=25,format=yuv420p10le,geq=lum='400+X/4':cb=512:cr=512"
    source = clip("ramp.mkv", "-f", "lavfi", "-i", ramp, "-c:v", "ffv1")
    made = convert(source, "out.mkv", chain, encoder="ffv1").path
    raw = np.frombuffer(ffmpeg("-i", made, "-frames:v", "1", "-pix_fmt", "gray10le", "-f", "rawvideo", "-"), "<u2")
    assert len(np.unique(raw)) >= 60


SIZES = [(1, 1), (3, 5), (33, 17), (64, 1), (1, 64), (65, 48)]


@pytest.mark.parametrize(
    ("size", "target", "chain"),
    [
        *((size, "out.mp4", "null") for size in SIZES),
        *((size, "out.mkv", "mirror,mirror") for size in SIZES),
        *((size, f"out.{kind}", "null") for size in SIZES[:3] for kind in ("gif", "webm", "png")),
    ],
)
def test_any_size(size, target, chain, clip, convert, rgb, video_stream):
    width, height = size
    ramp = f"nullsrc=s=128x128:d=1:r=1,format=gbrp,geq=r='40+X':g='200-Y':b=90,scale={width}:{height}:flags=area"
    source = clip("odd.png", "-f", "lavfi", "-i", ramp, "-frames:v", "1")
    made = convert(source, target, chain)
    stream = video_stream(made.path)
    assert (stream["width"], stream["height"]) == (width, height)
    odd = width % 2 or height % 2
    if target in ("out.mp4", "out.mkv"):
        assert stream["pix_fmt"] == ("yuv444p" if odd else "yuv420p")
    assert np.abs(rgb(made.path)[0].astype(int) - rgb(source)[0]).mean() < 12  # neither sheared nor cropped


def test_odd_video_sizes_warn_about_players(clip, convert, video_stream):
    source = clip(
        "odd.mkv", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2,scale=33:17", "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    )
    made = convert(source, "out.mp4", "null")
    assert made.warnings == ["libx264 cannot encode 33x17 as 4:2:0; using 4:4:4, which some players reject"]
    assert video_stream(made.path)["pix_fmt"] == "yuv444p"


@pytest.mark.parametrize("size", ["16x16", "33x17", "34x34", "8x2"])
def test_ten_bits_too_small_for_x265_use_x264(size, clip, convert, video_stream):
    code = ["-vf", f"scale={size.replace('x', ':')}", "-c:v", "ffv1", "-pix_fmt", "yuv420p10le"]
    source = clip("tiny.mkv", "-f", "lavfi", "-i", OPAQUE, *code)
    stream = video_stream(convert(source, "out.mp4", "null").path)
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv444p10le" if size == "33x17" else "yuv420p10le")
    assert f"{stream['width']}x{stream['height']}" == size


@pytest.fixture(scope="session")
def hdr(clip):
    """HDR10: BT.2020, PQ, mastering display and light level."""
    light = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    tags = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv"]
    code = ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", f"log-level=error:hdr10=1:{light}"]
    return clip("hdr.mkv", "-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=0.2", *tags, *code)


@pytest.mark.parametrize(
    ("target", "chain"), [("out.mp4", "null"), ("out.mkv", "mirror"), ("out.ts", "hflip"), ("out.webm", "null")]
)
def test_hdr_metadata_is_kept(target, chain, hdr, convert, probe):
    query = ["-select_streams", "v", "-read_intervals", "%+#1", "-show_frames"]
    before, after = (probe(path, *query)["frames"][0] for path in (hdr, convert(hdr, target, chain).path))
    for key in ("color_range", "color_space", "color_primaries", "color_transfer", "pix_fmt"):
        assert after[key] == before[key]
    kinds = ("Mastering display metadata", "Content light level metadata")
    sides = [
        {s["side_data_type"]: s for s in frame["side_data_list"] if s["side_data_type"] in kinds}
        for frame in (before, after)
    ]
    assert set(sides[0]) == set(kinds)
    if target != "out.webm":
        assert sides[1] == sides[0]
        return
    assert sides[1][kinds[1]] == sides[0][kinds[1]]
    for key, value in sides[0][kinds[0]].items():  # AV1 uses other fractions
        if "/" in value:
            assert Fraction(sides[1][kinds[0]][key]) == pytest.approx(Fraction(value), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "codec", "pix_fmt"),
    [
        ({"encoder": "libx265"}, "hevc", "yuv420p"),
        ({"encoder": "libx265", "pix_fmt": "yuv422p10le"}, "hevc", "yuv422p10le"),
        ({"encoder": "prores_ks"}, "prores", "yuv422p12le"),
        ({"encoder": "ffv1"}, "ffv1", "yuv420p"),
        ({"encoder": "libsvtav1", "crf": 40.0}, "av1", "yuv420p"),
        ({"encoder": "mpeg4", "options": {"b": "300k"}}, "mpeg4", "yuv420p"),
        ({"pix_fmt": "yuv444p"}, "h264", "yuv444p"),
    ],
)
def test_encoder_options(options, codec, pix_fmt, video, convert, video_stream):
    stream = video_stream(convert(video, "out.mkv", "null", **options).path)
    assert (stream["codec_name"], stream["pix_fmt"]) == (codec, pix_fmt)


@pytest.mark.parametrize("target", ["out.mp4", "out.webm", "out.mov", "out.ts"])
@pytest.mark.parametrize("depth", ["rgb24", "rgb48be"])
def test_videos_of_rgb_images_are_420(target, depth, clip, convert, video_stream):
    source = clip("still.png", "-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", "1", "-pix_fmt", depth)
    assert video_stream(convert(source, target, "null").path)["pix_fmt"] == f"yuv420p{'10le' * (depth != 'rgb24')}"


@pytest.mark.parametrize("target", ["out.png", "out.jpg", "out.mkv", "out.mov", "out.gif", "out.y4m"])
def test_palette_images_become_true_color(target, clip, convert, rgb):
    indexed = clip("indexed.png", "-f", "lavfi", "-i", OPAQUE, "-frames:v", "1", "-pix_fmt", "pal8")
    made = convert(indexed, target, effects=[Mirror()])
    assert not made.warned("lossy")
    assert np.abs(rgb(made.path)[0, :, ::-1].astype(int) - rgb(indexed)[0].astype(int)).mean() < 6


def test_crf_and_options_reach_the_encoder(video, convert):
    sizes = [convert(video, f"{crf}.mkv", "null", crf=crf, audio=False).path.stat().st_size for crf in (10.0, 40.0)]
    assert sizes[0] > 1.5 * sizes[1]
    assert b"crf=18.0" in convert(video, "default.mkv", "null").path.read_bytes()
    made = convert(video, "tuned.mkv", "null", options={"preset": "slow", "x264-params": "keyint=7"}).path.read_bytes()
    assert b"keyint=7" in made
    assert b"subme=8" in made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "h264x"}, "unknown encoder 'h264x'"),
        ({"pix_fmt": "bgr99"}, "unknown pixel format"),
        ({"encoder": "gif", "crf": 3.0}, "gif has no option 'crf'"),
        ({"options": {"tempo": "1"}}, "libx264 has no option 'tempo'"),
        ({"encoder": "msrle"}, "msrle needs a palette"),
        ({"encoder": "h261"}, r"64x48 is not valid for the H.261 codec. Valid sizes are 176x144"),
    ],
)
def test_invalid_options(options, message, video, convert, tmp_path):
    with pytest.raises(StreamfxError, match=message):
        convert(video, "out.mkv", "null", **options)
    assert list(tmp_path.iterdir()) == []
