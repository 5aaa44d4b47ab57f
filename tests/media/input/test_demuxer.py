"""Demuxing: times from zero, trimming, seeking, restarting, damage, and the packets of other streams."""

import logging
import os
import threading
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.media.input import demuxer as demuxing
from streamfx.media.input.demuxer import Demuxer
from streamfx.media.input.reader import Reader

H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]
FRAME = Fraction(1, 25)  # seconds


@pytest.fixture
def open_source():
    """open_source(path, start, end): a Demuxer, closed at the end of the test."""
    opened = []

    def open_source(path, start=0, end=None, rate=None):
        end = None if end is None else Fraction(end)
        demuxer = Demuxer(str(path), input_format=None, rate=rate, start=Fraction(start), end=end)
        opened.append(demuxer)
        return demuxer

    yield open_source
    for demuxer in opened:
        demuxer.close()


def seconds(frames):
    """(pts, duration) of each frame, in seconds."""
    return [(frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in frames]


# --- times


@pytest.fixture(scope="session")
def late(clip, moving, tone):
    """A video of 10 frames whose timestamps start at 100 s."""
    code = [*H264, "-g", "5", "-bf", "2", "-c:a", "aac", "-output_ts_offset", "100"]
    return clip("late.nut", *moving(seconds="0.4"), *tone("0.4"), *code)


def test_times_start_at_zero(late, open_source):
    source = open_source(late)
    assert source.offset >= 99
    first, *_ = frames = seconds(source.video_frames())
    assert 0 <= first[0] < FRAME
    assert [(pts - first[0], duration) for pts, duration in frames] == [(n * FRAME, FRAME) for n in range(10)]
    assert 0 <= min(packet.pts * packet.time_base for packet in source.packets) < FRAME


@settings(max_examples=25)
@given(first=st.integers(0, 30), length=st.integers(0, 60))
def test_any_part_has_the_frames_that_are_shown_in_it(first, length, video):
    """Limits at multiples of half a frame."""
    start, end = first * FRAME / 2, (first + length) * FRAME / 2
    times = [n * FRAME for n in range(25) if (n + 1) * FRAME > start and n * FRAME < end]
    demuxer = Demuxer(str(video), input_format=None, rate=None, start=start, end=end)
    try:
        frames = seconds(demuxer.video_frames())
        length = demuxer.length
    finally:
        demuxer.close()
    assert [pts for pts, _ in frames] == [max(Fraction(0), time - start) for time in times]
    assert length == end - start


def test_durations_extend_to_the_next_frame(clip, moving, open_source):
    uneven = "select='not(mod(n,3))+gt(n,12)*not(mod(n,2))'"
    source = open_source(clip("uneven.mp4", *moving(), "-vf", uneven, "-fps_mode", "vfr", *H264))
    frames = seconds(source.video_frames())
    assert len({duration for _, duration in frames}) > 1
    assert all(pts + duration == following for (pts, duration), (following, _) in pairwise(frames))
    assert frames[-1][1] > 0
    assert not source.constant_frame_rate


@pytest.mark.parametrize(
    ("start", "end", "duration"),
    [
        (0, None, 1),
        (Fraction(1, 4), None, Fraction(3, 4)),
        (0, Fraction(1, 2), Fraction(1, 2)),
        (Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)),
        (Fraction(1, 4), 99, Fraction(3, 4)),
        (5, None, 0),
    ],
)
def test_duration_of_a_part(start, end, duration, video, open_source):
    source = open_source(video, start, end)
    assert source.duration == duration
    assert source.length == (None if end is None else end - start)


