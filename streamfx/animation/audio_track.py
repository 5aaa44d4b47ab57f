"""A song as variables for schedules: what was heard in it once, kept in the user's cache, given out frame by frame."""

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
from platformdirs import user_cache_dir

from streamfx.animation.schedule import Context
from streamfx.errors import StreamfxError

Array: TypeAlias = NDArray[np.float64]

VERSION = 1  # of the analysis; to be raised whenever it hears otherwise, so that what is kept is heard anew
ATTACK, RELEASE = 0.03, 0.2  # seconds in which a variable rises to its peak, and falls to a third of it

_log = logging.getLogger("streamfx")

_KEPT = 200  # songs in the cache, of a few hundred kilobytes each; the oldest go first
_LEVELS = ("bass", "mid", "high", "rms")
_ARRAYS = ("beats", "onsets", "strengths", "sections", "pitch", "wave", *_LEVELS)


@dataclass(frozen=True, slots=True, eq=False)
class Music:
    """What was heard: moments in seconds, and curves of `grid` steps a second, each 0..1."""

    duration: float  # seconds
    grid: float
    beats: Array  # rising; empty where there is no pulse
    onsets: Array
    strengths: Array  # of the onsets, 0..1
    sections: Array  # where they begin; the first at 0
    bass: Array
    mid: Array
    high: Array
    rms: Array
    pitch: Array
    wave: Array  # the highest sample: how the song is drawn

    @property
    def bpm(self) -> float:
        """Beats a minute, on average; 0 where there are none."""
        return 60 * (len(self.beats) - 1) / float(self.beats[-1] - self.beats[0]) if len(self.beats) > 1 else 0.0

    def variables(self, fps: float, count: int, attack: float = ATTACK, release: float = RELEASE) -> dict[str, Array]:
        """Name -> its value for each of `count` frames, 0..1, but for `section`, counted from 0, and `bpm`.

        A peak is whole in the frame in which it falls; before it the value rises within `attack` seconds, behind it it
        falls within `release` (to 1/e), so nothing flickers and nothing comes late. Behind the song's end all is 0.
        """
        moments = np.arange(count) / fps
        made: dict[str, Array] = {name: self._frames(getattr(self, name), fps, count) for name in _LEVELS}
        made["beat"] = _struck(self.beats, np.ones(len(self.beats)), fps, count)
        made["onset"] = _struck(self.onsets, self.strengths, fps, count)
        for name, track in made.items():
            made[name] = _envelope(track, attack * fps, release * fps)
        made["pitch"] = self._frames(self.pitch, fps, count)
        made["section"] = np.searchsorted(self.sections, moments + 0.5 / fps, side="right").astype(np.float64) - 1
        made["bpm"] = np.full(count, self.bpm)
        return made

    def context(self, fps: float, count: int, seed: int = 0) -> Context:
        """What schedules of a film of `count` frames may speak of, this being its song."""
        return Context(count - 1, fps, seed, self.variables(fps, count), self.beats * fps)

    def _frames(self, curve: Array, fps: float, count: int) -> Array:
        """The highest value within each frame."""
        steps = np.arange(count + 1) / fps * self.grid + 1e-6  # what is whole but for rounding is whole
        starts = np.minimum(steps, len(curve)).astype(np.int64)
        padded = np.append(curve, 0.0)
        tops = np.maximum.reduceat(padded, starts)[:-1]  # where no step falls into a frame, the last one before it
        return np.asarray(tops, np.float64)


def _struck(moments: Array, strengths: Array, fps: float, count: int) -> Array:
    """The strength in the frame that is nearest to each moment, 0 elsewhere."""
    made = np.zeros(count)
    frames = np.rint(moments * fps).astype(np.int64)
    inside = frames < count
    np.maximum.at(made, frames[inside], strengths[inside])
    return made


def _envelope(track: Array, attack: float, release: float) -> Array:
    """The least curve over `track` that rises and falls no faster than by e in so many frames."""
    with np.errstate(divide="ignore"):
        logarithm = np.log(track)
    fall = np.arange(len(track)) / max(release, 1e-3)
    rise = np.arange(len(track)) / max(attack, 1e-3)
    logarithm = np.maximum.accumulate(logarithm + fall) - fall
    logarithm = (np.maximum.accumulate((logarithm - rise)[::-1]))[::-1] + rise
    envelope: Array = np.minimum(np.exp(logarithm), 1)
    return envelope


def analyse(path: str | Path) -> Music:
    """What is heard in a song, or in a film's sound: out of the cache, or found now, in seconds.

    Raises StreamfxError where there is no such file, no sound in it, or none that can be decoded.
    """
    kept = kept_file(path)
    music = _load(kept)
    if music is None:
        music = _listen(str(path))
        _keep(music, kept)
    return music


def kept_file(path: str | Path) -> Path:
    """Where in the cache the analysis of this song lies: by its content, wherever it is and whatever its name."""
    try:
        with open(path, "rb") as file:
            key = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise StreamfxError(f"no such file: '{path}'") from error
    except IsADirectoryError as error:
        raise StreamfxError(f"'{path}' is a folder; give a song or a film with sound") from error
    except OSError as error:
        raise StreamfxError(f"cannot read '{path}': {error.strerror or error}") from error
    return Path(user_cache_dir("streamfx", appauthor=False)) / "music" / f"{key[:32]}-{VERSION}.npz"


def _listen(path: str) -> Music:
    from streamfx.animation import audio_features
    from streamfx.media.input.audio_decoder import read_sound

    heard = audio_features.hear(read_sound(path, audio_features.RATE))
    onsets, strengths = audio_features.find_onsets(heard)
    beats = audio_features.find_beats(heard, onsets)
    arrays = {
        "beats": beats,
        "onsets": onsets,
        "strengths": strengths,
        "sections": audio_features.find_sections(heard, beats),
        "pitch": audio_features.pitch_curve(heard),
        "wave": np.clip(heard.peak, 0, 1),
        **audio_features.loudness(heard),
    }
    return _music(len(heard.rms) / audio_features.GRID, audio_features.GRID, arrays)


def _music(duration: float, grid: float, arrays: Mapping[str, Array]) -> Music:
    """Rounded as it is kept, so that the first film of a song is the same as the next."""
    return Music(duration, grid, **{name: arrays[name].astype(np.float32).astype(np.float64) for name in _ARRAYS})


def _load(file: Path) -> Music | None:
    """What is kept in `file`, or None where it is missing, unreadable or damaged."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            return _music(float(kept["duration"]), float(kept["grid"]), kept)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _keep(music: Music, file: Path) -> None:
    """Write the analysis, whole or not at all; with no writable cache, go on."""
    arrays = {name: getattr(music, name).astype(np.float32) for name in _ARRAYS}
    np.savez_compressed(written := io.BytesIO(), duration=music.duration, grid=music.grid, **arrays)
    beside = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(written.getvalue())
        beside.replace(file)
        for old in sorted(file.parent.glob("*.npz"), key=lambda entry: entry.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.debug("the song's analysis is not cached: %s", error)
        with suppress(OSError):
            beside.unlink(missing_ok=True)
