"""All kinds of sources give upright, deinterlaced frames of one size with exact times."""

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
    """An upright image with a different color in each quadrant."""
    values = np.zeros((height, width, 3), np.uint8)
    for number, color in enumerate(CORNERS):
        y, x = divmod(number, 2)
        values[y * height // 2 : (y + 1) * height // 2, x * width // 2 : (x + 1) * width // 2] = color
    return values


def is_upright(image, height=64, width=96, tolerance=30):
    """Whether an image [H, W, 3] matches `quadrants` at the center of each quadrant."""
    if image.shape[:2] != (height, width):
        return False
    centers = [(height * y // 4, width * x // 4) for y in (1, 3) for x in (1, 3)]
    return all(np.abs(image[center].astype(int) - color).max() <= tolerance for center, color in zip(centers, CORNERS))


def pixels(frame):
    return (frame.image.permute(1, 2, 0).numpy() * 255).round()


# --- still images and image sequences


def test_a_still_image(tmp_path):
    Image.fromarray(quadrants()).save(tmp_path / "still.png")
    with streamfx.open(tmp_path / "still.png") as reader:
        (frame,) = reader
    assert (frame.pts, frame.image.shape, frame.alpha) == (0, (3, 64, 96), None)
    np.testing.assert_array_equal(pixels(frame), quadrants())


TO_STORED = {
    1: [],
    2: [0],
    3: [3],
    4: [1],
    5: [5],
    6: [2],
    7: [6],
    8: [4],
}  # EXIF orientation -> PIL transposes


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
    assert is_upright(pixels(frame))
    for name, chain in (("out.png", "mirror,mirror"), ("out.jpg", "null"), ("out.mp4", "null")):
        result = convert(tmp_path / "still.jpg", name, chain)
        assert is_upright(rgb(result.path)[0])
        if name != "out.mp4":
            with Image.open(result.path) as image:
                assert image.getexif().get(0x0112, 1) == 1


def test_image_sequences_with_mixed_orientations(tmp_path, convert, rgb):
    """Each photo is rotated by its own EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    flat = Image.fromarray(quadrants())
    flat.save(tmp_path / "1.jpg", quality=95)
    flat.transpose(2).save(tmp_path / "2.jpg", quality=95, exif=exif)
    flat.save(tmp_path / "3.jpg", quality=95)
    result = convert(tmp_path / "%d.jpg", "out.mp4", "null")
    assert result.warnings == []
    assert all(is_upright(image) for image in rgb(result.path))


def write_sequence(folder, names):
    for value, name in enumerate(names):
        Image.new("RGB", (16, 8), (value * 20, 0, 0)).save(folder / name)


def reds(frames):
    return [round(float(frame.image[0].mean()) * 255) // 20 for frame in frames]


def test_sequences_with_gaps(tmp_path):
    write_sequence(tmp_path, ["f00001.png", "f00002.png", "f00010.png", "f12345.png"])
    write_sequence(tmp_path, ["g00001.png", "fx0001.png"])
    with streamfx.open(tmp_path / "f%05d.png") as reader:
        assert reader.info.frames == 3 + 1
        frames = list(reader)
    assert len(frames) == 4
    assert [frame.pts for frame in frames] == [Fraction(n, 25) for n in range(4)]


def test_globs_use_natural_order(tmp_path):
    write_sequence(tmp_path, ["G1.JPG", "G2.JPG", "G9.JPG", "G10.JPG", "G100.JPG"])
    with streamfx.open(f"{tmp_path}/*.JPG", input_rate=Fraction(24)) as reader:
        frames = list(reader)
    assert reds(frames) == [0, 1, 2, 3, 4]
    assert [frame.pts for frame in frames] == [Fraction(n, 24) for n in range(5)]
    assert {frame.duration for frame in frames} == {Fraction(1, 24)}


def test_image_sequences_become_a_video(tmp_path, convert, times, video_stream):
    write_sequence(tmp_path, [f"{n}.png" for n in range(8, 12)])
    result = convert(tmp_path / "%d.png", "out.mp4", reading={"input_rate": Fraction(30000, 1001)})
    assert times(result.path) == [Fraction(1001 * n, 30000) for n in range(4)]
    assert video_stream(result.path)["r_frame_rate"] == "30000/1001"


def test_image_sequences_can_be_trimmed(tmp_path):
    write_sequence(tmp_path, [f"{n}.png" for n in range(8)])
    with streamfx.open(tmp_path / "%d.png", input_rate=Fraction(4), start=Fraction(1, 2), end=Fraction(3, 2)) as reader:
        assert reds(list(reader)) == [2, 3, 4, 5]


def test_image_sequences_of_two_sizes(tmp_path, convert):
    Image.new("RGB", (32, 16), "red").save(tmp_path / "1.png")
    Image.new("RGB", (64, 48), "blue").save(tmp_path / "2.png")
    result = convert(tmp_path / "%d.png", "out.mp4")
    assert result.frames == 2
    (line,) = result.warnings
    assert "from 32x16 rgb24 to 64x48 rgb24 at 0.04 s; converting to match the first frame" in line


def test_a_file_that_is_not_an_image_is_named(tmp_path):
    write_sequence(tmp_path, ["1.png", "3.png"])
    (tmp_path / "2.png").write_text("nothing")
    with streamfx.open(tmp_path / "%d.png") as reader, pytest.raises(StreamfxError, match=r"2\.png' is not an image"):
        list(reader)


@pytest.mark.parametrize("pattern", ["none%05d.png", "*.JPG"])
def test_a_pattern_without_matches_is_an_error(pattern, tmp_path):
    with pytest.raises(StreamfxError, match="no file matches"):
        streamfx.open(tmp_path / pattern)


# --- rotated, interlaced, changing size


ROTATIONS = ["90", "180", "270", "hflip", "vflip"]


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize(
    ("target", "chain"), [("out.mp4", "null"), ("out.mkv", "mirror,mirror"), ("out.png", "null"), ("out.jpg", "null")]
)
def test_rotated_videos_become_upright(rotation, target, chain, tmp_path, convert, rgb, video_stream, ffmpeg):
    values = quadrants()
    source = tmp_path / "rotated.mp4"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *values.shape[:2], "yuv420p"
        degrees = int(rotation) if rotation.isdigit() else 0
        stream.set_display_rotation(degrees, hflip=rotation == "hflip", vflip=rotation == "vflip")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format="rgb24")
        for packet in [*stream.encode(frame.reformat(format="yuv420p")), *stream.encode(None)]:
            out.mux(packet)
    stream = video_stream(source)
    assert stream["side_data_list"][0]["side_data_type"] == "Display Matrix"
    result = convert(source, target, chain).path
    raw = ffmpeg("-i", source, "-pix_fmt", "rgb24", "-f", "rawvideo", "-")  # rotated by ffmpeg
    height, width = (96, 64) if rotation in ("90", "270") else (64, 96)
    expected = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
    assert rgb(result)[0].shape == expected.shape
    assert np.abs(rgb(result)[0].astype(int) - expected).mean() < 5
    assert "side_data_list" not in video_stream(result)


@pytest.mark.parametrize(
    ("kind", "chain"), [("interlaced", "mirror"), ("interlaced", "null,scale=32:24"), ("progressive", "null")]
)
def test_interlaced_videos_are_deinterlaced(kind, chain, clip, moving, convert, video_stream):
    weave = ["-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ilme+ildct"] if kind == "interlaced" else []
    source = clip(f"{kind}.mkv", *moving(rate="50"), *weave, "-c:v", "mpeg2video", "-q:v", "2")
    result = convert(source, "out.mp4", chain)
    assert result.warned("is interlaced: deinterlaced with bwdif") == (kind == "interlaced")
    assert result.frames == (25 if kind == "interlaced" else 50)
    assert video_stream(result.path).get("field_order", "progressive") == "progressive"


@pytest.mark.parametrize(("suffix", "chain"), [("ts", "null"), ("ts", "negate,mirror,negate"), ("h264", "mirror")])
def test_frame_size_changes_within_a_video(suffix, chain, clip, moving, convert, video_stream, times, tmp_path):
    code = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0"]
    first = clip(f"first.{suffix}", *moving(seconds="0.4"), *code)
    second = clip(
        f"second.{suffix}",
        *moving("96x80", seconds="0.4"),
        *code,
        *(["-output_ts_offset", "0.4"] if suffix == "ts" else []),
    )
    source = tmp_path / f"both.{suffix}"
    source.write_bytes(first.read_bytes() + second.read_bytes())
    result = convert(source, "out.mp4", chain)
    assert (video_stream(result.path)["width"], video_stream(result.path)["height"]) == (64, 48)
    lines = [line for line in result.warnings if "from 64x48 yuv420p to 96x80 yuv420p" in line]
    assert len(lines) == 1
    assert result.frames == len(times(result.path)) == 20


# --- trimming


def test_trimming_with_and_without_an_end(video):
    for start, end, count in [
        (0, Fraction(1, 5), 5),
        (Fraction(4, 5), None, 5),
        (Fraction(1, 50), None, 25),
        (0, 99, 25),
    ]:
        with Reader(video, start=Fraction(start), end=None if end is None else Fraction(end)) as reader:
            frames = list(reader)
            assert len(frames) == count
            assert frames[0].pts == 0
            if reader.info.frames is not None:
                assert abs(reader.info.frames - count) <= 1


def test_invalid_trim_ranges_are_rejected(video):
    for start, end, reason in [
        (-1, None, "is negative"),
        (1, 1, "is not after start"),
        (5, None, "after 5 s can be decoded"),
    ]:
        with pytest.raises(StreamfxError, match=reason):
            Reader(video, start=Fraction(start), end=None if end is None else Fraction(end))


def test_frame_times_are_exact(clip, moving):
    source = clip("ntsc.mp4", *moving(rate="30000/1001"), "-c:v", "libx264", "-pix_fmt", "yuv420p")
    with streamfx.open(source) as reader:
        assert reader.info.rate == Fraction(30000, 1001)
        frames = list(reader)
        assert reader.info.frames == len(frames)
    assert all(frame.pts == n * Fraction(1001, 30000) for n, frame in enumerate(frames))
    assert all(frame.duration == Fraction(1001, 30000) for frame in frames)


def test_a_reader_is_iterable_and_its_frames_are_in_range(video):
    with streamfx.open(video) as reader:
        frames = list(reader)
    assert len(frames) == 25
    assert all(frame.image.min() >= 0 and frame.image.max() <= 1 for frame in frames)