def test_the_duration_of_raw_video_is_unknown(clip, moving, open_source):
    source = open_source(clip("short.h264", *moving(seconds="0.2"), *H264))
    assert source.duration is None
    assert source.constant_frame_rate


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(30000, 1001)])
def test_raw_video_has_the_requested_rate(rate, clip, moving, open_source):
    source = open_source(clip("raw.mjpeg", *moving(seconds="0.2"), "-f", "mjpeg"), rate=rate)
    assert source.rate == rate
    times = [float(pts) for pts, _ in seconds(source.video_frames())]
    assert times == pytest.approx([float(n / rate) for n in range(5)], abs=1e-5)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        *((f"a.{kind}", "250") for kind in ("mp4", "mkv", "ts")),
        *((f"a.{kind}", "10") for kind in ("ts", "webm", "avi", "nut")),
    ],
)
def test_trimming_is_exact_and_keeps_audio_in_sync(name, keys, clip, moving, tone, convert, times, rgb):
    video = (
        ["-c:v", "libvpx-vp9", "-deadline", "realtime"]
        if name == "a.webm"
        else ["-c:v", "mpeg4" if name == "a.avi" else "libx264"]
    )
    audio = {"a.webm": "libopus", "a.avi": "mp3"}.get(name, "aac")
    source = clip(name, *moving(seconds="2"), *tone("2"), *video, "-g", keys, "-pix_fmt", "yuv420p", "-c:a", audio)
    result = convert(source, "out.mkv", reading={"start": Fraction(4, 5), "end": Fraction(7, 5)}, encoder="ffv1")
    first = times(source)[0]
    expected = [
        round((t - first) * 25)
        for t in times(source)
        if Fraction(39, 50) <= t - min(first, times(source, "a:0")[0]) < Fraction(139, 100)
    ]
    assert result.frames == pytest.approx(15, abs=1)
    trimmed, untrimmed = rgb(result.path), rgb(source)
    start = min(range(40), key=lambda n: np.abs(untrimmed[n].astype(int) - trimmed[0]).sum())
    assert abs(start - expected[0]) <= 1
    np.testing.assert_allclose(trimmed.astype(int), untrimmed[start : start + len(trimmed)], atol=2)
    audio_times = times(result.path, "a:0")
    assert -0.03 <= audio_times[0] <= 0.06
    assert 0.5 <= audio_times[-1] <= 0.61


def test_an_unused_input_rate_gives_a_warning(video, convert):
    assert convert(video, "out.mp4", reading={"input_rate": Fraction(10)}).warned("--input-fps")


def test_missing_avi_timestamps_follow_the_rate(clip, moving, convert, times):
    source = clip("b.avi", *moving(), "-c:v", "mpeg4", "-bf", "2")
    for chain in ("null", "mirror"):
        after = times(convert(source, "b.mp4", chain, overwrite=True).path)
        assert [t - after[0] for t in after] == [Fraction(n, 25) for n in range(25)]


