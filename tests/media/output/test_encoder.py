"""The video encoder: timestamps that the container supports, and stream parameters."""

import io
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.media.encoding import Encoding
from streamfx.media.output.encoder import Shape, VideoEncoder
from streamfx.media.output.formats import FORMATS
from streamfx.media.probe import Coding

TICK = Fraction(1, 1000)  # seconds, of the frames below


def encoder_of(form, codec="ffv1", rate=Fraction(25), last=None, pix_fmt="yuv420p"):
    """An encoder of 16x16 frames, and its container."""
    form = FORMATS[form]
    container = av.open(io.BytesIO(), "w", format=form.muxer)
    shape = Shape(16, 16, rate, TICK, Fraction(1))
    return VideoEncoder(container, form, Encoding(codec, Coding("yuv420p"), {}, pix_fmt), shape, last), container


def frame_at(pts, duration=0):
    frame = VideoFrame(16, 16, "yuv420p")
    frame.pts, frame.duration, frame.time_base = pts, duration, TICK
    return frame


def encoded(encoder, frames):
    """The pts of all packets, in seconds."""
    packets = [packet for frame in frames for packet in encoder.encode(frame)]
    packets += encoder.finish()
    return [packet.pts * packet.time_base for packet in packets]


# --- timestamps


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_packets_of_short_hevc_videos_are_in_order(count):
    shape = Shape(64, 64, Fraction(25), Fraction(1, 25), Fraction(1))
    for _ in range(5):  # what libx265 does not initialize differs
        container = av.open(io.BytesIO(), "w", format="matroska")
        encoding = Encoding("libx265", Coding("yuv420p"), {}, "yuv420p")
        encoder = VideoEncoder(container, FORMATS["matroska"], encoding, shape)
        packets = []
        for pts in range(count):
            frame = VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = pts, shape.time_base
            packets += encoder.encode(frame)
        packets += encoder.finish()
        dts = [packet.dts for packet in packets]
        assert dts == list(range(dts[0], dts[0] + count))
        assert all(-2 <= packet.dts <= packet.pts for packet in packets)
        container.close()


def test_a_gap_is_filled_with_copies_only_if_it_is_short():
    encoder, container = encoder_of("yuv4mpegpipe", "rawvideo", rate=Fraction(1, 10))
    assert len(encoded(encoder, [frame_at(0), frame_at(590_000)])) == 60
    container.close()
    encoder, container = encoder_of("yuv4mpegpipe", "rawvideo")
    with pytest.raises(StreamfxError, match=r"jumps from 1.00 s to 5000.00 s.*use mp4 or mkv"):
        encoded(encoder, [frame_at(0), frame_at(1000), frame_at(5_000_000)])
    container.close()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 200), max_size=20), st.none() | st.integers(0, 100))
def test_frames_that_are_not_after_the_previous_one_are_dropped(times, last):
    encoder, container = encoder_of("nut", last=last)
    expected, previous = [], -1 if last is None else last
    for time in times:
        if time > previous:
            expected.append(time * TICK)
            previous = time
    assert encoded(encoder, map(frame_at, times)) == expected
    assert (encoder.received, encoder.written) == (len(times), len(expected))
    assert encoder.last == (previous if expected else last)
    container.close()


@settings(max_examples=20)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=20, unique=True).map(sorted))
def test_frames_of_a_gif_are_at_least_20_ms_apart(times):
    encoder, container = encoder_of("gif", "gif", rate=Fraction(10), pix_fmt="rgb8")
    written = encoded(encoder, [frame_at(time) for time in times])
    assert len(written) == encoder.written
    assert all(later - earlier >= Fraction(2, 100) for earlier, later in pairwise(written))
    assert written[0] == round(Fraction(times[0], 10)) * Fraction(1, 100)
    container.close()


@pytest.mark.parametrize(
    ("form", "codec", "time_base"),
    [
        ("nut", "ffv1", TICK),
        ("matroska", "mpeg4", Fraction(1, 25)),
        ("avi", "ffv1", Fraction(1, 25)),
        ("gif", "gif", Fraction(1, 100)),
    ],
)
def test_time_base_of_formats_and_codecs(form, codec, time_base):
    encoder, container = encoder_of(form, codec, pix_fmt="rgb8" if codec == "gif" else "yuv420p")
    assert encoder.stream.codec_context.time_base == time_base
    container.close()


def test_a_constant_rate_repeats_and_drops_frames():
    encoder, container = encoder_of("avi")
    times = encoded(encoder, [frame_at(0, 40), frame_at(40, 120), frame_at(160, 1), frame_at(161, 39)])
    assert times == [n * Fraction(1, 25) for n in range(5)]
    assert (encoder.received, encoder.written) == (4, 5)
    container.close()


