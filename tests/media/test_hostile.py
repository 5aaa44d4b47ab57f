"""Damaged and malicious files: cases found by fuzzing, and a short fuzzing run."""

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import av
import pytest

from streamfx.errors import StreamfxError
from streamfx.media.ffmpeg_log import ffmpeg_messages
from streamfx.media.input import open as opening
from streamfx.media.input.audio_decoder import read_audio
from streamfx.media.input.reader import Reader
from streamfx.media.output.soundtrack import Soundtrack

FUZZ = Path(__file__).parents[1] / "soak" / "fuzz.py"
KINDS = "h264.mp4 fragments.mp4 h264.mkv mpeg4.avi ffv1.nut still.png still.jpg"


def test_mutated_files_give_a_video_or_a_one_line_error():
    kinds = [word for name in KINDS.split() for word in ("--kind", name)]
    command = [sys.executable, FUZZ, "--files", "3", "--seed", "7", *kinds]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("0 failed\n")
    assert sum(int(line.split()[1]) for line in result.stdout.splitlines()[1:-1]) == 3 * len(KINDS.split())


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


def replaced(source, target, old, new):
    data = source.read_bytes()
    assert old in data
    target.write_bytes(data.replace(old, new))
    return target


def test_an_undecodable_video_codec_is_an_error(video, tmp_path):
    with pytest.raises(StreamfxError, match="cannot decode the video codec"):
        Reader(replaced(video, tmp_path / "video.mp4", b"avc1", b"zzzz"))


def test_an_undecodable_audio_codec_is_an_error_or_dropped(clip, moving, tone, tmp_path, convert):
    source = clip("video.mkv", *moving(), *tone(), "-c:v", "libx264", "-c:a", "flac")
    unknown = replaced(source, tmp_path / "video.mkv", b"A_FLAC", b"A_XYZQ")
    with pytest.raises(StreamfxError, match="cannot decode the audio codec"):
        list(read_audio(str(unknown), 8000))
    result = convert(unknown, "out.mp4", "null")
    assert result.frames == 25
    assert result.warned("omitted")


@pytest.fixture
def doubled(clip, moving, tone, tmp_path):
    """A video concatenated with itself, so that its timestamps restart in the middle."""
    source = clip("video.ts", *moving(seconds="0.4"), *tone(seconds="0.4"), "-c:v", "libx264", "-c:a", "aac")
    path = tmp_path / "doubled.ts"
    path.write_bytes(source.read_bytes() * 2)
    return path


@pytest.mark.parametrize("name", ["out.nut", "out.mp4", "out.mkv"])
def test_audio_timestamps_increase_when_those_of_the_source_restart(name, doubled, convert, times):
    result = convert(doubled, name, "null")
    assert result.damaged_at is not None
    audio = times(result.path, "a:0")
    assert len(audio) > 10
    assert audio == sorted(set(audio))


def test_soundtrack_timestamps_increase_when_those_of_the_file_restart(doubled):
    with Soundtrack(doubled) as soundtrack:
        soundtrack.read_until(None)
        dts = [packet.dts for packet in soundtrack.take_packets()]
    assert len(dts) > 10
    assert dts == sorted(set(dts))


def test_messages_of_other_threads_are_not_captured(clip, moving, tmp_path, capfd):
    source = clip("video.mp4", *moving(seconds="0.4"), "-c:v", "libx264", "-g", "5")
    data = bytearray(source.read_bytes())
    start = data.index(b"mdat") + 1000
    data[start : start + 2000] = bytes(2000)
    (tmp_path / "video.mp4").write_bytes(data)
    running = True
    captured = []

    def decode():
        while running:
            with suppress(av.error.FFmpegError), av.open(tmp_path / "video.mp4") as container:
                container.streams.video[0].thread_type = "AUTO"
                for packet in container.demux(video=0):
                    with suppress(av.error.FFmpegError):
                        packet.decode()

    threads = [threading.Thread(target=decode) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20_000):
        with ffmpeg_messages() as messages:
            pass
        captured += messages
    running = False
    for thread in threads:
        thread.join()
    assert capfd.readouterr() == ("", "")
    assert not captured


def test_ffmpeg_stays_muted_after_capturing_messages(capfd, caplog):
    with ffmpeg_messages() as messages:
        av.logging.log(av.logging.ERROR, "context", "first")
    assert [text for _, _, text in messages] == ["first"]
    av.logging.log(av.logging.ERROR, "context", "second")
    with ffmpeg_messages() as messages:
        av.logging.log(av.logging.ERROR, "context", "third")
    assert [text for _, _, text in messages] == ["third"]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_log_level_set_by_the_user_is_kept(caplog):
    before = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with ffmpeg_messages():
            pass
        assert av.logging.get_level() == av.logging.WARNING
        av.logging.log(av.logging.WARNING, "context", "message")
        assert "message" in caplog.text
    finally:
        av.logging.set_level(before)


def test_reading_a_playlist_without_an_end_marker_times_out(tmp_path, moving, ffmpeg, convert, monkeypatch):
    code = ["-c:v", "libx264", "-g", "5", "-hls_time", "0.2", "-hls_list_size", "0"]
    ffmpeg(*moving(), *code, tmp_path / "list.m3u8")
    text = (tmp_path / "list.m3u8").read_text().replace("#EXT-X-ENDLIST", "")
    (tmp_path / "live.m3u8").write_text(text.replace("TARGETDURATION:0", "TARGETDURATION:60"))
    monkeypatch.setattr(opening, "HLS_TIMEOUT", 1.5)
    result = convert(tmp_path / "live.m3u8", "out.mkv")
    assert result.frames > 5
    assert result.warned("has no end marker")
