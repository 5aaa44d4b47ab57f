"""Synthetic music whose beats, onsets and sections are known."""

import wave
from dataclasses import dataclass

import numpy as np

RATE = 22050


@dataclass
class SyntheticAudio:
    """Samples, and the times of the beats, onsets and sections in them, in seconds."""

    samples: np.ndarray
    beats: np.ndarray
    onsets: np.ndarray
    sections: tuple


def kick(seconds=0.25):
    t = np.arange(int(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * (50 * t + 90 * 0.03 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.08)


def click(seconds=0.03, seed=0):
    t = np.arange(int(seconds * RATE)) / RATE
    return np.random.default_rng(seed).standard_normal(len(t)) * np.exp(-t / 0.008)


def pad(chord, seconds, bright=0.0):
    """A soft chord that fades in over half a second; `bright` adds overtones."""
    t = np.arange(int(seconds * RATE)) / RATE
    parts = [
        np.sin(2 * np.pi * note * k * t) / k * (1 if k == 1 else bright) for note in chord for k in (1, 2, 3, 4, 5)
    ]
    swell = np.clip(np.minimum(t, seconds - t) / 0.5, 0, 1)
    return sum(parts) / len(chord) * swell * (1 + 0.2 * np.sin(2 * np.pi * 0.3 * t))


def synthesize(bpm, seconds=16.0, hats=True, noise=0.01, start=0.4, parts=1, seed=0):
    """Kicks on the beats, clicks between them, chords that change every two bars, and noise.

    In the second of two `parts` the clicks are three times as frequent, and the chords are higher and brighter.
    """
    rng = np.random.default_rng(seed)
    mix = noise * rng.standard_normal(int(seconds * RATE))
    beat = 60 / bpm
    beats = np.arange(start, seconds - 0.3, beat)
    half = beats[0] + 8 * beat * round((seconds / 2 - beats[0]) / (8 * beat)) if parts == 2 else seconds
    onsets = list(beats)

    def add(samples, at, gain):
        first = round(at * RATE)
        samples = samples[: len(mix) - first]
        mix[first : first + len(samples)] += gain * samples

    for at in beats:
        add(kick(), at, 0.7)
        steps = [0.5] if at < half - 1e-6 else [0.25, 0.5, 0.75]
        for step in steps if hats else []:
            if at + step * beat < seconds - 0.2:
                add(click(seed=int(at * 100)), at + step * beat, 0.25)
                onsets.append(at + step * beat)
    low, high = (110.0, 165.0, 220.0), (311.1, 415.3, 523.3)
    for number, at in enumerate(np.arange(beats[0], seconds, 8 * beat)):
        late = at >= half - 1e-6
        shift = 2 ** (number % 3 * 2 / 12)
        chord = [note * shift for note in (high if late else low)]
        add(pad(chord, min(8 * beat, seconds - at), 1.0 if late else 0.0), at, 0.2 if late else 0.12)
    return SyntheticAudio(
        mix / max(1.0, np.abs(mix).max()), beats, np.sort(onsets), (0.0, half) if parts == 2 else (0.0,)
    )


def write(path, samples, rate=RATE):
    """Write samples to a 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def match_rates(detected, true, within=0.04):
    """(precision, recall): shares of `detected` and of `true` times with a partner at most `within` seconds away."""
    unmatched, hits = list(detected), 0
    for at in true:
        near = min(unmatched, key=lambda time: abs(time - at), default=None)
        if near is not None and abs(near - at) <= within:
            unmatched.remove(near)
            hits += 1
    return hits / max(1, len(detected)), hits / max(1, len(true))
