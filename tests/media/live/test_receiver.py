"""Decoding of live sources."""

from fractions import Fraction
from itertools import pairwise

import av
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
