"""Encoding for live streams: sizes, key frames, and audio that stays in sync with its timestamps."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from streamfx.media.live.encoder import LiveEncoder
from streamfx.media.live.receiver import SAMPLE_RATE, AudioBlock

RATE = Fraction(25)


def encoder(size=(48, 64), audio=True, **options):
    return LiveEncoder(size, RATE, audio=audio, **options)


def block(start, length=0.04, value=0.5):
    return AudioBlock(
        np.full((2, round(length * SAMPLE_RATE)), value, np.float32), Fraction(start).limit_denominator(10**6)
    )


def image(size=(48, 64)):
    return torch.rand(3, *size)


def muxed(live, packets, path):
    """Write the packets to a file."""
    with av.open(str(path), "w") as container:
        streams = live.add_streams(container)
        for packet in packets:
            copy = av.Packet(packet.data)
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.key, streams[packet.video]
            container.mux(copy)
    return path


def loudness(path):
    """Time of each decoded audio sample that is loud."""
    times = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()).max(0) > 0.2)
            times.extend((float(frame.pts * frame.time_base) + loud / SAMPLE_RATE).tolist())
    return times


def test_video_without_delay():
    live = encoder(audio=False)
    packets = [list(live.encode(image(), Fraction(number, 25))) for number in range(60)]
    assert all(len(each) == 1 for each in packets)
    assert [each[0].key for each in packets].count(True) == 2  # one every two seconds
    assert all(each[0].pts == each[0].dts for each in packets)


def test_odd_sizes_lose_a_row_and_a_column():
    live = encoder((49, 65), audio=False)
    assert live.size == (48, 64)
    assert list(live.encode(image((49, 65)), Fraction(0)))


def test_key_frames_on_request():
    live = encoder(audio=False)
    keys = []
    for number in range(10):
        live.force_key = number == 5
        keys += [packet.key for packet in live.encode(image(), Fraction(number, 25))]
    assert keys == [number in (0, 5) for number in range(10)]


def test_times_that_do_not_advance_are_left_out():
    live = encoder(audio=False)
    counts = [len(list(live.encode(image(), when))) for when in (Fraction(1), Fraction(1), Fraction(1, 2), Fraction(2))]
    assert counts == [1, 0, 0, 1]


def test_audio_waits_for_the_video_of_its_time():
    live = encoder()
    for number in range(50):
        live.push_audio(block(number / 25))
    before = [packet for packet in live.encode(image(), Fraction(0)) if not packet.video]
    later = [packet for packet in live.encode(image(), Fraction(1)) if not packet.video]
    assert len(before) <= 2
    assert 20 * 0.04 * SAMPLE_RATE / 1024 < len(later) < 30 * 0.04 * SAMPLE_RATE / 1024


@pytest.mark.parametrize("shift", [Fraction(1, 2), Fraction(-1, 4)])
def test_audio_that_jumps_is_placed_at_its_time(tmp_path, shift):
    """A gap becomes silence, an overlap is cut: what comes after is in sync again."""
    live = encoder()
    packets = []
    for number in range(75):
        when = Fraction(number, 25)
        loud = number == 70
        live.push_audio(block(when + (shift if 25 <= number < 50 else 0), value=0.8 if loud else 0.0))
        packets += live.encode(image(), when)
    packets += live.finish()
    times = loudness(muxed(live, packets, tmp_path / "out.mkv"))
    assert times[0] == pytest.approx(70 / 25, abs=0.03)


def test_a_drifting_audio_clock_is_corrected(tmp_path):
    """Audio whose samples come 0.5 % too slowly for their timestamps stays within 30 ms of them."""
    live = encoder()
    packets, worst = [], 0.0
    for number in range(1500):  # a minute: a drift of 300 ms
        when = Fraction(number, 25)
        live.push_audio(block(when, 0.0398))
        if number % 25 == 0:
            packets += live.encode(image(), when)
            worst = max(worst, abs(float(live.audio_offset)))
    assert 0 < worst <= 0.03


def test_silence_while_no_audio_arrives():
    live = encoder()
    audio = 0
    for number in range(0, 250, 5):
        audio += sum(not packet.video for packet in live.encode(image(), Fraction(number, 25)))
    assert audio * 1024 / SAMPLE_RATE == pytest.approx(10 - 1, abs=0.5)  # a second may still arrive


def test_bitrate():
    live = encoder((96, 128), audio=False, bitrate=60_000)
    size = sum(
        len(packet.data) for number in range(75) for packet in live.encode(image((96, 128)), Fraction(number, 25))
    )
    free = encoder((96, 128), audio=False)
    unlimited = sum(len(p.data) for number in range(75) for p in free.encode(image((96, 128)), Fraction(number, 25)))
    assert size < unlimited / 3
