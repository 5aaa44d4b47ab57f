"""Timelines over reconnections and jumps, pacing, and the limit of the frame rate, on a simulated clock."""

from fractions import Fraction
from itertools import pairwise

import pytest

from streamfx.live.timing import Pacer, RateLimit, Timeline


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def timeline(clock):
    return Timeline(clock)


def play(timeline, clock, start, count, rate=25):
    """The output times of `count` frames that arrive in real time, the first with the source time `start`."""
    times = []
    for number in range(count):
        times.append(timeline.output(start + Fraction(number, rate)))
        clock.now += 1 / rate
    return times


def test_source_times_are_kept(timeline, clock):
    times = play(timeline, clock, Fraction(1234), 50)
    assert times == [Fraction(number, 25) for number in range(50)]


def test_reconnection_goes_on_at_the_wall_clock(timeline, clock):
    last = play(timeline, clock, Fraction(50), 25)[-1]
    clock.now += 10
    timeline.disconnected()
    first = play(timeline, clock, Fraction(0), 25)[0]
    assert float(first - last) == pytest.approx(10 + 1 / 25)


def test_held_frames_advance_and_the_source_follows_them(timeline, clock):
    play(timeline, clock, Fraction(0), 10)
    timeline.disconnected()
    held = []
    for _ in range(20):
        clock.now += 0.04
        held.append(timeline.held())
    assert all(one < other for one, other in pairwise(held))
    assert play(timeline, clock, Fraction(900), 2)[0] >= held[-1]


def test_audio_and_video_share_a_reconnection(timeline, clock):
    timeline.output(Fraction(5))
    timeline.disconnected()
    clock.now += 1
    video = timeline.output(Fraction(20))
    assert timeline.output(Fraction(20) + Fraction(1, 100)) - video == Fraction(1, 100)


@pytest.mark.parametrize("jump", [-40, 4000])
def test_a_jump_in_the_source_does_not_reach_the_output(timeline, clock, jump):
    clock.now += 5
    last = play(timeline, clock, Fraction(100), 100)[-1]
    first = play(timeline, clock, Fraction(104 + jump), 10)[0]
    assert 0 < first - last < Fraction(1, 10)


def test_packets_from_before_a_jump_are_left_out(timeline, clock):
    clock.now += 5
    play(timeline, clock, Fraction(100), 50)
    timeline.output(Fraction(10))
    assert timeline.output(Fraction(102)) is None


def test_a_drifting_source_stays_smooth(timeline, clock):
    """A sender whose clock is 0.5 % fast: the output follows its timestamps, so audio and video cannot part."""
    times = []
    for number in range(5000):
        times.append(timeline.output(Fraction(number, 25)))
        clock.now += 0.04 / 1.005
    assert {other - one for one, other in pairwise(times)} == {Fraction(1, 25)}


def test_a_stall_without_a_disconnection_keeps_the_mapping(timeline, clock):
    play(timeline, clock, Fraction(0), 25)
    clock.now += 1
    timeline.held()
    assert timeline.output(Fraction(2)) == 2


def test_a_source_that_paused_goes_on_from_now(timeline, clock):
    play(timeline, clock, Fraction(0), 25)
    clock.now += 10
    held = timeline.held()
    assert timeline.output(Fraction(1)) >= held


def test_pacer_waits_for_the_time_of_a_frame(clock):
    pacer = Pacer(clock, clock.sleep)
    for number in range(10):
        pacer.wait(7 + Fraction(number, 10))
    assert clock.now == pytest.approx(100.9)


def test_pacer_does_not_wait_when_late(clock):
    pacer = Pacer(clock, clock.sleep)
    pacer.wait(Fraction(0))
    clock.now += 5
    pacer.wait(Fraction(1))
    assert clock.now == 105


@pytest.mark.parametrize(("rate", "expected"), [(None, 50), (Fraction(25), 25), (Fraction(10), 10), (Fraction(60), 50)])
def test_rate_limit(rate, expected):
    limit = RateLimit(rate)
    assert abs(sum(limit.passes(Fraction(number, 50)) for number in range(50)) - expected) <= 1
