"""What is in a song is heard in it: onsets and beats to 40 ms, parts to a bar, registers and pitch."""

import numpy as np
import pytest
import songs

from streamfx.animation.audio_features import (
    GRID,
    RATE,
    find_beats,
    find_onsets,
    find_sections,
    hear,
    loudness,
    pitch_curve,
)

KINDS = [{}, {"noise": 0.03, "start": 0.13}, {"hats": False}, {"parts": 2, "seconds": 24.0}]


def heard(samples, block=50_000):
    samples = np.asarray(samples, np.float32)
    return hear(samples[at : at + block] for at in range(0, len(samples), block))


def tone(frequency, seconds=3.0):
    return 0.4 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "noisy", "kicks", "parts"])
@pytest.mark.parametrize("bpm", [90, 120, 140])
def test_onsets_and_beats_and_parts(bpm, kind):
    song = songs.song(bpm, **kind)
    found = heard(song.samples)
    onsets, strengths = find_onsets(found)
    assert min(songs.matched(onsets, song.onsets)) >= 0.95
    assert strengths.min() > 0
    assert strengths.max() == 1
    beats = find_beats(found, onsets)
    assert min(songs.matched(beats, song.beats)) >= 0.95
    assert 60 / np.diff(beats).mean() == pytest.approx(bpm, rel=0.005)
    sections = find_sections(found, beats)
    assert len(sections) == len(song.sections)
    assert np.abs(sections - song.sections).max() < 4 * 60 / bpm


def test_blocks_do_not_matter():
    samples = songs.song(120, seconds=5.0).samples
    whole, parts = heard(samples, 10**9), heard(samples, 777)
    for name in ("mel", "rms", "peak", "pitch"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), rtol=1e-4, atol=1e-5)
    assert len(whole.rms) == pytest.approx(5 * GRID, abs=1.5)


@pytest.mark.parametrize(("frequency", "register"), [(60, "bass"), (440, "mid"), (6000, "high")])
def test_registers_hear_their_own_tones(frequency, register):
    samples = np.concatenate([np.zeros(RATE), tone(frequency, 2.0)])
    found = loudness(heard(samples))
    for name in ("bass", "mid", "high"):
        assert (found[name][int(1.5 * GRID) : int(2.5 * GRID)].min() > 0.9) == (name == register)
        assert found[name][: int(0.9 * GRID)].max() < 0.01
    assert found["rms"][int(1.5 * GRID)] > 0.9


def test_pitch_is_the_height_over_five_octaves():
    samples = np.concatenate([tone(110.0, 1.5), tone(440.0, 1.5), np.zeros(RATE)])
    found = pitch_curve(heard(samples))
    assert len(found) == len(heard(samples).rms)
    expected = [np.log2(frequency / 65.4) / 5 for frequency in (110, 440, 440)]
    np.testing.assert_allclose(found[(np.array([0.7, 2.2, 3.7]) * GRID).astype(int)], expected, atol=0.01)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(3 * RATE), np.zeros(10), tone(440.0), np.full(RATE, 0.5), 1e-9 * tone(440.0)],
    ids=["silence", "ten samples", "a tone", "a constant", "too quiet"],
)
def test_songs_without_a_pulse(samples):
    found = heard(samples)
    onsets, _ = find_onsets(found)
    beats = find_beats(found, onsets)
    assert len(beats) == 0
    np.testing.assert_array_equal(find_sections(found, beats), [0])
    for curve in (*loudness(found).values(), pitch_curve(found)):
        assert np.isfinite(curve).all()
        assert curve.min() >= 0
        assert curve.max() <= 1


def test_noise_alone_is_one_part():
    noise = 0.1 * np.random.default_rng(0).standard_normal(30 * RATE)
    found = heard(noise)
    np.testing.assert_array_equal(find_sections(found, np.zeros(0)), [0])


def test_parts_without_beats_are_found_as_well():
    samples = np.concatenate([songs.pad((110.0, 165.0), 15.0), songs.pad((523.0, 784.0), 15.0, bright=1.0)]) / 4
    sections = find_sections(heard(samples), np.zeros(0))
    assert len(sections) == 2
    assert sections[1] == pytest.approx(15, abs=1)


def test_a_song_is_kept_as_few_numbers():
    found = heard(songs.song(120, seconds=10.0).samples)
    assert sum(getattr(found, name).nbytes for name in ("mel", "rms", "peak", "pitch")) < 10 * 40_000
