"""Audio analysis as variables for schedules, cached per audio file and sampled once per video frame."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamfx.animation.context import Context
from streamfx.errors import StreamfxError
from streamfx.resources import cache_folder

Array: TypeAlias = NDArray[np.float64]

VERSION = 1  # of the analysis; raise it whenever results change, to invalidate the cache
ATTACK, RELEASE = 0.03, 0.2  # seconds: time constants of the rise to a peak and the fall after it

_log = logging.getLogger("streamfx")

_MAX_CACHED = 200  # analyses in the cache, a few hundred kilobytes each; the oldest are deleted
_LEVELS = ("bass", "mid", "high", "rms")
_ARRAYS = ("beats", "onsets", "strengths", "sections", "pitch", "wave", *_LEVELS)


@dataclass(frozen=True, slots=True, eq=False)
class AudioAnalysis:
    """Features of an audio track: times in seconds, and curves 0..1 at `feature_rate` values per second."""

    duration: float  # seconds
    feature_rate: float
    beats: Array  # ascending; empty without a pulse
    onsets: Array
    strengths: Array  # of the onsets, 0..1
    sections: Array  # start times; the first is 0
    bass: Array
    mid: Array
    high: Array
    rms: Array
    pitch: Array
    wave: Array  # largest absolute sample, for drawing the waveform

    @property
    def bpm(self) -> float:
        """Average beats per minute; 0 without beats."""
        return 60 * (len(self.beats) - 1) / float(self.beats[-1] - self.beats[0]) if len(self.beats) > 1 else 0.0

    def variables(self, fps: float, count: int, attack: float = ATTACK, release: float = RELEASE) -> dict[str, Array]:
        """Variable -> its value in each of `count` frames, 0..1, except `section` (counted from 0) and `bpm`.

        A peak has its full value in the frame it falls in. Values rise to it and fall from it exponentially, with time
        constants `attack` and `release` in seconds, so nothing flickers or lags; they are 0 after the audio ends.
        """
        times = np.arange(count) / fps
        tracks: dict[str, Array] = {name: self._frame_peaks(getattr(self, name), fps, count) for name in _LEVELS}
        tracks["beat"] = _impulses(self.beats, np.ones(len(self.beats)), fps, count)
        tracks["onset"] = _impulses(self.onsets, self.strengths, fps, count)
        for name, track in tracks.items():
            tracks[name] = _envelope(track, attack * fps, release * fps)
        tracks["pitch"] = self._frame_peaks(self.pitch, fps, count)
        tracks["section"] = np.searchsorted(self.sections, times + 0.5 / fps, side="right").astype(np.float64) - 1
        tracks["bpm"] = np.full(count, self.bpm)
        return tracks

    def context(self, fps: float, count: int, seed: int = 0) -> Context:
        """The schedule context of a video of `count` frames with this audio."""
        return Context(count - 1, fps, seed, self.variables(fps, count), self.beats * fps)

    def _frame_peaks(self, curve: Array, fps: float, count: int) -> Array:
        """The maximum of a curve within each frame."""
        steps = np.arange(count + 1) / fps * self.feature_rate + 1e-6  # guards whole numbers against rounding
        starts = np.minimum(steps, len(curve)).astype(np.int64)
        padded = np.append(curve, 0.0)
        peaks = np.maximum.reduceat(padded, starts)[:-1]  # a frame that contains no step takes the one before it
        return np.asarray(peaks, np.float64)


def _impulses(times: Array, strengths: Array, fps: float, count: int) -> Array:
    """The strength of each event in the frame nearest to its time, 0 elsewhere."""
    track = np.zeros(count)
    frames = np.rint(times * fps).astype(np.int64)
    inside = frames < count
    np.maximum.at(track, frames[inside], strengths[inside])
    return track


def _envelope(track: Array, attack: float, release: float) -> Array:
    """The smallest curve above `track` that rises by at most a factor e per `attack` frames and falls per `release`."""
    with np.errstate(divide="ignore"):
        logarithm = np.log(track)
    fall = np.arange(len(track)) / max(release, 1e-3)
    rise = np.arange(len(track)) / max(attack, 1e-3)
    logarithm = np.maximum.accumulate(logarithm + fall) - fall
    logarithm = (np.maximum.accumulate((logarithm - rise)[::-1]))[::-1] + rise
    envelope: Array = np.minimum(np.exp(logarithm), 1)
    return envelope


def analyze_audio(path: str | Path) -> AudioAnalysis:
    """The analysis of an audio file, or of a video's audio: from the cache, or computed now, which takes seconds.

    That of a URL is not cached. Raises StreamfxError if the file is missing, has no audio or cannot be decoded.
    """
    if "://" in str(path):
        return _analyze(str(path))
    file = cache_file(path)
    analysis = _load(file)
    if analysis is None:
        analysis = _analyze(str(path))
        _save(analysis, file)
    return analysis


def cache_file(path: str | Path) -> Path:
    """The cache file of an audio file's analysis; its name depends only on the audio file's content."""
    try:
        with open(path, "rb") as file:
            key = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise StreamfxError(f"no such file: '{path}'") from error
    except IsADirectoryError as error:
        raise StreamfxError(f"'{path}' is a folder; give an audio file or a video with audio") from error
    except OSError as error:
        raise StreamfxError(f"cannot read '{path}': {error.strerror or error}") from error
    return cache_folder() / "music" / f"{key[:32]}-{VERSION}.npz"


def _analyze(path: str) -> AudioAnalysis:
    from streamfx.animation import audio_features
    from streamfx.media.input.audio_decoder import read_audio

    features = audio_features.extract_features(read_audio(path, audio_features.SAMPLE_RATE))
    onsets, strengths = audio_features.find_onsets(features)
    beats = audio_features.find_beats(features, onsets)
    arrays = {
        "beats": beats,
        "onsets": onsets,
        "strengths": strengths,
        "sections": audio_features.find_sections(features, beats),
        "pitch": audio_features.pitch_curve(features),
        "wave": np.clip(features.peak, 0, 1),
        **audio_features.loudness(features),
    }
    return _rounded(len(features.rms) / audio_features.FEATURE_RATE, audio_features.FEATURE_RATE, arrays)


def _rounded(duration: float, rate: float, arrays: Mapping[str, Array]) -> AudioAnalysis:
    """An analysis rounded to float32 as in the cache, so that fresh and cached results are equal."""
    return AudioAnalysis(duration, rate, **{key: arrays[key].astype(np.float32).astype(np.float64) for key in _ARRAYS})


def _load(file: Path) -> AudioAnalysis | None:
    """The analysis in a cache file, or None if it is missing, unreadable or damaged."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            return _rounded(float(stored["duration"]), float(stored["grid"]), stored)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _save(analysis: AudioAnalysis, file: Path) -> None:
    """Write the cache file atomically; without a writable cache, do nothing."""
    arrays = {name: getattr(analysis, name).astype(np.float32) for name in _ARRAYS}
    np.savez_compressed(buffer := io.BytesIO(), duration=analysis.duration, grid=analysis.feature_rate, **arrays)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(file)
        for old in sorted(file.parent.glob("*.npz"), key=lambda entry: entry.stat().st_mtime)[:-_MAX_CACHED]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.debug("cannot cache the audio analysis: %s", error)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
