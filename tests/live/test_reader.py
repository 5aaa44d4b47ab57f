"""The place for the newest frame, and the thread that fills it."""

import threading
import time
from fractions import Fraction

from captioned import with_captions

from streamfx.live.options import LiveOptions
from streamfx.live.reader import Arrival, Newest, SourceReader
from streamfx.live.stats import Stats
from streamfx.live.timing import Timeline
from streamfx.media.live.address import live_source, live_target

TARGET = live_target("udp://127.0.0.1:9")


def test_the_newest_frame_wins():
    newest = Newest()
    assert not newest.put(Arrival(None, Fraction(1), 0.0))
    assert newest.put(Arrival(None, Fraction(2), 0.0))
    assert newest.take(0).time == 2
    assert newest.take(0) is None


def test_take_waits_for_a_frame():
    newest = Newest()
    threading.Timer(0.05, newest.put, [Arrival(None, Fraction(3), 0.0)]).start()
    assert newest.take(30).time == 3


def read(clip, **options):
    """All times that arrive from a file, and the reader."""
    audio, video = [], []
    reader = SourceReader(LiveOptions(live_source(str(clip)), TARGET, **options), Timeline(), Stats(), audio.append)
    reader.start()
    assert reader.opened.wait(60)
    assert not reader.newest.take(0.05)  # nothing before start_frames
    reader.start_frames.set()
    end = time.monotonic() + 60
    while time.monotonic() < end and not (reader.ended.is_set() or len(video) > 60):
        if arrival := reader.newest.take(0.02):
            video.append(arrival.time)
    reader.stop()
    return reader, video, audio


def test_a_file_ends(video):
    reader, times, audio = read(video)
    assert reader.error is None
    assert reader.has_audio
    assert (reader.size, reader.rate) == ((48, 64), 25)
    assert times == sorted(set(times))
    assert sum(block.samples.shape[1] for block in audio) >= 0.9 * 48000


def test_a_loop_goes_on(video):
    _, times, _ = read(video, loop=True)
    assert len(times) > 60 or times[-1] > 2  # the clip has 25 frames in a second
    assert times == sorted(set(times))


def test_a_lower_frame_rate(video):
    reader, times, _ = read(video, rate=Fraction(5), pace=True)
    assert reader.rate == 5
    assert len(times) <= 6


def test_one_line_each_says_what_is_not_sent(video, clip, ffmpeg, tmp_path, caplog):
    with_captions(video, tmp_path / "cc.ts", 3)
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:00,400\nHello\n")
    inputs = ["-i", tmp_path / "cc.ts", "-i", video, "-i", tmp_path / "a.srt"]
    maps = ["-map", "0:v", "-map", "1:a", "-map", "1:a", "-map", "2"]
    ffmpeg(*inputs, *maps, "-c", "copy", "-c:s", "srt", tmp_path / "a.mkv")
    _, times, _ = read(tmp_path / "a.mkv", loop=True)
    assert times
    assert [record.getMessage() for record in caplog.records] == [
        "live streams hold one video and one audio stream; omitted: other audio, subtitles",
        f"the closed captions of '{tmp_path / 'a.mkv'}' are lost: live streams are encoded without them",
    ]
