"""Output formats: streams, timestamps and metadata."""

import os
import socket
from fractions import Fraction

import numpy as np
import pytest

from streamfx.errors import StreamfxError

FORMATS = {
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
        *((name, "null") for name in FORMATS),
        *((f"out.{kind}", "mirror,mirror") for kind in ("mp4", "webm", "y4m", "gif")),
    ],
)
def test_every_output_format(name, chain, video, convert, probe, video_stream, rgb):
    made = convert(video, name, chain)
    container, codec, pix_fmt = FORMATS[name]
    stream = video_stream(made.path)
    assert probe(made.path)["format"]["format_name"] == container
    assert (stream["codec_name"], stream["pix_fmt"], stream["width"], stream["height"]) == (codec, pix_fmt, 64, 48)
    assert made.encoder
    images, expected = rgb(made.path), rgb(video)
    assert len(images) == len(expected) == made.frames == 25
    assert np.abs(images.astype(int) - expected).mean() < (12 if name == "out.gif" else 10)
    assert list(made.path.parent.glob(".*")) == []  # no temporary file


@pytest.mark.parametrize("name", ["out.mp4", "out.png"])
def test_an_image_becomes_an_image_or_a_video(name, clip, convert, video_stream):
    source = clip("still.png", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=1,scale=33:17", "-frames:v", "1")
    for chain in ("null", "mirror"):
        made = convert(source, name, chain, overwrite=True)
        assert made.frames == 1
        stream = video_stream(made.path)
        assert (stream["width"], stream["height"]) == (33, 17)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "bmp", "tiff", "ppm", "tga"])
def test_every_image_format(extension, clip, convert, rgb, video_stream):
    source = clip("still.png", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=1", "-frames:v", "1")
    made = convert(source, f"out.{extension}", "mirror,mirror")
    assert made.warnings == []
    assert made.frames == 1
    assert np.abs(rgb(made.path).astype(int) - rgb(source)).mean() < {"jpg": 2, "webp": 14}.get(extension, 0.1)


def test_numbered_images(video, convert, tmp_path, rgb):
    convert(video, "out_%03d.png", "mirror")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"out_{n:03d}.png" for n in range(1, 26)]
    errors = [np.abs(rgb(tmp_path / names[7])[0, :, ::-1].astype(int) - image).mean() for image in rgb(video)]
    assert np.argmin(errors) == 7
    with pytest.raises(StreamfxError, match=r"out_001\.png' exists"):
        convert(video, "out_%03d.png", "mirror")


@pytest.mark.parametrize("name", ["100%done.mp4", "50% off.mkv", "5%.png", "%s.mp4"])
def test_a_percent_sign_alone_is_not_a_pattern(name, video, convert, probe):
    made = convert(video, name, "trim=end_frame=1")
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
def test_variable_frame_rate_keeps_exact_timestamps(source, target, chain, uneven, convert, times):
    source = uneven(source)
    made = convert(source, target, chain).path
    before, after = times(source), times(made)
    assert len(set(np.diff(before))) > 1
    assert [t - after[0] for t in after] == [t - before[0] for t in before]
    gaps = [min(times(path, "a:0")) - min(times(path)) for path in (source, made)]
    if target != "b.webm":
        assert abs(gaps[0] - gaps[1]) < Fraction(1, 1000)


def test_timestamps_in_gif_and_apng(uneven, convert, times):
    source = uneven("a.mkv")
    before = times(source)
    for name in ("b.gif", "b.apng"):
        after = times(convert(source, name).path)
        assert len(after) == len(before)
        assert max(abs((a - after[0]) - (b - before[0])) for a, b in zip(after, before)) <= Fraction(1, 100)


@pytest.mark.parametrize("name", ["b.y4m", "b.avi"])
def test_conversion_to_a_constant_rate_warns_once(name, uneven, convert, times):
    made = convert(uneven("a.mkv"), name, "null", audio=False)
    lines = [line for line in made.warnings if "constant frame rate" in line]
    assert len(lines) == 1
    count = int(lines[0].split()[-1])
    assert len(times(made.path)) == count != made.frames
    assert set(np.diff(times(made.path))) == {times(made.path)[1] - times(made.path)[0]}


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
def test_rate_changes_are_exact(name, chain, rate, count, video, convert, video_stream, times):
    made = convert(video, name, chain)
    assert abs(len(times(made.path)) - count) <= 3  # minterpolate cannot interpolate past the last frame
    assert video_stream(made.path)["r_frame_rate"] == rate
    gaps = np.diff(times(made.path))
    frame = 1 / Fraction(rate)
    assert all(abs(gap - frame) <= (Fraction(1, 1000) if name == "b.mkv" else 0) for gap in gaps)


def test_the_stream_duration_is_kept(uneven, convert, probe):
    source = uneven("a.mp4")
    made = convert(source, "b.mp4")
    lengths = [
        float(probe(path, "-select_streams", "v", "-show_entries", "stream=duration")["streams"][0]["duration"])
        for path in (source, made.path)
    ]
    assert lengths[1] == pytest.approx(lengths[0], abs=1e-4)


def test_mp4_has_its_index_at_the_start(video, convert):
    data = convert(video, "b.mp4").path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_settings_are_written_to_the_metadata(video, convert, probe):
    for name in ("b.mp4", "b.mov", "b.mkv", "b.webm", "b.gif"):
        made = convert(video, name, comment="streamfx 1: mirror", audio=False)
        tags = {k.lower(): v for k, v in probe(made.path)["format"].get("tags", {}).items()}
        assert tags.get("comment") == (None if name == "b.gif" else "streamfx 1: mirror")


@pytest.mark.parametrize("name", ["pipe.mp4", "pipe.mov"])
def test_mp4_to_a_fifo_is_an_error(name, video, convert, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(StreamfxError, match="cannot be written to a pipe: use fmp4"):
        convert(video, name)


def test_url_targets(video, convert):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        convert(video, f"udp://127.0.0.1:{receiver.getsockname()[1]}?pkt_size=1316")
        received = receiver.recv(65536)
    assert len(received) % 188 == 0
    assert set(received[::188]) == {0x47}  # sync bytes of MPEG-TS
