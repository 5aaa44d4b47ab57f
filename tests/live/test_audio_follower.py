"""Level, onsets and beats of synthetic audio, followed without look-ahead."""

import numpy as np
import pytest

from streamfx.live.audio_follower import VARIABLES, AudioFollower
from streamfx.media.live.receiver import SAMPLE_RATE

BLOCK = 480  # samples: 10 ms
BPM = 120


def follow(samples):
    """The values after each block: name -> array, 100 per second."""
    follower = AudioFollower()
    rows = []
    for start in range(0, len(samples) - BLOCK, BLOCK):
        follower.feed(np.repeat(samples[None, start : start + BLOCK], 2, 0).astype(np.float32))
        rows.append(follower.values())
    return {name: np.array([row[name] for row in rows]) for name in VARIABLES}


def drums(seconds=10, hats=True):
    """A kick on each beat and a quiet hat between two."""
    rng = np.random.default_rng(1)
    time = np.arange(int(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
    samples = 0.003 * rng.standard_normal(seconds * SAMPLE_RATE)
    for number in range(int(seconds * BPM / 30)):
        start = int(number * 30 / BPM * SAMPLE_RATE)
        kick = 0.8 * np.sin(2 * np.pi * 60 * time) * np.exp(-time / 0.06)
        hat = 0.1 * rng.standard_normal(len(time)) * np.exp(-time / 0.02)
        sound = kick if number % 2 == 0 else hat * hats
        part = samples[start : start + len(time)]
        part += sound[: len(part)]
    return samples


def rises(curve):
    """Times at which a curve jumps to 1, in seconds."""
    return np.flatnonzero((curve[1:] >= 0.999) & (curve[:-1] < 0.99)) / 100 + 0.01


def test_beats_are_kicks():
    values = follow(drums())
    beats = rises(values["beat"])
    expected = np.arange(1, 19) * 60 / BPM
    errors = [np.abs(beats - when).min() for when in expected]
    assert max(errors) < 0.06
    assert len(beats) <= 22  # hats are not beats


def test_onsets_include_hats():
    values = follow(drums())
    onsets = rises(values["onset"])
    hats = np.arange(2, 16) * 60 / BPM + 30 / BPM
    found = sum(np.abs(onsets - when).min() < 0.06 for when in hats)
    assert found >= 0.8 * len(hats)


def test_values_fall_smoothly():
    values = follow(drums())
    for name in VARIABLES:
        assert values[name].min() >= 0
        assert values[name].max() <= 1
        assert np.diff(values[name]).min() > -0.12  # in 10 ms


def test_bands():
    time = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    for frequency, band in ((80, "bass"), (800, "mid"), (6000, "high")):
        values = follow(0.5 * np.sin(2 * np.pi * frequency * time))
        others = [name for name in ("bass", "mid", "high") if name != band]
        assert values[band][100:].min() > 0.8
        assert values["rms"][100:].min() > 0.8
        assert all(values[name][150:].mean() < 0.5 for name in others)


def test_silence_is_zero():
    values = follow(np.zeros(SAMPLE_RATE))
    assert all(not values[name].any() for name in VARIABLES)


def test_no_look_ahead():
    """What comes later does not change a value."""
    samples = drums(4)
    changed = samples.copy()
    changed[2 * SAMPLE_RATE :] = 0.9
    one, other = follow(samples), follow(changed)
    for name in VARIABLES:
        assert np.array_equal(one[name][:199], other[name][:199])


@pytest.mark.parametrize("size", [100, 512, 4000])
def test_the_size_of_blocks_does_not_matter(size):
    samples = np.repeat(drums(2)[None], 2, 0).astype(np.float32)
    one, other = AudioFollower(), AudioFollower()
    one.feed(samples)
    for start in range(0, samples.shape[1], size):
        other.feed(samples[:, start : start + size])
    assert one.values() == pytest.approx(other.values(), abs=1e-6)
