"""Which encoder and pixel format an output gets: depth, alpha, odd sizes, HDR, and the user's own choice."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from streamfx.effects.mirror import Mirror
from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader

OPAQUE = "testsrc2=s=64x48:r=25:d=0.2"
CLEAR = (
    "color=red:s=64x48:r=25:d=0.2,format=yuva444p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='if(lt(X,32),255,80)'"
)


@pytest.fixture(scope="session")
def clear(clip):
    """clear(name): a red picture, opaque on its left and a third so on its right."""
    code = {
        "qtrle.mov": ["-c:v", "qtrle"],
        "png.mov": ["-c:v", "png"],
        "prores.mov": ["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"],
        "still.png": ["-frames:v", "1", "-pix_fmt", "rgba"],
        "ffv1.mkv": ["-c:v", "ffv1", "-pix_fmt", "yuva420p"],
        "vp9.webm": ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "10", "-b:v", "0"],
        "anim.apng": ["-c:v", "apng", "-pix_fmt", "rgba", "-f", "apng"],
    }

    def clear(name):
        return clip(name, "-f", "lavfi", "-i", CLEAR, *code[name])

    return clear


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
def test_alpha_stays(source, target, chain, clear, convert):
    made = convert(clear(source), target, chain)
    assert not made.says("no transparency")
    # read by our own decoder: ffmpeg 5 knows neither apng nor ffv1 of more than 8 bits with alpha
    with Reader(made.path.with_name("o1.png") if "%" in target else made.path) as reader:
        frame = next(iter(reader))
    opacity, colour = frame.alpha[0, 4:-4] * 255, frame.image[:, 4:-4, 4:28] * 255
    assert (opacity[:, 4:28] - 255).abs().max() <= 3
    assert (opacity[:, 36:60] - 80).abs().max() <= 4
    assert (colour - torch.tensor([254.0, 0, 0]).view(3, 1, 1)).abs().max() <= 6


def test_alpha_of_ours_is_seen_by_others(clear, convert, rgb):
    for source, target, before in (
        ("png.mov", "out.mov", []),
        ("ffv1.mkv", "out.mkv", []),
        ("anim.apng", "out.apng", []),
        ("png.mov", "out.webm", ["-c:v", "libvpx-vp9"]),
    ):
        shown = rgb(convert(clear(source), target, "null").path, "rgba", *before)[0].astype(int)
        assert np.abs(shown[4:-4, 4:28, 3] - 255).max() <= 3
        assert np.abs(shown[4:-4, 36:60, 3] - 80).max() <= 4


@pytest.mark.parametrize("chain", ["null", "mirror,mirror"])
def test_gif_keeps_what_alpha_it_can(chain, clip, convert, rgb):
    hole = CLEAR.replace("80)", "0)")
    made = convert(clip("hole.mov", "-f", "lavfi", "-i", hole, "-c:v", "qtrle"), "out.gif", chain)
    shown = rgb(made.path, "rgba")[0]
    assert (shown[:, 4:28, 3] == 255).all()
    assert (shown[:, 36:60, 3] == 0).all()


@pytest.mark.parametrize("target", ["out.mp4", "out.ts", "out.jpg"])
@pytest.mark.parametrize("chain", ["null", "mirror,mirror"])
def test_alpha_is_flattened_with_a_line(target, chain, clear, convert, rgb):
    made = convert(clear("still.png" if target == "out.jpg" else "png.mov"), target, chain)
    assert [line for line in made.lines if "flattened on black" in line] == made.lines
    assert len(made.lines) == 1
    shown = rgb(made.path)[0].astype(int)
    assert np.abs(shown[8:-8, 8:24] - [254, 0, 0]).max() <= 6
    assert np.abs(shown[8:-8, 40:56] - [80, 0, 0]).max() <= 6


def test_alpha_that_shows_nothing_is_dropped_without_a_word(clip, convert):
    source = clip("opaque.mov", "-f", "lavfi", "-i", OPAQUE, "-c:v", "qtrle", "-pix_fmt", "argb")
    assert convert(source, "out.mp4", "null").lines == []


@pytest.mark.parametrize("chroma", ["420", "422", "444"])
@pytest.mark.parametrize(
    ("target", "chain", "codec"),
    [("out.mp4", "null", "hevc"), ("out.mkv", "mirror", "hevc"), ("out.nut", "null", "h264")],
)
def test_ten_bits_stay_ten_bits(chroma, target, chain, codec, clip, convert, picture):
    source = clip("ten.mkv", "-f", "lavfi", "-i", OPAQUE, "-c:v", "ffv1", "-pix_fmt", f"yuv{chroma}p10le")
    said = picture(convert(source, target, chain).path)
    assert (said["codec_name"], said["pix_fmt"]) == (codec, f"yuv{chroma}p10le")


@pytest.mark.parametrize("chain", ["null", "mirror"])
def test_ten_bits_hold_more_than_eight(chain, clip, convert, ffmpeg):
    """A slow ramp has steps between those of eight bits, and still has them behind the chain."""
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
def test_any_size(size, target, chain, clip, convert, rgb, picture):
    width, height = size
    ramp = f"nullsrc=s=128x128:d=1:r=1,format=gbrp,geq=r='40+X':g='200-Y':b=90,scale={width}:{height}:flags=area"
    source = clip("odd.png", "-f", "lavfi", "-i", ramp, "-frames:v", "1")
    made = convert(source, target, chain)
    said = picture(made.path)
    assert (said["width"], said["height"]) == (width, height)
    odd = width % 2 or height % 2
    if target in ("out.mp4", "out.mkv"):
        assert said["pix_fmt"] == ("yuv444p" if odd else "yuv420p")
    assert np.abs(rgb(made.path)[0].astype(int) - rgb(source)[0]).mean() < 12  # neither sheared nor cropped


def test_odd_sizes_of_film_say_that_some_players_refuse_them(clip, convert, picture):
    source = clip(
        "odd.mkv", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2,scale=33:17", "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    )
    made = convert(source, "out.mp4", "null")
    assert made.lines == ["libx264 takes no 4:2:0 of 33x17: written as 4:4:4, which some players refuse"]
    assert picture(made.path)["pix_fmt"] == "yuv444p"


@pytest.mark.parametrize("size", ["16x16", "33x17", "34x34", "8x2"])
def test_ten_bits_too_small_for_x265_go_to_x264(size, clip, convert, picture):
    code = ["-vf", f"scale={size.replace('x', ':')}", "-c:v", "ffv1", "-pix_fmt", "yuv420p10le"]
    source = clip("tiny.mkv", "-f", "lavfi", "-i", OPAQUE, *code)
    said = picture(convert(source, "out.mp4", "null").path)
    assert (said["codec_name"], said["pix_fmt"]) == ("h264", "yuv444p10le" if size == "33x17" else "yuv420p10le")
    assert f"{said['width']}x{said['height']}" == size


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
def test_hdr_metadata_stays(target, chain, hdr, convert, probe):
    shown = ["-select_streams", "v", "-read_intervals", "%+#1", "-show_frames"]
    before, after = (probe(path, *shown)["frames"][0] for path in (hdr, convert(hdr, target, chain).path))
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
    for key, value in sides[0][kinds[0]].items():  # AV1 counts in other fractions
        if "/" in value:
            assert Fraction(sides[1][kinds[0]][key]) == pytest.approx(Fraction(value), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("asked", "codec", "pix_fmt"),
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
def test_the_users_own_encoder(asked, codec, pix_fmt, film, convert, picture):
    said = picture(convert(film, "out.mkv", "null", **asked).path)
    assert (said["codec_name"], said["pix_fmt"]) == (codec, pix_fmt)


@pytest.mark.parametrize("target", ["out.mp4", "out.webm", "out.mov", "out.ts"])
@pytest.mark.parametrize("depth", ["rgb24", "rgb48be"])
def test_films_of_rgb_pictures_are_what_players_want(target, depth, clip, convert, picture):
    source = clip("still.png", "-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", "1", "-pix_fmt", depth)
    assert picture(convert(source, target, "null").path)["pix_fmt"] == f"yuv420p{'10le' * (depth != 'rgb24')}"


@pytest.mark.parametrize("target", ["out.png", "out.jpg", "out.mkv", "out.mov", "out.gif", "out.y4m"])
def test_pictures_with_a_palette_become_pictures_without(target, clip, convert, rgb):
    indexed = clip("indexed.png", "-f", "lavfi", "-i", OPAQUE, "-frames:v", "1", "-pix_fmt", "pal8")
    made = convert(indexed, target, effects=[Mirror()])
    assert not made.says("lossy")
    assert np.abs(rgb(made.path)[0, :, ::-1].astype(int) - rgb(indexed)[0].astype(int)).mean() < 6


def test_crf_and_options_reach_the_encoder(film, convert):
    sizes = [convert(film, f"{crf}.mkv", "null", crf=crf, audio=False).path.stat().st_size for crf in (10.0, 40.0)]
    assert sizes[0] > 1.5 * sizes[1]
    assert b"crf=18.0" in convert(film, "default.mkv", "null").path.read_bytes()
    made = convert(film, "tuned.mkv", "null", options={"preset": "slow", "x264-params": "keyint=7"}).path.read_bytes()
    assert b"keyint=7" in made
    assert b"subme=8" in made


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"encoder": "h264x"}, "unknown encoder 'h264x'"),
        ({"pix_fmt": "bgr99"}, "unknown pixel format"),
        ({"encoder": "gif", "crf": 3.0}, "gif knows no option 'crf'"),
        ({"options": {"tempo": "1"}}, "libx264 knows no option 'tempo'"),
    ],
)
def test_choices_that_cannot_be_had(asked, words, film, convert, tmp_path):
    with pytest.raises(StreamfxError, match=words):
        convert(film, "out.mkv", "null", **asked)
    assert list(tmp_path.iterdir()) == []
