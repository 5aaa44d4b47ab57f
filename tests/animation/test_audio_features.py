"""Audio features: onsets and beats within 40 ms, sections within a bar, band loudness and pitch."""

import os
import subprocess
import sys

import numpy as np
import pytest
import synthetic_audio

from streamfx.animation import audio_features
from streamfx.animation.audio_features import (
    FEATURE_RATE,
    SAMPLE_RATE,
    extract_features,
    find_beats,
    find_onsets,
    find_sections,
    loudness,
    pitch_curve,
)

KINDS = [{}, {"noise": 0.03, "start": 0.13}, {"hats": False}, {"parts": 2, "seconds": 24.0}]


def features_of(samples, block=50_000):
    samples = np.asarray(samples, np.float32)
    return extract_features(samples[start : start + block] for start in range(0, len(samples), block))


def tone(frequency, seconds=3.0):
    return 0.4 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "noisy", "kicks", "parts"])
@pytest.mark.parametrize("bpm", [90, 120, 140])
def test_onsets_beats_and_sections_are_found(bpm, kind):
    audio = synthetic_audio.synthesize(bpm, **kind)
    features = features_of(audio.samples)
    onsets, strengths = find_onsets(features)
    assert min(synthetic_audio.match_rates(onsets, audio.onsets)) >= 0.95
    assert strengths.min() > 0
    assert strengths.max() == 1
    beats = find_beats(features, onsets)
    assert min(synthetic_audio.match_rates(beats, audio.beats)) >= 0.95
    assert 60 / np.diff(beats).mean() == pytest.approx(bpm, rel=0.005)
    sections = find_sections(features, beats)
    assert len(sections) == len(audio.sections)
    assert np.abs(sections - audio.sections).max() < 4 * 60 / bpm


def test_block_size_does_not_change_features():
    samples = synthetic_audio.synthesize(120, seconds=5.0).samples
    whole, blocks = features_of(samples, 10**9), features_of(samples, 777)
    for name in ("mel", "rms", "peak", "pitch"):
        np.testing.assert_allclose(getattr(whole, name), getattr(blocks, name), rtol=1e-4, atol=1e-5)
    assert len(whole.rms) == pytest.approx(5 * FEATURE_RATE, abs=1.5)


@pytest.mark.parametrize(("frequency", "band"), [(60, "bass"), (440, "mid"), (6000, "high")])
def test_tones_are_loud_only_in_their_band(frequency, band):
    samples = np.concatenate([np.zeros(SAMPLE_RATE), tone(frequency, 2.0)])
    curves = loudness(features_of(samples))
    for name in ("bass", "mid", "high"):
        assert (curves[name][int(1.5 * FEATURE_RATE) : int(2.5 * FEATURE_RATE)].min() > 0.9) == (name == band)
        assert curves[name][: int(0.9 * FEATURE_RATE)].max() < 0.01
    assert curves["rms"][int(1.5 * FEATURE_RATE)] > 0.9


def test_pitch_is_logarithmic_over_five_octaves():
    samples = np.concatenate([tone(110.0, 1.5), tone(440.0, 1.5), np.zeros(SAMPLE_RATE)])
    curve = pitch_curve(features_of(samples))
    assert len(curve) == len(features_of(samples).rms)
    expected = [np.log2(frequency / 65.4) / 5 for frequency in (110, 440, 440)]
    np.testing.assert_allclose(curve[(np.array([0.7, 2.2, 3.7]) * FEATURE_RATE).astype(int)], expected, atol=0.01)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(3 * SAMPLE_RATE), np.zeros(10), tone(440.0), np.full(SAMPLE_RATE, 0.5), 1e-9 * tone(440.0)],
    ids=["silence", "ten samples", "a tone", "a constant", "too quiet"],
)
def test_audio_without_a_pulse_has_no_beats(samples):
    features = features_of(samples)
    onsets, _ = find_onsets(features)
    beats = find_beats(features, onsets)
    assert len(beats) == 0
    np.testing.assert_array_equal(find_sections(features, beats), [0])
    for curve in (*loudness(features).values(), pitch_curve(features)):
        assert np.isfinite(curve).all()
        assert curve.min() >= 0
        assert curve.max() <= 1


def test_noise_is_one_section():
    noise = 0.1 * np.random.default_rng(0).standard_normal(30 * SAMPLE_RATE)
    np.testing.assert_array_equal(find_sections(features_of(noise), np.zeros(0)), [0])


def test_sections_are_found_without_beats():
    samples = (
        np.concatenate(
            [synthetic_audio.pad((110.0, 165.0), 15.0), synthetic_audio.pad((523.0, 784.0), 15.0, bright=1.0)]
        )
        / 4
    )
    sections = find_sections(features_of(samples), np.zeros(0))
    assert len(sections) == 2
    assert sections[1] == pytest.approx(15, abs=1)


def test_features_are_small():
    features = features_of(synthetic_audio.synthesize(120, seconds=10.0).samples)
    assert sum(getattr(features, name).nbytes for name in ("mel", "rms", "peak", "pitch")) < 10 * 40_000


def test_a_slow_start_is_explained(monkeypatch, caplog):
    caplog.set_level("INFO", "streamfx")
    monkeypatch.setattr(audio_features, "_PATIENCE", 0)
    audio_features.load_librosa.__wrapped__()
    assert [record.getMessage()[:28] for record in caplog.records] == ["preparing the audio analysis"]


def test_processes_that_compile_at_once_do_not_spoil_the_cache(tmp_path):
    script = "from streamfx.animation.audio_features import load_librosa; load_librosa()"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    processes = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    compiled = {path.name: path.read_bytes() for path in tmp_path.rglob("*.nb?")}
    assert len(compiled) > 20
    script = (
        "import numpy as np; from streamfx.animation import audio_features as audio\n"
        "noise = np.random.default_rng(1).normal(0, 0.1, (9, 50_000)).astype(np.float32)\n"
        "features = audio.extract_features(noise)\n"
        "beats = audio.find_beats(features, audio.find_onsets(features)[0])\n"
        "audio.find_sections(features, beats), audio.loudness(features), audio.pitch_curve(features)"
    )
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.nb?")} == compiled  # it had all that it needs