@pytest.mark.parametrize("bframes", ["0", "3"])
def test_missing_raw_h264_timestamps_follow_the_rate(bframes, clip, moving, convert, times):
    source = clip("raw.h264", *moving(rate="30"), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", bframes)
    after = times(convert(source, "b.mp4").path)
    assert [t - after[0] for t in after] == [Fraction(n, 30) for n in range(30)]


def test_empty_packets_repeat_the_last_frame(clip, times, convert):
    """Theora codes an unchanged frame as an empty packet."""
    still = "color=red:s=64x48:r=25:d=0.2,drawbox=t=fill:enable='gte(n,3)'"
    source = clip("video.ogv", "-f", "lavfi", "-i", still, "-c:v", "libtheora")
    with av.open(source) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        assert any(packet.size == 0 for packet in packets)
        expected = [float(packet.pts * packet.time_base) for packet in packets if packet.size]
    result = convert(source, "out.mkv", "null")
    assert result.damaged_at is None
    assert [float(time) for time in times(result.path)] == pytest.approx(expected, abs=0.001)


@pytest.fixture
def doubled(clip, moving, tone, tmp_path):
    """A video concatenated with itself, so that its timestamps restart in the middle."""
    source = clip("video.ts", *moving(seconds="0.4"), *tone(seconds="0.4"), "-c:v", "libx264", "-c:a", "aac")
    path = tmp_path / "doubled.ts"
    path.write_bytes(source.read_bytes() * 2)
    return path


@pytest.mark.parametrize("name", ["out.nut", "out.mp4", "out.mkv"])
def test_timestamps_that_restart_continue(name, doubled, convert, times):
    result = convert(doubled, name, "null")
    assert result.damaged_at is None
    assert result.warned("jump at 0.4")
    video, audio = times(result.path), times(result.path, "a:0")
    assert [float(time) for time in video] == pytest.approx([n / 25 for n in range(20)], abs=0.025)
    assert len(audio) == 2 * len(times(doubled, "a:0")) // 2
    assert audio == sorted(audio)
    assert float(audio[-1]) == pytest.approx(0.8, abs=0.06)


def test_unused_packets_are_not_kept(video):
    with Reader(video) as reader:
        assert sum(1 for _ in reader.video_frames()) == 25
        assert list(reader.take_packets()) == []


# --- seeking and restarting


@pytest.fixture(scope="session")
def keyed(clip, moving, tone):
    """keyed(name): a video of 50 frames with a key frame every 10 frames, and a tone."""

    def keyed(name):
        code = ["-c:v", "mpeg4" if name.endswith("avi") else "libx264", "-g", "10", "-pix_fmt", "yuv420p"]
        return clip(name, *moving(seconds="2"), *tone("2"), *code, "-c:a", "mp3")

    return keyed


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.nut"])
@pytest.mark.parametrize("time", [Fraction(1, 10), Fraction(13, 25), Fraction(99, 100), Fraction(49, 25)])
def test_seeking_lands_at_or_before_the_time(name, time, keyed, open_source):
    whole = [(frame.pts, frame.to_ndarray()) for frame in open_source(keyed(name)).video_frames()]
    source = open_source(keyed(name))
    assert source.seek(time)
    frames = [(frame.pts, frame.to_ndarray()) for frame in source.video_frames()]
    assert frames[0][0] * source.tick <= time
    assert len(frames) < len(whole) or time < Fraction(2, 5)
    for (pts, samples), (expected_pts, expected) in zip(frames, whole[-len(frames) :], strict=True):
        assert pts == expected_pts
        np.testing.assert_array_equal(samples, expected)


def test_sources_without_reliable_times_cannot_seek(keyed, clip, moving, open_source):
    assert not open_source(keyed("a.avi")).seek(Fraction(1))
    assert not open_source(clip("raw.h264", *moving(rate="30"), *H264, "-bf", "3")).seek(Fraction(0))


@pytest.fixture(scope="session")
def with_alpha(clip):
    """A WebM file with alpha, which is coded separately."""
    source = "color=red@0.5:s=64x48:r=25:d=0.2,format=yuva420p"
    return clip("alpha.webm", "-f", "lavfi", "-i", source, "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p")


def test_webm_alpha_is_decoded_but_cannot_be_restarted(with_alpha, open_source):
    source = open_source(with_alpha)
    assert {frame.format.name for frame in source.video_frames()} == {"yuva420p"}
    source = open_source(with_alpha)
    assert not source.can_restart
    assert not source.seek(Fraction(0))


@pytest.mark.parametrize("read", [0, 1, 7, 25])
def test_a_restart_gives_the_frames_from_the_first_on(read, video, open_source):
    expected = [frame.to_ndarray() for frame in open_source(video).video_frames()]
    source = open_source(video)
    frames = source.video_frames()
    for _ in range(read):
        next(frames)
    frames.close()
    assert source.can_restart
    again = list(source.restart(None))
    assert seconds(again) == [(n * FRAME, FRAME) for n in range(25)]
    for frame, samples in zip(again, expected, strict=True):
        np.testing.assert_array_equal(frame.to_ndarray(), samples)
    audio = [packet.dts for packet in source.packets]
    assert len(audio) > 40
    assert audio == sorted(audio)  # collected once


def test_a_restart_with_another_decoder(video, open_source):
    source = open_source(video)
    next(source.video_frames())
    context = av.CodecContext.create("h264", "r")
    context.extradata = source.stream.codec_context.extradata
    decoded = []

    def decode(packet):
        frames = context.decode(packet)
        decoded.extend(frames)
        return frames

    assert len(list(source.restart(decode))) == len(decoded) == 25


def test_only_a_limited_number_of_packets_is_kept_for_a_restart(video, open_source, monkeypatch):
    monkeypatch.setattr(demuxing, "MAX_FED_PACKETS", 5)
    source = open_source(video)
    assert source.can_restart
    assert sum(1 for _ in source.video_frames()) == 25
    assert not source.can_restart
    source = open_source(video)
    source.disable_restart()
    assert not source.can_restart


# --- damage


def test_an_intact_source_has_no_damage(keyed, open_source):
    for name in ("a.mp4", "a.mkv", "a.avi"):
        source = open_source(keyed(name))
        assert sum(1 for _ in source.video_frames()) == 50
        assert source.damaged_at is None


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_a_truncated_source_is_damaged_where_it_ends(name, keyed, tmp_path, open_source):
    data = keyed(name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    source = open_source(tmp_path / name)
    frames = seconds(source.video_frames())
    assert 10 < len(frames) < 45
    assert source.damaged_at == pytest.approx(sum(frames[-1]), abs=0.1)


def test_a_missing_end_within_the_tolerance_is_no_damage(keyed, tmp_path, open_source):
    data = keyed("a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) * 19 // 20])
    source = open_source(tmp_path / "a.mkv")
    assert 45 <= sum(1 for _ in source.video_frames()) < 50
    assert source.damaged_at is None


def test_decoding_continues_after_a_damaged_packet(keyed, tmp_path, open_source):
    with av.open(keyed("a.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [packet for packet in packets if packet.is_keyframe]
    data = bytearray(keyed("a.mp4").read_bytes())
    data[keys[2].pos + 5 : keys[2].pos + keys[2].size] = bytes(keys[2].size - 5)
    (tmp_path / "a.mp4").write_bytes(data)
    source = open_source(tmp_path / "a.mp4")
    frames = list(source.video_frames())
    assert len(frames) > 30
    assert source.damaged_at is not None
    assert Fraction(1, 5) < source.damaged_at <= Fraction(keys[2].pts * keys[2].time_base)


# --- packets of other streams


def test_packets_are_collected_up_to_a_time(video, open_source):
    source = open_source(video)
    source.read_until(Fraction(1, 2))
    times = [packet.pts * packet.time_base for packet in source.packets]
    assert times == sorted(times)
    assert times[0] < FRAME
    assert 0.2 < times[-1] < 0.75  # the audio of a time may be stored after the video
    source.read_until(Fraction(1, 4))  # already read
    assert len(source.packets) == len(times)
    source.read_until(None)
    assert source.packets[-1].pts * source.packets[-1].time_base > 0.95


def test_packets_are_collected_up_to_the_requested_end(video, open_source):
    source = open_source(video, Fraction(1, 5), Fraction(3, 5))
    source.read_until(None)
    times = [packet.pts * packet.time_base for packet in source.packets]
    assert 0 <= times[0] < 0.03
    assert Fraction(37, 100) < times[-1] < Fraction(2, 5)


def test_audio_after_the_last_video_frame_is_collected(clip, moving, tone, open_source):
    """In files where audio comes later than video of the same time."""
    source = open_source(clip("uneven.nut", *moving(seconds="0.4"), *tone("2"), *H264, "-c:a", "aac"), end=1)
    assert sum(1 for _ in source.video_frames()) == 10
    times = [packet.pts * packet.time_base for packet in source.packets]
    assert 0.95 < times[-1] < 1


def test_no_packets_are_collected_if_disabled(video, open_source):
    source = open_source(video)
    source.collects_packets = False
    source.read_until(None)
    assert sum(1 for _ in source.video_frames()) == 25
    assert not source.packets


def test_cover_art_is_kept_as_an_image(clip, video, open_source):
    cover = clip("cover.jpg", "-f", "lavfi", "-i", "color=red:s=300x300:d=1", "-frames:v", "1")
    art = ["-c", "copy", "-disposition:v:1", "attached_pic"]
    source = open_source(clip("cover.mp4", "-i", video, "-i", cover, "-map", "0", "-map", "1", *art))
    assert sum(1 for _ in source.video_frames()) == 25
    assert list(source.covers.values()) == [cover.read_bytes()]
    assert {packet.stream.type for packet in source.packets} == {"audio"}


@pytest.mark.parametrize("name", ["large.mkv", "large.nut", "large.ts", "fragments.mp4"])
def test_pipes_are_decoded_from_the_start(name, clip, moving, tmp_path, open_source, caplog):
    caplog.set_level(logging.INFO, "streamfx")
    code = {"mkv": ["-c:v", "ffv1"], "nut": ["-c:v", "ffv1"], "ts": ["-c:v", "mpeg2video", "-q:v", "1"]}
    fragments = ["-c:v", "libx264", "-qp", "0", "-g", "5", "-movflags", "frag_keyframe+empty_moov"]
    source = clip(name, *moving("320x180"), *code.get(name.partition(".")[2], fragments))
    assert source.stat().st_size > 100_000  # more than FFmpeg buffers
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[source.read_bytes()])
    writer.start()
    demuxer = open_source(tmp_path / "pipe", Fraction(2, 5))
    times = [float(pts) for pts, _ in seconds(demuxer.video_frames())]
    writer.join(timeout=10)
    assert times == pytest.approx([n / 25 for n in range(15)], abs=0.001)
    assert any("cannot seek in" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("target", "size", "rate"),
    [("pal-dv", "720x576", Fraction(25)), ("ntsc-dv", "720x480", Fraction(30000, 1001)), ("pal-dv50", "720x576", 25)],
)
def test_raw_dv_has_its_guessed_rate(target, size, rate, clip, convert, times):
    """FFmpeg's average rate of it is 60000."""
    picture = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={float(5 / rate)}"]
    sound = ["-f", "lavfi", "-i", f"anullsrc=r=48000:d={float(5 / rate)}", "-ac", "2"]
    source = clip(f"{target}.dv", *picture, *sound, "-target", target)
    with Reader(source) as reader:
        assert reader.info.rate == rate
    for name in ("a.y4m", "a.mp4", "a.gif"):
        made = convert(source, name, "scale=32:-2", audio=False)
        assert [float(time) for time in times(made.path)] == pytest.approx([n / rate for n in range(5)], abs=0.011)
