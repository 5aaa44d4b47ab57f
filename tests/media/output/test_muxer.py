"""Every kind of output: what it holds, when its pictures are shown, and what it says of itself."""

import os
import socket
import threading
from fractions import Fraction

import numpy as np
import pytest

from streamfx.errors import StreamfxError

VFR = "select='not(mod(n,3))+gt(n,12)*not(mod(n,2))'"  # uneven gaps


@pytest.fixture(scope="session")
def uneven(clip, moving, tone):
    """uneven(name): pictures at uneven times, with B-frames, and a tone."""

    def uneven(name):
        return clip(
            name,
            *moving(),
            *tone(),
            "-vf",
            VFR,
            "-fps_mode",
            "vfr",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
        )

    return uneven


KINDS = {
    "out.mp4": ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "yuv420p"),
    "out.m4v": ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "yuv420p"),
    "out.mov": ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "yuv420p"),
    "out.mkv": ("matroska,webm", "h264", "yuv420p"),
    "out.webm": ("matroska,webm", "vp9", "yuv420p"),
    "out.ts": ("mpegts", "h264", "yuv420p"),
    "out.avi": ("avi", "h264", "yuv420p"),
    "out.flv": ("flv", "h264", "yuv420p"),
    "out.nut": ("nut", "h264", "yuv420p"),
    "out.y4m": ("yuv4mpegpipe", "rawvideo", "yuv420p"),
    "out.gif": ("gif", "gif", "bgra"),
    "out.apng": ("apng", "apng", "rgb24"),
}


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        *((name, "null") for name in KINDS),
        *((f"out.{kind}", "mirror,mirror") for kind in ("mp4", "webm", "y4m", "gif")),
    ],
)
def test_every_kind_of_output(name, chain, film, convert, probe, picture, rgb):
    made = convert(film, name, chain)
    container, codec, pix_fmt = KINDS[name]
    said = picture(made.path)
    assert probe(made.path)["format"]["format_name"] == container
    assert (said["codec_name"], said["pix_fmt"], said["width"], said["height"]) == (codec, pix_fmt, 64, 48)
    assert made.encoder
    shown, true = rgb(made.path), rgb(film)
    assert len(shown) == len(true) == made.frames == 25
    assert np.abs(shown.astype(int) - true).mean() < (12 if name == "out.gif" else 10)
    assert list(made.path.parent.glob(".*")) == []  # no temporary file


