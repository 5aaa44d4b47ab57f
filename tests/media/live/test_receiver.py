"""Decoding of live sources."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.media.live.address import live_source
from streamfx.media.live.receiver import SAMPLE_RATE, AudioBlock, Picture, Receiver, SourceLostError
from streamfx.media.pixel_formats import to_image


def receive(path):
    receiver = Receiver(live_source(str(path)))
    arrivals = list(receiver.arrivals())
    receiver.close()
    return receiver, [a for a in arrivals if isinstance(a, Picture)], [a for a in arrivals if isinstance(a, AudioBlock)]


def test_frames_and_audio(video):
    receiver, pictures, audio = receive(video)
    assert (receiver.size, receiver.rate, receiver.has_audio) == ((48, 64), 25, True)
    assert [picture.time for picture in pictures] == [Fraction(number, 25) for number in range(25)]
    assert all(block.samples.shape[0] == 2 for block in audio)
    assert all(one.end == pytest.approx(other.time, abs=1e-3) for one, other in pairwise(audio))
    assert abs(sum(block.samples.shape[1] for block in audio) / SAMPLE_RATE - 1) < 0.05


def test_pictures_are_scaled(video):
    _, pictures, _ = receive(video)
    image = pictures[0].image((48, 64))
    assert torch.equal(image, to_image(pictures[0].frame)[0])
    small = pictures[0].image((24, 32))
    assert small.shape == (3, 24, 32)
    assert abs(small.mean() - image.mean()) < 0.02


def test_rotated_video_is_upright(tmp_path):
    with av.open(str(tmp_path / "rotated.mp4"), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(90)
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    _, pictures, _ = receive(tmp_path / "rotated.mp4")
    assert pictures[0].image((64, 48)).shape == (3, 64, 48)
    assert (pictures[0].frame.height, pictures[0].frame.width) == (64, 48)


def test_damaged_packets_are_skipped(video, ffmpeg, tmp_path):
    stream = tmp_path / "stream.ts"
    ffmpeg("-i", video, "-c", "copy", stream)
    data = bytearray(stream.read_bytes())
    data[4000:9000] = bytes(5000)
    stream.write_bytes(data)
    _, pictures, _ = receive(stream)
    assert pictures


def test_sources_without_video(clip, tone, tmp_path):
    with pytest.raises(StreamfxError, match="only audio"):
        Receiver(live_source(str(clip("tone.wav", *tone()))))
    text = tmp_path / "text.txt"
    text.write_text("hello " * 100)
    with pytest.raises(StreamfxError, match=r"text\.txt"):
        Receiver(live_source(str(text)))


def test_a_network_source_that_is_not_there_is_lost():
    with pytest.raises(SourceLostError, match="connection refused"):
        Receiver(live_source("tcp://127.0.0.1:9"))
    with pytest.raises(StreamfxError, match="unknown input format 'nonsense'"):
        Receiver(live_source("tcp://127.0.0.1:9", input_format="nonsense"))


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.flv"])
def test_tags_that_are_not_utf8(name, video, clip, tmp_path):
    tags = ["-metadata", "title=XXXXXX", "-metadata", "service_name=XXXXXX"]
    data = clip(name, "-i", video, "-c", "copy", *tags).read_bytes()
    assert b"XXXXXX" in data
    (tmp_path / name).write_bytes(data.replace(b"XXXXXX", b"S\xfc\xdfer!"))
    assert len(receive(tmp_path / name)[1]) == 25


def test_no_error_of_pyav_is_taken_for_an_unknown_format(video, monkeypatch):
    def fail(*_, **__):
        raise ValueError("a track is odd")

    monkeypatch.setattr("av.open", fail)
    with pytest.raises(StreamfxError, match=r"cannot open '.*video\.mp4': a track is odd"):
        Receiver(live_source(str(video)))


@pytest.mark.parametrize(("codec", "bad"), [("pcm_f32le", np.nan), ("pcm_f64le", np.inf), ("pcm_f32le", -1e30)])
def test_samples_that_are_not_numbers_become_silence(codec, bad, ffmpeg, moving, tmp_path, caplog):
    raw, samples = codec.removeprefix("pcm_"), np.full((SAMPLE_RATE, 2), 0.25)
    samples[20000:30000] = bad
    (tmp_path / "bad.raw").write_bytes(samples.astype("<f4" if raw == "f32le" else "<f8").tobytes())
    source = ["-f", raw, "-ar", SAMPLE_RATE, "-ac", "2", "-i", tmp_path / "bad.raw"]
    ffmpeg(*moving(), *source, "-c:v", "mpeg4", "-c:a", codec, tmp_path / "bad.mkv")
    _, _, audio = receive(tmp_path / "bad.mkv")
    heard = np.concatenate([block.samples for block in audio], axis=1)
    assert np.unique(heard).tolist() == [0, 0.25]
    assert (heard[0] == 0).sum() == 10000
    lines = [record.getMessage() for record in caplog.records if "not numbers" in record.getMessage()]
    assert lines == ["samples of the audio are not numbers, or much too large; they become silence"]
