"""Choose the working resolution and the network so that a live run keeps its frame rate."""

from __future__ import annotations

from dataclasses import dataclass

from streamfx.settings import Quality

SHARES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.125, 0.09, 0.06)  # of 1280x720, in pixels
START = 0.25  # share to begin with: fast enough on most machines
_FINE_SHARES = tuple(share for share in SHARES if share >= 0.25)  # below, the fast network takes over
_LOAD = 0.9  # of the time between frames, above which painting is too slow
_HEADROOM = 0.65  # of it, which the next larger step must be expected to need at most
_DOWN_AFTER, _UP_AFTER = 0.8, 6.0  # seconds for which a condition must hold
_SETTLE = 2.0  # seconds after a change in which nothing is decided
_FAILED_UP = 60.0  # seconds for which a step that proved too slow is not tried again
_LONGEST = 3.0  # frame durations, to which a measurement is limited
_SMOOTHING = 0.15  # share of a new measurement in the average


@dataclass(frozen=True, slots=True)
class Level:
    """A network and a working resolution."""

    quality: Quality
    working: float  # pixels of the working resolution, as a share of 1280x720

    def __str__(self) -> str:
        return f"{self.quality} {self.working:g}"


def levels_for(quality: Quality, largest: float) -> list[Level]:
    """The levels from the best to the fastest, for a requested quality and working resolutions up to `largest`."""
    fine = [Level("fine", share) for share in _FINE_SHARES if share <= largest] if quality == "fine" else []
    fast = [Level("fast", share) for share in SHARES if share <= largest and (not fine or share < _FINE_SHARES[-1])]
    return [*fine, *fast] or [Level(quality, largest)]


class Adaptation:
    """Decides when to change the level, from the time that each frame takes; with hysteresis.

    Goes down soon after painting becomes too slow, and up only if the next level is expected to fit for some seconds.
    """

    def __init__(self, levels: list[Level], period: float) -> None:
        """`period` is the number of seconds between frames."""
        self.period = period
        self._levels = levels
        start = next((i for i, level in enumerate(levels) if level.working <= START), len(levels) - 1)
        self._index = start
        self._cost: float | None = None  # seconds per frame, averaged
        self._since: float | None = None  # when the current condition began
        self._direction = 0
        self._quiet_until = 0.0
        self._failed: dict[int, float] = {}  # index -> time until which it is not tried again

    @property
    def level(self) -> Level:
        return self._levels[self._index]

    def measured(self, seconds: float, now: float) -> Level | None:
        """Take the time that a frame took; returns the level to change to, or None."""
        if now < self._quiet_until:
            return None
        seconds = min(seconds, _LONGEST * self.period)  # one very slow frame says little
        self._cost = seconds if self._cost is None else self._cost + _SMOOTHING * (seconds - self._cost)
        direction = self._wanted(now)
        if direction == 0 or direction != self._direction:
            self._direction, self._since = direction, now
            return None
        assert self._since is not None
        if now - self._since < (_DOWN_AFTER if direction > 0 else _UP_AFTER):
            return None
        if direction > 0:
            self._failed[self._index] = now + _FAILED_UP
        self._index += direction
        self.settle(now)
        return self.level

    def settle(self, now: float) -> None:
        """Ignore the next measurements: something else has changed."""
        self._cost, self._direction, self._since = None, 0, None
        self._quiet_until = now + _SETTLE

    def _wanted(self, now: float) -> int:
        """1 for the next faster level, -1 for the next better one, 0 for none."""
        assert self._cost is not None
        if self._cost > _LOAD * self.period:
            return 1 if self._index + 1 < len(self._levels) else 0
        better = self._index - 1
        if better < 0 or now < self._failed.get(better, 0.0):
            return 0
        return -1 if self._cost * self._growth(better) < _HEADROOM * self.period else 0

    def _growth(self, better: int) -> float:
        """How many times longer a frame may take at the better level."""
        one, other = self._levels[better], self.level
        return one.working / other.working * (1.0 if one.quality == other.quality else 2.0)