@pytest.mark.parametrize("name", ["out.mp4", "out.png"])
def test_still_to_still_and_film(name, clip, convert, picture):
    source = clip("still.png", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=1,scale=33:17", "-frames:v", "1")
    for chain in ("null", "mirror"):
        made = convert(source, name, chain, overwrite=True)
        assert made.frames == 1
        said = picture(made.path)
        assert (said["width"], said["height"]) == (33, 17)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tiff", "ppm", "tga"])
def test_image_for_an_image(ending, clip, convert, rgb, picture):
    source = clip("still.png", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=1", "-frames:v", "1")
    made = convert(source, f"out.{ending}", "mirror,mirror")
    assert made.lines == []
    assert made.frames == 1
    assert np.abs(rgb(made.path).astype(int) - rgb(source)).mean() < {"jpg": 2, "webp": 14}.get(ending, 0.1)


def test_an_image_holds_one_picture(film, convert, tmp_path):
    with pytest.raises(StreamfxError, match="holds one picture, the chain makes more"):
        convert(film, "out.png")
    assert list(tmp_path.iterdir()) == []


def test_numbered_pictures(film, convert, tmp_path, rgb):
    convert(film, "out_%03d.png", "mirror")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"out_{n:03d}.png" for n in range(1, 26)]
    errors = [np.abs(rgb(tmp_path / names[7])[0, :, ::-1].astype(int) - shown).mean() for shown in rgb(film)]
    assert np.argmin(errors) == 7
    with pytest.raises(StreamfxError, match=r"out_001\.png' exists"):
        convert(film, "out_%03d.png", "mirror")


@pytest.mark.parametrize("name", ["100%done.mp4", "50% off.mkv", "5%.png", "%s.mp4"])
def test_a_percent_sign_is_no_pattern(name, film, convert, probe):
    made = convert(film, name, "trim=end_frame=1")
    assert made.path.is_file()
    assert probe(made.path)["streams"]


@pytest.mark.parametrize(
    ("source", "target", "chain"),
    [
        ("a.mkv", "b.mkv", "null"),
        ("a.mkv", "b.mkv", "mirror"),
        ("a.mp4", "b.mp4", "null"),
        ("a.mp4", "b.mp4", "mirror"),
        ("a.mp4", "b.mov", "null"),
        ("a.mp4", "b.nut", "null"),
        ("a.mkv", "b.mp4", "mirror"),
        ("a.mkv", "b.webm", "null"),
        ("a.mp4", "b.ts", "null"),
    ],
)
def test_exact_times_of_variable_frame_rate(source, target, chain, uneven, convert, times):
    source = uneven(source)
    made = convert(source, target, chain).path
    before, after = times(source), times(made)
    assert len(set(np.diff(before))) > 1
    assert [t - after[0] for t in after] == [t - before[0] for t in before]
    gaps = [min(times(path, "a:0")) - min(times(path)) for path in (source, made)]
    if target != "b.webm":
        assert abs(gaps[0] - gaps[1]) < Fraction(1, 1000)


def test_times_in_gif_and_apng(uneven, convert, times):
    source = uneven("a.mkv")
    before = times(source)
    for name in ("b.gif", "b.apng"):
        after = times(convert(source, name).path)
        assert len(after) == len(before)
        assert max(abs((a - after[0]) - (b - before[0])) for a, b in zip(after, before)) <= Fraction(1, 100)


@pytest.mark.parametrize("name", ["b.y4m", "b.avi"])
def test_constant_rate_is_said_once(name, uneven, convert, times):
    made = convert(uneven("a.mkv"), name, "null", audio=False)
    lines = [line for line in made.lines if "constant frame rate" in line]
    assert len(lines) == 1
    count = int(lines[0].split()[-1])
    assert len(times(made.path)) == count != made.frames
    assert set(np.diff(times(made.path))) == {times(made.path)[1] - times(made.path)[0]}


def test_constant_rate_of_raw_pictures(uneven, convert):
    made = convert(uneven("a.mkv"), "b.yuv", "null", audio=False)
    (line,) = [line for line in made.lines if "constant frame rate" in line]
    assert made.path.stat().st_size == int(line.split()[-1]) * 64 * 48 * 3 // 2


def test_nothing_is_said_where_the_rate_was_constant(film, convert):
    assert convert(film, "b.y4m", "null", audio=False).lines == []


@pytest.mark.parametrize(
    ("name", "chain", "rate", "count"),
    [
        ("b.mp4", "fps=10", "10/1", 10),
        ("b.mkv", "fps=30000/1001", "30000/1001", 30),
        ("b.mp4", "mirror,fps=10", "10/1", 10),
        ("b.mkv", "fps=10,mirror", "10/1", 10),
        ("b.mp4", "mirror,fps=10,mirror", "10/1", 10),
        ("b.mkv", "mirror,fps=10,mirror", "10/1", 10),
        ("b.mp4", "minterpolate=fps=50:mi_mode=dup", "50/1", 49),
    ],
)
def test_rate_changes_are_exact(name, chain, rate, count, film, convert, picture, times):
    made = convert(film, name, chain)
    assert abs(len(times(made.path)) - count) <= 3  # minterpolate has nothing to go to at the end
    said = picture(made.path)
    assert said["r_frame_rate"] == rate
    gaps = np.diff(times(made.path))
    frame = 1 / Fraction(rate)
    assert all(abs(gap - frame) <= (Fraction(1, 1000) if name == "b.mkv" else 0) for gap in gaps)


def test_missing_times_of_avi_are_made_from_the_rate(clip, moving, convert, times):
    source = clip("b.avi", *moving(), "-c:v", "mpeg4", "-bf", "2")
    for chain in ("null", "mirror"):
        after = times(convert(source, "b.mp4", chain, overwrite=True).path)
        assert [t - after[0] for t in after] == [Fraction(n, 25) for n in range(25)]


@pytest.mark.parametrize("bframes", ["0", "3"])
def test_missing_times_of_raw_h264_are_made_from_the_rate(bframes, clip, moving, convert, times):
    source = clip("raw.h264", *moving(rate="30"), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", bframes)
    after = times(convert(source, "b.mp4").path)
    assert [t - after[0] for t in after] == [Fraction(n, 30) for n in range(30)]


def test_each_frame_lasts_as_long_as_before(uneven, convert, probe):
    source = uneven("a.mp4")
    made = convert(source, "b.mp4")
    lengths = [
        float(probe(path, "-select_streams", "v", "-show_entries", "stream=duration")["streams"][0]["duration"])
        for path in (source, made.path)
    ]
    assert lengths[1] == pytest.approx(lengths[0], abs=1e-4)


@pytest.mark.parametrize("chain", ["null", "mirror", "scale=32:24", "mirror,scale=32:24"])
def test_sample_aspect_ratio_stays(chain, clip, moving, convert, picture):
    source = clip("wide.mkv", *moving(), "-vf", "setsar=64/45", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    assert picture(convert(source, "b.mp4", chain).path)["sample_aspect_ratio"] == "64:45"


def test_filters_change_the_sample_aspect_ratio(clip, moving, convert, picture):
    source = clip("wide.mkv", *moving(), "-vf", "setsar=64/45", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    for chain in ("setsar=2", "mirror,setsar=2", "setsar=2,mirror"):
        assert picture(convert(source, "b.mp4", chain, overwrite=True).path)["sample_aspect_ratio"] == "2:1"


@pytest.mark.parametrize("name", ["b.mp4", "b.mov"])
def test_hevc_is_tagged_for_apple(name, film, convert, picture):
    assert picture(convert(film, name, encoder="libx265").path)["codec_tag_string"] == "hvc1"


def test_mp4_can_be_played_while_it_loads(film, convert):
    data = convert(film, "b.mp4").path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_settings_are_in_the_metadata(film, convert, probe):
    for name in ("b.mp4", "b.mov", "b.mkv", "b.webm", "b.gif"):
        made = convert(film, name, settings="streamfx 1: mirror", audio=False)
        tags = {k.lower(): v for k, v in probe(made.path)["format"].get("tags", {}).items()}
        assert tags.get("comment") == (None if name == "b.gif" else "streamfx 1: mirror")


def test_keyframes_are_the_encoders(clip, moving, convert, probe):
    source = clip("intra.mp4", *moving(), "-c:v", "libx264", "-g", "1", "-pix_fmt", "yuv420p")
    said = probe(convert(source, "b.mp4").path, "-select_streams", "v", "-show_entries", "packet=flags")
    assert sum("K" in packet["flags"] for packet in said["packets"]) == 1


def test_devices_and_fifos_are_written_directly(film, convert, tmp_path, probe):
    convert(film, "/dev/null", format="nut")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    got = []

    def read():
        with open(fifo, "rb") as stream:
            got.append(stream.read())

    reader = threading.Thread(target=read)
    reader.start()
    convert(film, fifo, format="matroska")
    reader.join(timeout=10)
    assert fifo.is_fifo()
    (tmp_path / "got.mkv").write_bytes(got[0])
    assert len(probe(tmp_path / "got.mkv")["streams"]) == 2


@pytest.mark.parametrize("name", ["pipe.mp4", "pipe.mov"])
def test_mp4_to_a_fifo_is_refused_like_mp4_to_stdout(name, film, convert, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(StreamfxError, match="cannot be written to a pipe: use fmp4"):
        convert(film, name)


def test_url_targets(film, convert):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        convert(film, f"udp://127.0.0.1:{receiver.getsockname()[1]}?pkt_size=1316")
        got = receiver.recv(65536)
    assert len(got) % 188 == 0
    assert set(got[::188]) == {0x47}  # packets of MPEG-TS
