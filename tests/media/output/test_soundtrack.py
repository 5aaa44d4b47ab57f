"""Soundtracks for generated video: packets copied unchanged, in sync, and cut to length."""

from fractions import Fraction

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.encoding import Output
from streamfx.media.output.soundtrack import Soundtrack
from streamfx.media.output.writer import Writer


@pytest.fixture(scope="session")
def audio_file(clip, tone):
    return clip("tone.mp3", *tone("2"), "-c:a", "libmp3lame")


def write(target, audio_file, seconds, length=None, **output):
    with Soundtrack(audio_file, length) as soundtrack, Writer(target, None, Output(**output), soundtrack) as writer:
        for number in range(round(seconds * 25)):
            writer.write(Frame(torch.full((3, 48, 64), 0.5), Fraction(number, 25), Fraction(1, 25)))
    return target


def durations(path, probe):
    return {stream["codec_type"]: float(stream["duration"]) for stream in probe(path)["streams"]}


def test_audio_packets_are_copied(audio_file, tmp_path, hashes, probe):
    made = write(tmp_path / "out.mp4", audio_file, 2)
    assert hashes(made, "a") == hashes(audio_file, "a")
    assert durations(made, probe) == pytest.approx({"video": 2.0, "audio": 2.0}, abs=0.06)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_audio_is_cut_to_the_video_length(name, audio_file, tmp_path, probe):
    made = write(tmp_path / name, audio_file, 1, Fraction(1))
    assert float(probe(made)["format"]["duration"]) == pytest.approx(1.0, abs=0.06)
    ends = [float(packet["pts_time"]) for packet in probe(made, "-select_streams", "a", "-show_packets")["packets"]]
    assert 0.9 < max(ends) < 1.01


def test_audio_may_be_shorter_than_the_video(audio_file, tmp_path, probe):
    made = write(tmp_path / "out.mp4", audio_file, 3)
    assert durations(made, probe) == pytest.approx({"video": 3.0, "audio": 2.0}, abs=0.06)


def test_audio_and_video_packets_are_interleaved(audio_file, tmp_path, probe):
    made = write(tmp_path / "out.nut", audio_file, 2)
    kinds = [packet["codec_type"] for packet in probe(made, "-show_packets")["packets"]]
    assert "video" in kinds[len(kinds) // 2 :]
    assert "audio" in kinds[: len(kinds) // 4]


def test_only_the_audio_of_a_video_is_used(video, tmp_path, probe, hashes):
    made = write(tmp_path / "out.mp4", video, 1)
    assert [stream["codec_type"] for stream in probe(made)["streams"]] == ["video", "audio"]
    assert hashes(made, "a") == hashes(video, "a")


def test_unsupported_audio_is_transcoded(audio_file, tmp_path, probe):
    made = write(tmp_path / "out.webm", audio_file, 0.4, Fraction(2, 5))
    assert [stream["codec_name"] for stream in probe(made)["streams"]][1] == "opus"
    assert float(probe(made)["format"]["duration"]) == pytest.approx(0.4, abs=0.06)


def test_audio_can_be_disabled(audio_file, tmp_path, probe):
    made = write(tmp_path / "out.mp4", audio_file, 1, audio=False)
    assert [stream["codec_type"] for stream in probe(made)["streams"]] == ["video"]


def test_files_without_audio(clip, moving, tmp_path):
    silent = clip("silent.mp4", *moving(), "-c:v", "libx264")
    for name, message in ((silent, "has no audio"), (tmp_path / "none.mp3", "no such file")):
        with pytest.raises(StreamfxError, match=message):
            Soundtrack(name)


def test_timestamps_increase_when_those_of_the_file_restart(clip, moving, tone, tmp_path):
    once = clip("video.ts", *moving(seconds="0.4"), *tone(seconds="0.4"), "-c:v", "libx264", "-c:a", "aac")
    (tmp_path / "doubled.ts").write_bytes(once.read_bytes() * 2)
    with Soundtrack(tmp_path / "doubled.ts") as soundtrack:
        soundtrack.read_until(None)
        dts = [packet.dts for packet in soundtrack.take_packets()]
    assert len(dts) > 10
    assert dts == sorted(set(dts))


def test_packets_with_equal_times_are_copied(clip, tone, tmp_path, probe):
    audio = clip("thd.mkv", *tone("1"), "-c:a", "truehd", "-strict", "-2")
    made = write(tmp_path / "out.mkv", audio, 1)
    packets = probe(made, "-select_streams", "a", "-show_packets")["packets"]
    assert len(packets) == 1200


def test_timestamps_that_restart_continue(clip, tone, tmp_path, probe):
    one = clip("one.ts", *tone("0.5"), "-c:a", "mp2")
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() * 2)
    made = write(tmp_path / "out.mkv", both, 1)
    ends = [float(packet["pts_time"]) for packet in probe(made, "-select_streams", "a", "-show_packets")["packets"]]
    assert len(ends) == 2 * len(probe(one, "-show_packets")["packets"])
    assert max(ends) == pytest.approx(1.0, abs=0.06)
