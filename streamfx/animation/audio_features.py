"""Audio features: loudness of three frequency bands, pitch, onsets, beats and section boundaries.

Audio is processed in blocks, so memory holds only a few numbers per hundredth of a second.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import chain, pairwise
from threading import Timer
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from streamfx.resources import library_cache

Array: TypeAlias = NDArray[np.float64]
Samples: TypeAlias = NDArray[np.float32]

log = logging.getLogger("streamfx")

SAMPLE_RATE = 22050  # Hz
HOP = 256  # samples
FEATURE_RATE = SAMPLE_RATE / HOP  # values per second of all curves
BANDS = {"bass": (0.0, 200.0), "mid": (200.0, 2500.0), "high": (2500.0, SAMPLE_RATE / 2)}  # Hz
MIN_PITCH, MAX_PITCH = 65.4, 2093.0  # Hz, C2 and C7: 0 and 1 on the pitch curve

_PATIENCE = 4.0  # seconds after which loading librosa's compiled functions is explained
_WINDOW, _YIN_SIZE = 1024, 2048  # samples
_MEL_BANDS = 40
_SILENCE = 0.05  # share of the peak loudness below which there is no pitch
_MIN_ONSET = 1e-3  # onset strength below this is rounding noise
_MIN_BEATS = 4  # fewer onsets or beats than this are not a pulse
_BEAT_TOLERANCE = 0.06  # seconds between a beat and its onset
_LOW_BANDS = 6  # mel bands, up to about 550 Hz
_BROADBAND_WEIGHT = 0.5  # of onsets at any frequency, relative to low ones, in beat tracking
_CONTEXT, _MIN_SECTION = 10.0, 5.0  # seconds compared on each side of a boundary; shortest section
_MIN_NOVELTY = 0.5  # of a section boundary: relative excess of distances across it over those on each side
_MIN_DISTANCE = 0.05  # smaller distances are treated as this
_GAMMA = 1000.0  # compression of quiet sounds in onset detection: log(1 + gamma power / peak power)


@dataclass(frozen=True, slots=True)
class Features:
    """Curves at FEATURE_RATE, each [N] except mel [_MEL_BANDS, N] and pitch [ceil(N / 2)]."""

    mel: Array  # power in each mel band
    rms: Array
    peak: Array  # largest absolute sample, for drawing the waveform
    pitch: Array  # Hz, at half the rate


class _Windows:
    """Cuts a stream of blocks into complete windows centered on every `hop`-th sample."""

    def __init__(self, size: int, hop: int) -> None:
        self.size, self.hop = size, hop
        self._buffer = np.zeros(size // 2, np.float32)

    def push(self, block: Samples | None) -> Samples | None:
        """Samples covering the windows that are now complete, or None. A block of None ends the stream."""
        buffer = np.concatenate([self._buffer, np.zeros(self.size // 2, np.float32) if block is None else block])
        count = 1 + (len(buffer) - self.size) // self.hop if len(buffer) >= self.size else 0
        self._buffer = buffer[count * self.hop :]
        return buffer[: (count - 1) * self.hop + self.size] if count else None


@cache
def load_librosa() -> Any:
    """Import librosa with its compiled functions, one process at a time. The first time, they are compiled.

    numba's cache does not allow for several writers: a process that compiles a function while another one stores it may
    store an index that names the wrong code, and whoever loads that crashes.
    """
    package = find_spec("librosa")
    assert package is not None
    assert package.origin is not None
    if not os.access(os.path.dirname(package.origin), os.W_OK):  # numba fails if it can write nowhere
        os.environ.setdefault("NUMBA_CACHE_DIR", library_cache("numba"))
    notice = Timer(_PATIENCE, log.info, ["preparing the audio analysis; only the first time takes up to a minute"])
    notice.daemon = True
    notice.start()
    try:
        with open(package.origin) as lock:
            with suppress(OSError):  # not all network file systems have locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            return _compiled_librosa()
    finally:
        notice.cancel()
        notice.join()  # so that a process that forks has one thread


def _compiled_librosa() -> Any:
    import librosa

    clicks = np.random.default_rng(0).normal(0, 0.01, 4 * SAMPLE_RATE).astype(np.float32)
    clicks[:: SAMPLE_RATE // 2] = 1
    features = _extract(librosa, [clicks])
    find_beats(features, find_onsets(features)[0])
    return librosa


def extract_features(blocks: Iterable[Samples]) -> Features:
    """Features of mono audio, given as blocks of samples at SAMPLE_RATE."""
    return _extract(load_librosa(), blocks)


def _extract(librosa: Any, blocks: Iterable[Samples]) -> Features:
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_WINDOW, n_mels=_MEL_BANDS, fmin=20.0)
    short, long = _Windows(_WINDOW, HOP), _Windows(_YIN_SIZE, 2 * HOP)
    mels, levels, peaks, pitches = [], [], [], []
    for block in chain(blocks, [None]):
        if (windows := short.push(block)) is not None:
            spectrum = np.abs(librosa.stft(windows, n_fft=_WINDOW, hop_length=HOP, center=False)) ** 2
            mels.append(filters @ spectrum)
            frames = librosa.util.frame(windows, frame_length=_WINDOW, hop_length=HOP)
            levels.append(np.sqrt((frames**2).mean(axis=0)))
            peaks.append(np.abs(frames[_WINDOW // 2 - HOP // 2 : _WINDOW // 2 + HOP // 2]).max(axis=0))
        if (windows := long.push(block)) is not None:
            pitches.append(_pitches(librosa, windows))
    return Features(*(np.concatenate(part, axis=-1).astype(np.float64) for part in (mels, levels, peaks, pitches)))


def _pitches(librosa: Any, windows: Samples) -> Array:
    """Pitch in Hz by YIN (de Cheveigne and Kawahara 2002)."""
    pitches: Array = librosa.yin(
        windows,
        fmin=MIN_PITCH,
        fmax=MAX_PITCH,
        sr=SAMPLE_RATE,
        frame_length=_YIN_SIZE,
        hop_length=2 * HOP,
        center=False,
    )
    return pitches


def loudness(features: Features) -> dict[str, Array]:
    """Loudness of each band and of the whole signal ("rms"), scaled from its 5th to its 98th percentile to 0..1."""
    from librosa import mel_frequencies

    centers = mel_frequencies(_MEL_BANDS + 2, fmin=20.0, fmax=SAMPLE_RATE / 2)[1:-1]
    curves = {}
    for name, (low, high) in BANDS.items():
        curves[name] = np.sqrt(features.mel[(centers >= low) & (centers < high)].sum(axis=0))
    curves["rms"] = features.rms
    floor = 0.01 * max(float(curve.max()) for curve in curves.values())
    return {name: _normalized(curve, floor) for name, curve in curves.items()}


def _normalized(curve: Array, floor: float) -> Array:
    low, high = np.percentile(curve, (5, 98))
    if high <= floor:
        return np.zeros_like(curve)
    if high - low < 0.1 * high:  # a steady tone has no range to stretch
        low = 0.0
    normalized: Array = np.clip((curve - low) / (high - low), 0, 1)
    return normalized


def pitch_curve(features: Features) -> Array:
    """Pitch on a log scale, 0..1 over five octaves, median-filtered; silence holds the last pitch."""
    height = np.clip(np.log2(features.pitch / MIN_PITCH) / np.log2(MAX_PITCH / MIN_PITCH), 0, 1)
    height = np.median(sliding_window_view(np.pad(height, 4, mode="edge"), 9), axis=-1)
    height = np.repeat(height, 2)[: len(features.rms)]
    height = np.pad(height, (0, len(features.rms) - len(height)), mode="edge")
    audible = features.rms > _SILENCE * max(float(features.rms.max()), 1e-9)
    last = np.maximum.accumulate(np.where(audible, np.arange(len(audible)), -1))
    curve: Array = np.where(last >= 0, height[last], 0.0)
    return curve


def _onset_strength(level: Array) -> Array:
    from librosa import onset

    if not level.size or not level.any():
        return np.zeros(level.shape[-1])
    strength: Array = onset.onset_strength(S=level, sr=SAMPLE_RATE, hop_length=HOP, lag=2, center=False)
    return np.nan_to_num(strength)


def find_onsets(features: Features) -> tuple[Array, Array]:
    """Onset times in seconds, and their strengths, 0..1."""
    from librosa import util

    strength = _onset_strength(_log_mel(features))
    if strength.max(initial=0) < _MIN_ONSET:
        return np.zeros(0), np.zeros(0)
    strength = strength / strength.max()
    peaks = util.peak_pick(strength, pre_max=3, post_max=3, pre_avg=9, post_avg=9, delta=0.07, wait=3)
    return peaks / FEATURE_RATE, np.clip(strength[peaks] / np.percentile(strength[peaks], 90), 0, 1)


def _log_mel(features: Features) -> Array:
    """Compressed mel power, scaled by the peak of the whole track so that faint noise stays flat."""
    return np.log1p(_GAMMA * features.mel / max(float(features.mel.max()), 1e-12))


def find_beats(features: Features, onsets: Array) -> Array:
    """Beat times in seconds by dynamic programming (Ellis 2007), snapped to nearby onsets; empty without a pulse.

    Low frequencies weigh most; otherwise off-beat clicks would be taken for beats.
    """
    from librosa import beat

    level = _log_mel(features)
    broadband, low = _onset_strength(level), _onset_strength(level[:_LOW_BANDS])
    if len(onsets) < _MIN_BEATS:
        return np.zeros(0)
    pulse = broadband / max(float(broadband.std()), 1e-9) * _BROADBAND_WEIGHT + low / max(float(low.std()), 1e-9)
    _, frames = beat.beat_track(onset_envelope=pulse, sr=SAMPLE_RATE, hop_length=HOP, trim=False)
    beats = frames / FEATURE_RATE
    if len(beats) < _MIN_BEATS:
        return np.zeros(0)
    nearest = onsets[np.abs(beats[:, None] - onsets).argmin(axis=1)]
    beats = np.where(np.abs(nearest - beats) < _BEAT_TOLERANCE, nearest, beats)
    beats = beats[np.diff(beats, prepend=-1.0) > _BEAT_TOLERANCE]
    return _fit_ends(beats, onsets)


def _fit_ends(beats: Array, onsets: Array) -> Array:
    """Drop beats before the first and after the last onset on a beat; add beats at either end that have an onset."""
    period = float(np.median(np.diff(beats)))
    on_onset = np.flatnonzero(np.abs(beats[:, None] - onsets).min(axis=1) < _BEAT_TOLERANCE)
    if len(on_onset) < _MIN_BEATS:
        return np.zeros(0)
    fitted = beats[on_onset[0] : on_onset[-1] + 1].tolist()
    for end, step in ((0, -period), (-1, period)):
        while np.abs(distance := onsets - (fitted[end] + step)).min() < _BEAT_TOLERANCE:
            fitted.insert(0 if end == 0 else len(fitted), float(onsets[np.abs(distance).argmin()]))
    return np.array(fitted)


def find_sections(features: Features, beats: Array) -> Array:
    """Start times of the sections in seconds; the first is 0.

    A boundary is where the seconds before and after differ more from each other than among themselves: Foote's novelty
    (2000) as a ratio of distances, which needs no tuning to how varied the music is. Candidates are the beats, or every
    half second without beats.
    """
    edges = _cell_edges(beats, len(features.rms) / FEATURE_RATE)
    steps = np.clip(np.round(edges * FEATURE_RATE).astype(int), 0, len(features.rms))
    level = _log_mel(features)
    cells = np.array([level[:, a:b].mean(axis=1) for a, b in pairwise(steps)])
    period = float(np.median(np.diff(edges))) if len(edges) > 1 else 1.0
    context, least = max(4, round(_CONTEXT / period)), max(4, round(_MIN_SECTION / period))
    score = np.zeros(len(cells))
    for at in range(least, len(cells) - least + 1):
        score[at] = _novelty(cells[max(0, at - context) : at], cells[at : at + context])
    candidates = np.flatnonzero(score > _MIN_NOVELTY)
    starts = [at for at in candidates if score[at] == score[max(0, at - least) : at + least + 1].max()]
    return np.array([0.0, *edges[starts]])


def _cell_edges(beats: Array, length: float) -> Array:
    """Times of the beats, extended to the ends of the audio, or every half second without beats."""
    if len(beats) < _MIN_BEATS:
        return np.arange(0.0, length, 0.5)
    period = float(np.median(np.diff(beats)))
    before = np.arange(beats[0] - period, 0, -period)[::-1]
    return np.concatenate([before, beats, np.arange(beats[-1] + period, length, period)])


def _novelty(before: Array, after: Array) -> float:
    """Mean distance between cells of the two groups, relative to that within them, minus 1."""

    def distances(one: Array, other: Array) -> Array:
        pairs: Array = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=-1))
        return pairs

    within = [float(distances(cells, cells).sum()) / (len(cells) * (len(cells) - 1)) for cells in (before, after)]
    across = float(distances(before, after).mean())
    return across / max(sum(within) / 2, _MIN_DISTANCE) - 1
