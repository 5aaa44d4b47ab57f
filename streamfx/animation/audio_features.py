"""What there is to hear in a song: loudness of three registers, pitch, onsets, beats, and where its parts begin.

The song is heard block by block, so that only a few numbers for each hundredth of a second are kept of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Samples: TypeAlias = NDArray[np.float32]

RATE = 22050  # samples a second
HOP = 256  # samples
GRID = RATE / HOP  # steps a second of all curves
REGISTERS = {"bass": (0.0, 200.0), "mid": (200.0, 2500.0), "high": (2500.0, RATE / 2)}  # Hz
LOWEST, HIGHEST = 65.4, 2093.0  # Hz of the pitch, C2 to C7: 0 and 1

_WINDOW, _LONG = 1024, 2048  # samples
_BANDS = 40
_QUIET = 0.05  # share of the loudest: what is below has no pitch
_FAINT = 1e-3  # of the onsets' curve: what rises less is rounding
_FEWEST = 4  # onsets or beats that make a pulse
_NEAR = 0.06  # seconds between a beat and the onset that it stands for
_LOW_BANDS = 6  # up to some 550 Hz
_SHARE_OF_ALL = 0.5  # of what sets in anywhere, beside what sets in low, in the pulse
_REACH, _SHORTEST = 10.0, 5.0  # seconds that are compared on both sides, and that a part lasts at least
_NOVEL = 0.5  # how much farther apart than alike parts are
_SAME = 0.05  # a distance that is none
_GAMMA = 1000.0  # how much quiet things count in onsets: log(1 + gamma power / loudest power)


@dataclass(frozen=True, slots=True)
class Heard:
    """Curves of GRID steps a second, all [N]; bands [_BANDS, N]."""

    mel: Array  # power in bands
    rms: Array
    peak: Array  # the highest sample: how the song is drawn
    pitch: Array  # Hz, one for two steps


class _Windows:
    """Cuts a stream of blocks into whole windows, centred on every `hop`-th sample."""

    def __init__(self, size: int, hop: int) -> None:
        self.size, self.hop = size, hop
        self._held = np.zeros(size // 2, np.float32)

    def push(self, block: Samples | None) -> Samples | None:
        """The samples of the windows that are complete now; None where there are none. A block of None is the end."""
        held = np.concatenate([self._held, np.zeros(self.size // 2, np.float32) if block is None else block])
        count = 1 + (len(held) - self.size) // self.hop if len(held) >= self.size else 0
        self._held = held[count * self.hop :]
        return held[: (count - 1) * self.hop + self.size] if count else None


def hear(blocks: Iterable[Samples]) -> Heard:
    """The curves of a song of RATE samples a second."""
    import librosa

    filters = librosa.filters.mel(sr=RATE, n_fft=_WINDOW, n_mels=_BANDS, fmin=20.0)
    short, long = _Windows(_WINDOW, HOP), _Windows(_LONG, 2 * HOP)
    mels, levels, peaks, pitches = [], [], [], []
    for block in chain(blocks, [None]):
        if (windows := short.push(block)) is not None:
            spectrum = np.abs(librosa.stft(windows, n_fft=_WINDOW, hop_length=HOP, center=False)) ** 2
            mels.append(filters @ spectrum)
            cut = librosa.util.frame(windows, frame_length=_WINDOW, hop_length=HOP)
            levels.append(np.sqrt((cut**2).mean(axis=0)))
            peaks.append(np.abs(cut[_WINDOW // 2 - HOP // 2 : _WINDOW // 2 + HOP // 2]).max(axis=0))
        if (windows := long.push(block)) is not None:
            pitches.append(_pitches(librosa, windows))
    return Heard(*(np.concatenate(each, axis=-1).astype(np.float64) for each in (mels, levels, peaks, pitches)))


def _pitches(librosa: Any, windows: Samples) -> Array:
    """By YIN (de Cheveigne and Kawahara 2002), in Hz."""
    found: Array = librosa.yin(
        windows, fmin=LOWEST, fmax=HIGHEST, sr=RATE, frame_length=_LONG, hop_length=2 * HOP, center=False
    )
    return found


def loudness(heard: Heard) -> dict[str, Array]:
    """The registers' and the whole song's loudness, 0..1, from what is usually quietest to what is loudest in it."""
    from librosa import mel_frequencies

    centres = mel_frequencies(_BANDS + 2, fmin=20.0, fmax=RATE / 2)[1:-1]
    made = {}
    for name, (low, high) in REGISTERS.items():
        made[name] = np.sqrt(heard.mel[(centres >= low) & (centres < high)].sum(axis=0))
    made["rms"] = heard.rms
    faintest = 0.01 * max(float(curve.max()) for curve in made.values())
    return {name: _spread(curve, faintest) for name, curve in made.items()}


def _spread(curve: Array, faintest: float) -> Array:
    low, high = np.percentile(curve, (5, 98))
    if high <= faintest:
        return np.zeros_like(curve)
    if high - low < 0.1 * high:  # a steady tone: there is nothing to spread
        low = 0.0
    spread: Array = np.clip((curve - low) / (high - low), 0, 1)
    return spread


def pitch_curve(heard: Heard) -> Array:
    """Its height, 0..1 over five octaves, without jumps of a moment; where nothing sounds, the last one stays."""
    height = np.clip(np.log2(heard.pitch / LOWEST) / np.log2(HIGHEST / LOWEST), 0, 1)
    height = np.repeat(np.median(sliding_window_view(np.pad(height, 4, mode="edge"), 9), axis=-1), 2)[: len(heard.rms)]
    height = np.pad(height, (0, len(heard.rms) - len(height)), mode="edge")
    sounds = heard.rms > _QUIET * max(float(heard.rms.max()), 1e-9)
    last = np.maximum.accumulate(np.where(sounds, np.arange(len(sounds)), -1))
    held: Array = np.where(last >= 0, height[last], 0.0)
    return held


def _flux(level: Array) -> Array:
    from librosa import onset

    if not level.size or not level.any():
        return np.zeros(level.shape[-1])
    made: Array = onset.onset_strength(S=level, sr=RATE, hop_length=HOP, lag=2, center=False)
    return np.nan_to_num(made)


def find_onsets(heard: Heard) -> tuple[Array, Array]:
    """Seconds at which something sets in, and how strongly: 0..1."""
    from librosa import util

    rise = _flux(_level(heard))
    if rise.max(initial=0) < _FAINT:
        return np.zeros(0), np.zeros(0)
    rise = rise / rise.max()
    peaks = util.peak_pick(rise, pre_max=3, post_max=3, pre_avg=9, post_avg=9, delta=0.07, wait=3)
    return peaks / GRID, np.clip(rise[peaks] / np.percentile(rise[peaks], 90), 0, 1)


def _level(heard: Heard) -> Array:
    """How loud each band seems; one measure for the whole song, so that noise far below stays flat."""
    return np.log1p(_GAMMA * heard.mel / max(float(heard.mel.max()), 1e-12))


def find_beats(heard: Heard, onsets: Array) -> Array:
    """Seconds of the beats, by dynamic programming (Ellis 2007), on the onsets near them; none where there is no pulse.

    What sets in low counts most, else clicks between the beats would be taken for them.
    """
    from librosa import beat

    level = _level(heard)
    rise, low = _flux(level), _flux(level[:_LOW_BANDS])
    if len(onsets) < _FEWEST:
        return np.zeros(0)
    pulse = rise / max(float(rise.std()), 1e-9) * _SHARE_OF_ALL + low / max(float(low.std()), 1e-9)
    _, frames = beat.beat_track(onset_envelope=pulse, sr=RATE, hop_length=HOP, trim=False)
    beats = frames / GRID
    if len(beats) < _FEWEST:
        return np.zeros(0)
    nearest = onsets[np.abs(beats[:, None] - onsets).argmin(axis=1)]
    beats = np.where(np.abs(nearest - beats) < _NEAR, nearest, beats)
    beats = beats[np.diff(beats, prepend=-1.0) > _NEAR]
    return _with_ends(beats, onsets)


def _with_ends(beats: Array, onsets: Array) -> Array:
    """From the first to the last onset that falls on a beat: without what is guessed into silence, or left out."""
    pace = float(np.median(np.diff(beats)))
    sounding = np.flatnonzero(np.abs(beats[:, None] - onsets).min(axis=1) < _NEAR)
    if len(sounding) < _FEWEST:
        return np.zeros(0)
    made = beats[sounding[0] : sounding[-1] + 1].tolist()
    for end, step in ((0, -pace), (-1, pace)):
        while np.abs(near := onsets - (made[end] + step)).min() < _NEAR:
            made.insert(0 if end == 0 else len(made), float(onsets[np.abs(near).argmin()]))
    return np.array(made)


def find_sections(heard: Heard, beats: Array) -> Array:
    """Seconds at which the parts of the song begin, the first at 0.

    A part begins where the seconds before and those behind differ more from each other than among themselves: Foote's
    novelty (2000), as a ratio of distances, so that it needs no tuning to how lively a song is. It is looked for at the
    beats, if there are any.
    """
    length = len(heard.rms) / GRID
    edges = _edges(beats, length)
    steps = np.clip(np.round(edges * GRID).astype(int), 0, len(heard.rms))
    level = _level(heard)
    cells = np.array([level[:, a:b].mean(axis=1) for a, b in pairwise(steps)])
    pace = float(np.median(np.diff(edges))) if len(edges) > 1 else 1.0
    reach, least = max(4, round(_REACH / pace)), max(4, round(_SHORTEST / pace))
    score = np.zeros(len(cells))
    for at in range(least, len(cells) - least + 1):
        score[at] = _novelty(cells[max(0, at - reach) : at], cells[at : at + reach])
    found = [
        at for at in np.flatnonzero(score > _NOVEL) if score[at] == score[max(0, at - least) : at + least + 1].max()
    ]
    return np.array([0.0, *edges[found]])


def _edges(beats: Array, length: float) -> Array:
    """Where cells begin and end: from beat to beat, or every half second."""
    if len(beats) < _FEWEST:
        return np.arange(0.0, length, 0.5)
    pace = float(np.median(np.diff(beats)))
    before = np.arange(beats[0] - pace, 0, -pace)[::-1]
    return np.concatenate([before, beats, np.arange(beats[-1] + pace, length, pace)])


def _novelty(before: Array, behind: Array) -> float:
    """How much farther cells of two stretches are from each other than from those of their own."""

    def apart(one: Array, other: Array) -> Array:
        distances: Array = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=-1))
        return distances

    within = [float(apart(each, each).sum()) / (len(each) * (len(each) - 1)) for each in (before, behind)]
    across = float(apart(before, behind).mean())
    return across / max(sum(within) / 2, _SAME) - 1
