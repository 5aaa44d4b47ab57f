"""Every kind of source comes out upright, whole, in one size and at the right time."""

import functools
import http.server
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

import streamfx
from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader

CORNERS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]  # top left, top right, bottom left, bottom right


def quadrants(height=64, width=96):
    """A picture whose four corners have four colours, upright."""
    values = np.zeros((height, width, 3), np.uint8)
    for number, colour in enumerate(CORNERS):
        y, x = divmod(number, 2)
        values[y * height // 2 : (y + 1) * height // 2, x * width // 2 : (x + 1) * width // 2] = colour
    return values


def is_upright(shown, height=64, width=96, slack=30):
    """Whether a picture [H, W, 3] is the one of `quadrants`, by the middle of each quarter."""
    if shown.shape[:2] != (height, width):
        return False
    places = [(height * y // 4, width * x // 4) for y in (1, 3) for x in (1, 3)]
    return all(np.abs(shown[place].astype(int) - colour).max() <= slack for place, colour in zip(places, CORNERS))


def shown(frame):
    return (frame.image.permute(1, 2, 0).numpy() * 255).round()


# --- stills and numbered pictures


def test_a_still(tmp_path):
    Image.fromarray(quadrants()).save(tmp_path / "still.png")
    with streamfx.open(tmp_path / "still.png") as reader:
        (frame,) = reader
    assert (frame.pts, frame.image.shape, frame.alpha) == (0, (3, 64, 96), None)
    np.testing.assert_array_equal(shown(frame), quadrants())


TO_STORED = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # EXIF orientation -> PIL's transpositions


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation, tmp_path, convert, rgb):
    stored = Image.fromarray(quadrants())
    for step in TO_STORED[orientation]:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "still.jpg", quality=95, subsampling=0, exif=exif)
    with Reader(tmp_path / "still.jpg") as reader:
        assert (reader.info.height, reader.info.width) == (64, 96)
        (frame,) = reader
    assert is_upright(shown(frame))
    for name, chain in (("out.png", "mirror,mirror"), ("out.jpg", "null"), ("out.mp4", "null")):
        made = convert(tmp_path / "still.jpg", name, chain)
        assert is_upright(rgb(made.path)[0])
        if name != "out.mp4":
            with Image.open(made.path) as image:
                assert image.getexif().get(0x0112, 1) == 1


def test_numbered_pictures_of_a_camera_held_both_ways(tmp_path, convert, rgb):
    """A folder of upright and turned photographs: each is turned by its own orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    flat = Image.fromarray(quadrants())
    flat.save(tmp_path / "1.jpg", quality=95)
    flat.transpose(2).save(tmp_path / "2.jpg", quality=95, exif=exif)
    flat.save(tmp_path / "3.jpg", quality=95)
    made = convert(tmp_path / "%d.jpg", "out.mp4", "null")
    assert made.lines == []
    assert all(is_upright(picture) for picture in rgb(made.path))


def numbered(folder, names):
    for value, name in enumerate(names):
        Image.new("RGB", (16, 8), (value * 20, 0, 0)).save(folder / name)


def reds(frames):
    return [round(float(frame.image[0].mean()) * 255) // 20 for frame in frames]


def test_numbers_with_gaps(tmp_path):
    numbered(tmp_path, ["f00001.png", "f00002.png", "f00010.png", "f12345.png"])
    numbered(tmp_path, ["g00001.png", "fx0001.png"])
    with streamfx.open(tmp_path / "f%05d.png") as reader:
        assert reader.info.frames == 3 + 1
        frames = list(reader)
    assert len(frames) == 4
    assert [frame.pts for frame in frames] == [Fraction(n, 25) for n in range(4)]


def test_a_glob_is_in_natural_order(tmp_path):
    numbered(tmp_path, ["G1.JPG", "G2.JPG", "G9.JPG", "G10.JPG", "G100.JPG"])
    with streamfx.open(f"{tmp_path}/*.JPG", input_rate=Fraction(24)) as reader:
        frames = list(reader)
    assert reds(frames) == [0, 1, 2, 3, 4]
    assert [frame.pts for frame in frames] == [Fraction(n, 24) for n in range(5)]
    assert {frame.duration for frame in frames} == {Fraction(1, 24)}


def test_numbered_pictures_become_a_film(tmp_path, convert, times, picture):
    numbered(tmp_path, [f"{n}.png" for n in range(8, 12)])
    made = convert(tmp_path / "%d.png", "out.mp4", reading={"input_rate": Fraction(30000, 1001)})
    assert times(made.path) == [Fraction(1001 * n, 30000) for n in range(4)]
    assert picture(made.path)["r_frame_rate"] == "30000/1001"


def test_a_part_of_numbered_pictures(tmp_path):
    numbered(tmp_path, [f"{n}.png" for n in range(8)])
    with streamfx.open(tmp_path / "%d.png", input_rate=Fraction(4), start=Fraction(1, 2), end=Fraction(3, 2)) as reader:
        assert reds(list(reader)) == [2, 3, 4, 5]


def test_numbered_pictures_of_two_sizes(tmp_path, convert):
    Image.new("RGB", (32, 16), "red").save(tmp_path / "1.png")
    Image.new("RGB", (64, 48), "blue").save(tmp_path / "2.png")
    made = convert(tmp_path / "%d.png", "out.mp4")
    assert made.frames == 2
    (line,) = made.lines
    assert "from 32x16 rgb24 to 64x48 rgb24 at 0.04 s: scaled to the first" in line


def test_a_file_that_is_no_picture_is_named(tmp_path):
    numbered(tmp_path, ["1.png", "3.png"])
    (tmp_path / "2.png").write_text("nothing")
    with streamfx.open(tmp_path / "%d.png") as reader, pytest.raises(StreamfxError, match=r"2\.png' is not a picture"):
        list(reader)


@pytest.mark.parametrize("pattern", ["none%05d.png", "*.JPG"])
def test_a_pattern_that_nothing_matches(pattern, tmp_path):
    with pytest.raises(StreamfxError, match="no file matches"):
        streamfx.open(tmp_path / pattern)


# --- turned, interlaced, odd


TURNS = ["90", "180", "270", "hflip", "vflip"]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize(
    ("target", "chain"), [("out.mp4", "null"), ("out.mkv", "mirror,mirror"), ("out.png", "null"), ("out.jpg", "null")]
)
def test_turned_films_come_out_upright_and_untagged(turn, target, chain, tmp_path, convert, rgb, picture, ffmpeg):
    values = quadrants()
    source = tmp_path / "turned.mp4"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *values.shape[:2], "yuv420p"
        degrees = int(turn) if turn.isdigit() else 0
        stream.set_display_rotation(degrees, hflip=turn == "hflip", vflip=turn == "vflip")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format="rgb24")
        for packet in [*stream.encode(frame.reformat(format="yuv420p")), *stream.encode(None)]:
            out.mux(packet)
    said = picture(source)
    assert said["side_data_list"][0]["side_data_type"] == "Display Matrix"
    made = convert(source, target, chain).path
    raw = ffmpeg("-i", source, "-pix_fmt", "rgb24", "-f", "rawvideo", "-")  # turned by the real ffmpeg
    height, width = (96, 64) if turn in ("90", "270") else (64, 96)
    theirs = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
    assert rgb(made)[0].shape == theirs.shape
    assert np.abs(rgb(made)[0].astype(int) - theirs).mean() < 5
    assert "side_data_list" not in picture(made)


@pytest.mark.parametrize(
    ("kind", "chain"), [("interlaced", "mirror"), ("interlaced", "null,scale=32:24"), ("progressive", "null")]
)
def test_interlaced_films_are_deinterlaced(kind, chain, clip, moving, convert, picture):
    weave = ["-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ilme+ildct"] if kind == "interlaced" else []
    source = clip(f"{kind}.mkv", *moving(rate="50"), *weave, "-c:v", "mpeg2video", "-q:v", "2")
    made = convert(source, "out.mp4", chain)
    assert made.says("is interlaced: deinterlaced with bwdif") == (kind == "interlaced")
    assert made.frames == (25 if kind == "interlaced" else 50)
    assert picture(made.path).get("field_order", "progressive") == "progressive"


@pytest.mark.parametrize(("ending", "chain"), [("ts", "null"), ("ts", "negate,mirror,negate"), ("h264", "mirror")])
def test_a_change_of_size_in_the_middle(ending, chain, clip, moving, convert, picture, times, tmp_path):
    code = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0"]
    first = clip(f"first.{ending}", *moving(seconds="0.4"), *code)
    second = clip(
        f"second.{ending}",
        *moving("96x80", seconds="0.4"),
        *code,
        *(["-output_ts_offset", "0.4"] if ending == "ts" else []),
    )
    source = tmp_path / f"both.{ending}"
    source.write_bytes(first.read_bytes() + second.read_bytes())
    made = convert(source, "out.mp4", chain)
    assert (picture(made.path)["width"], picture(made.path)["height"]) == (64, 48)
    lines = [line for line in made.lines if "from 64x48 yuv420p to 96x80 yuv420p" in line]
    assert len(lines) == 1
    assert made.frames == len(times(made.path)) == 20


# --- cuts


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        *((f"a.{kind}", "250") for kind in ("mp4", "mkv", "ts")),
        *((f"a.{kind}", "10") for kind in ("ts", "webm", "avi", "nut")),
    ],
)
def test_cuts_are_exact_and_take_the_sound_along(name, keys, clip, moving, tone, convert, times, rgb):
    video = (
        ["-c:v", "libvpx-vp9", "-deadline", "realtime"]
        if name == "a.webm"
        else ["-c:v", "mpeg4" if name == "a.avi" else "libx264"]
    )
    sound = {"a.webm": "libopus", "a.avi": "mp3"}.get(name, "aac")
    source = clip(name, *moving(seconds="2"), *tone("2"), *video, "-g", keys, "-pix_fmt", "yuv420p", "-c:a", sound)
    made = convert(source, "out.mkv", reading={"start": Fraction(4, 5), "end": Fraction(7, 5)}, encoder="ffv1")
    first = times(source)[0]
    wanted = [
        round((t - first) * 25)
        for t in times(source)
        if Fraction(39, 50) <= t - min(first, times(source, "a:0")[0]) < Fraction(139, 100)
    ]
    assert made.frames == pytest.approx(15, abs=1)
    ours, whole = rgb(made.path), rgb(source)
    start = min(range(40), key=lambda n: np.abs(whole[n].astype(int) - ours[0]).sum())
    assert abs(start - wanted[0]) <= 1
    np.testing.assert_allclose(ours.astype(int), whole[start : start + len(ours)], atol=2)
    heard = times(made.path, "a:0")
    assert -0.03 <= heard[0] <= 0.06
    assert 0.5 <= heard[-1] <= 0.61


def test_a_cut_with_a_length_and_to_the_end(film):
    for start, end, count in [
        (0, Fraction(1, 5), 5),
        (Fraction(4, 5), None, 5),
        (Fraction(1, 50), None, 25),
        (0, 99, 25),
    ]:
        with Reader(film, start=Fraction(start), end=None if end is None else Fraction(end)) as reader:
            frames = list(reader)
            assert len(frames) == count
            assert frames[0].pts == 0
            if reader.info.frames is not None:
                assert abs(reader.info.frames - count) <= 1


def test_cuts_that_make_no_sense(film):
    for start, end, words in [
        (-1, None, "before the beginning"),
        (1, 1, "not behind its start"),
        (5, None, "no picture from 5 s on"),
    ]:
        with pytest.raises(StreamfxError, match=words):
            Reader(film, start=Fraction(start), end=None if end is None else Fraction(end))


# --- where sources come from


def test_a_stand_in_for_a_device(convert, times):
    """Devices are inputs with a format of their own, like FFmpeg's test pictures."""
    made = convert("testsrc2=s=64x48:r=10:d=0.5", "out.mp4", reading={"input_format": "lavfi"})
    assert len(times(made.path)) == 5


def test_a_network_stream(film):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=film.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with streamfx.open(f"http://127.0.0.1:{server.server_port}/film.mp4") as reader:
            assert sum(1 for _ in reader) == 25
        with pytest.raises(StreamfxError, match="cannot open"):
            streamfx.open(f"http://127.0.0.1:{server.server_port}/none.mp4")
        server.shutdown()


def test_the_largest_of_several_films_is_taken_and_told(clip, moving, convert, picture):
    code = ["-map", "0", "-map", "1", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-disposition:v", "0"]
    source = clip("two.mkv", *moving("32x32"), *moving(), *code)
    made = convert(source, "out.mp4")
    assert picture(made.path)["width"] == 64
    assert made.says("2 picture streams")


def test_input_rate_that_nothing_uses_is_told(film, convert):
    assert convert(film, "out.mp4", reading={"input_rate": Fraction(10)}).says("--input-fps")


def test_frames_are_exact_in_time(clip, moving):
    source = clip("ntsc.mp4", *moving(rate="30000/1001"), "-c:v", "libx264", "-pix_fmt", "yuv420p")
    with streamfx.open(source) as reader:
        assert reader.info.rate == Fraction(30000, 1001)
        frames = list(reader)
        assert reader.info.frames == len(frames)
    assert all(frame.pts == n * Fraction(1001, 30000) for n, frame in enumerate(frames))
    assert all(frame.duration == Fraction(1001, 30000) for frame in frames)


def test_a_reader_is_iterable_with_no_writer_and_in_range(film):
    with streamfx.open(film) as reader:
        frames = list(reader)
    assert len(frames) == 25
    assert all(frame.image.min() >= 0 and frame.image.max() <= 1 for frame in frames)