def test_durations_are_kept():
    encoder, container = encoder_of("nut")
    packets = [packet for frame in (frame_at(0, 7), frame_at(7, 400)) for packet in encoder.encode(frame)]
    packets += encoder.finish()
    assert [packet.duration * packet.time_base for packet in packets] == [7 * TICK, 400 * TICK]
    container.close()


def test_no_frames_give_no_packets():
    for form in ("nut", "avi"):
        encoder, container = encoder_of(form)
        assert list(encoder.finish()) == []
        container.close()


def gif_durations(path):
    """The durations of a GIF's frames in ms, as read by Pillow."""
    durations = []
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
    return durations


def test_raw_video_has_a_constant_rate(uneven, convert):
    made = convert(uneven("a.mkv"), "b.yuv", "null", audio=False)
    (line,) = [line for line in made.warnings if "constant frame rate" in line]
    assert made.path.stat().st_size == int(line.split()[-1]) * 64 * 48 * 3 // 2


def test_a_constant_rate_source_gives_no_warning(video, convert):
    assert convert(video, "b.y4m", "null", audio=False).warnings == []


@pytest.mark.parametrize("chain", ["null", "mirror", "scale=32:24", "mirror,scale=32:24"])
def test_sample_aspect_ratio_is_kept(chain, clip, moving, convert, video_stream):
    source = clip("wide.mkv", *moving(), "-vf", "setsar=64/45", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    assert video_stream(convert(source, "b.mp4", chain).path)["sample_aspect_ratio"] == "64:45"


@pytest.mark.parametrize("name", ["b.mp4", "b.mov"])
def test_hevc_is_tagged_for_apple(name, video, convert, video_stream):
    assert video_stream(convert(video, name, encoder="libx265").path)["codec_tag_string"] == "hvc1"


def test_source_keyframes_are_not_forced(clip, moving, convert, probe):
    source = clip("intra.mp4", *moving(), "-c:v", "libx264", "-g", "1", "-pix_fmt", "yuv420p")
    packets = probe(convert(source, "b.mp4").path, "-select_streams", "v", "-show_entries", "packet=flags")["packets"]
    assert sum("K" in packet["flags"] for packet in packets) == 1


@pytest.mark.parametrize(("rate", "durations"), [("15", [70, 60, 70]), ("12.5", [80]), ("30000/1001", [30, 40, 30])])
def test_durations_are_rounded_to_hundredths(rate, durations, clip, convert, moving):
    source = clip("rate.mkv", *moving(rate=rate, seconds="2"), "-c:v", "ffv1")
    actual = gif_durations(convert(source, "out.gif").path)
    assert actual[: len(durations)] == durations
    assert abs(sum(actual) - 2000) <= 40
    starts = np.cumsum([0, *actual])[:-1]
    exact = [float(n / Fraction(rate)) * 1000 for n in range(len(actual))]
    assert np.abs(starts - exact).max() <= 6  # half a hundredth, plus the rounding of Matroska to 1 ms


@pytest.mark.parametrize("chain", ["null", "mirror"])
def test_the_rate_is_limited_to_50(chain, clip, convert, moving):
    source = clip("fast.mkv", *moving(rate="60", seconds="1"), "-c:v", "ffv1")
    made = convert(source, "out.gif", chain)
    durations = gif_durations(made.path)
    assert durations == [20] * 50
    assert made.warnings == ["gif is limited to 50 frames per second: 60 frames became 50"]


def test_frames_too_close_together_are_dropped(clip, convert, moving):
    """A variable rate below 50 frames per second on average, with pairs of frames within 10 ms."""
    uneven = [*moving(rate="25"), "-vf", "setpts='(N+if(mod(N,5),0,-0.8))/25/TB'", "-c:v", "ffv1", "-fps_mode", "vfr"]
    made = convert(clip("uneven.mkv", *uneven, "-enc_time_base", "1/1000"), "out.gif")
    durations = gif_durations(made.path)
    assert min(durations) >= 20
    assert len(durations) < made.frames


def test_a_codec_that_the_container_does_not_support_is_an_error():
    with pytest.raises(StreamfxError, match="webm cannot hold libx264 video; choose another"):
        encoder_of("webm", "libx264")


@pytest.mark.parametrize("target", ["a.y4m", "a.yuv", "a.avi"])
def test_no_frame_is_repeated_without_bound(target, clip, moving, convert, tmp_path):
    """A jump in Matroska, whose timestamps are taken as they are, would fill the disk."""
    source = clip("gap.mkv", *moving(rate="1", seconds="3"), "-vf", "setpts=PTS*5000", "-c:v", "ffv1")
    with pytest.raises(StreamfxError, match=r"the time jumps from 0\.00 s to 5000\.00 s, which this format fills with"):
        convert(source, target, "null")
    assert len(convert(source, "a.mkv", "null").path.read_bytes()) < 100_000
