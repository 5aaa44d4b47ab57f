"""Level, onsets and beats of live audio, from the past alone: the variables of schedules."""

from __future__ import annotations

import math
from itertools import pairwise
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from streamfx.media.live.receiver import SAMPLE_RATE

VARIABLES = ("beat", "onset", "bass", "mid", "high", "rms")
BANDS = {"bass": (20.0, 200.0), "mid": (200.0, 2500.0), "high": (2500.0, 12000.0)}  # Hz
HOP, WINDOW = 512, 1024  # samples: a value every 11 ms, from the last 21 ms
RELEASE = 0.2  # seconds in which a value falls by a factor e
_STEP = HOP / SAMPLE_RATE  # seconds
_FALL = math.exp(-_STEP / RELEASE)
_PEAK_FALL = math.exp(-_STEP / 20)  # the loudness that counts as 1 is forgotten over 20 seconds
_QUIET = 1e-3  # of full scale; below, everything is 0
_MEMORY = 130  # onset strengths kept, 1.4 seconds
_THRESHOLD = 2.2, 0.02  # an onset exceeds the mean of the memory by this factor, and this much
_APART = 0.12, 0.24  # seconds between two onsets, and between two beats, at least
_BEAT_SHARE = 0.5  # of the strongest recent onset in the bass, from which one counts as a beat


class AudioFollower:
    """Follows audio block by block; `values` are 0..1 and fall off smoothly. Thread-safe.

    An onset is a rise of energy, summed over bands, that stands out from the last second (spectral flux, Dixon 2006).
    A beat is an onset in the bass; in audio without bass, any onset. Nothing waits for later audio.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._values = dict.fromkeys(VARIABLES, 0.0)
        self._rest: NDArray[np.float32] = np.zeros(WINDOW, np.float32)  # samples not yet followed by a hop
        self._window = np.hanning(WINDOW).astype(np.float32)
        frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
        self._bins = {name: (frequencies >= low) & (frequencies < high) for name, (low, high) in BANDS.items()}
        edges = np.geomspace(30, 12000, 25)
        self._fine = [(frequencies >= low) & (frequencies < high) for low, high in pairwise(edges)]
        self._fine = [bins for bins in self._fine if bins.any()]
        self._peaks = dict.fromkeys((*BANDS, "rms"), _QUIET)
        self._last: NDArray[np.float64] | None = None
        self._flux: dict[str, list[float]] = {"all": [], "bass": []}
        self._since = {"onset": math.inf, "beat": math.inf}  # seconds
        self._strongest = 0.0  # recent onset in the bass

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take the next block [channels, N] at SAMPLE_RATE."""
        rest = np.concatenate([self._rest, samples.mean(axis=0)])
        position = 0
        while position + WINDOW + HOP <= len(rest):
            position += HOP
            self._step(rest[position : position + WINDOW])
        self._rest = rest[position:]

    def values(self) -> dict[str, float]:
        """The current value of each of VARIABLES."""
        with self._lock:
            return dict(self._values)

    def _step(self, window: NDArray[np.float32]) -> None:
        power = np.abs(np.fft.rfft(window * self._window)) ** 2 / WINDOW
        levels = {name: float(np.sqrt(power[bins].sum())) for name, bins in self._bins.items()}
        levels["rms"] = float(np.sqrt(np.square(window, dtype=np.float64).mean()))
        new = {name: self._normalized(name, level) for name, level in levels.items()}
        new |= self._onsets(np.log1p(1000 * np.array([power[bins].sum() for bins in self._fine])))
        with self._lock:
            for name, value in new.items():
                self._values[name] = max(value, self._values[name] * _FALL)

    def _normalized(self, name: str, level: float) -> float:
        peak = self._peaks[name] = max(level, self._peaks[name] * _PEAK_FALL, _QUIET)
        return 0.0 if level <= _QUIET else level / peak

    def _onsets(self, bands: NDArray[np.float64]) -> dict[str, float]:
        rise = np.zeros_like(bands) if self._last is None else np.maximum(bands - self._last, 0)
        self._last = bands
        low = max(1, len(bands) // 4)
        strengths = {"all": float(rise.mean()), "bass": float(rise[:low].mean())}
        stands_out = {name: self._stands_out(name, strength) for name, strength in strengths.items()}
        self._since = {name: since + _STEP for name, since in self._since.items()}
        self._strongest = max(self._strongest * _PEAK_FALL, strengths["bass"] if stands_out["bass"] else 0.0)
        new = {"onset": 0.0, "beat": 0.0}
        if stands_out["all"] and self._since["onset"] > _APART[0]:
            new["onset"], self._since["onset"] = 1.0, 0.0
        in_bass = stands_out["bass"] and strengths["bass"] > _BEAT_SHARE * self._strongest
        no_bass = new["onset"] > 0 and self._peaks["bass"] < 0.1 * self._peaks["rms"]
        if (in_bass or no_bass) and self._since["beat"] > _APART[1]:
            new["beat"], self._since["beat"] = 1.0, 0.0
        return new

    def _stands_out(self, name: str, strength: float) -> bool:
        memory = self._flux[name]
        factor, least = _THRESHOLD
        stands_out = strength > factor * (sum(memory) / len(memory) if memory else 0.0) + least
        memory.append(strength)
        del memory[:-_MEMORY]
        return stands_out
