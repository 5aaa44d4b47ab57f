"""Times of a live run: one continuous timeline over reconnections, pacing of files, and a limit of the frame rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from threading import Lock

JUMP = Fraction(3)  # seconds; a larger step in a source's timestamps starts its timeline again
PAUSE = 2.0  # seconds without data after which a source that goes on is placed anew
_SETTLE = 1.0  # seconds after a restart in which packets with older timestamps may still arrive


class Timeline:
    """Maps the times of a source to output times, which never run backward and go on while the source is away.

    Video and audio share the mapping, so they stay in sync. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._offset: Fraction | None = None  # added to source times; None until the next time arrives
        self._last_source = Fraction(0)
        self._last_output = Fraction(0)
        self._last_wall: float | None = None
        self._restarted = 0.0
        self._arrived: float | None = None  # when the last source time came

    def disconnected(self) -> None:
        """The next time comes from a new connection: place it where the timeline is by then."""
        with self._lock:
            self._offset = None

    def output(self, source: Fraction) -> Fraction | None:
        """The output time of a source time in seconds; None for one that belongs before a restart."""
        with self._lock:
            now = self._clock()
            if self._offset is not None and abs(source - self._last_source) > JUMP:
                if now - self._restarted < _SETTLE:
                    return None
                self._offset = None
            if self._offset is None:
                self._offset = self._now(now) - source
                self._restarted = now
            self._last_source, self._arrived = source, now
            self._advance(source + self._offset, now)
            return source + self._offset

    def held(self) -> Fraction:
        """The output time of a frame that is repeated now, while nothing arrives."""
        with self._lock:
            now = self._clock()
            self._advance(self._now(now), now)
            if self._arrived is None or now - self._arrived > PAUSE:
                self._offset = None
            return self._last_output

    def _now(self, now: float) -> Fraction:
        elapsed = 0.0 if self._last_wall is None else now - self._last_wall
        return self._last_output + Fraction(elapsed).limit_denominator(10**6)

    def _advance(self, output: Fraction, now: float) -> None:
        if self._last_wall is None or output > self._last_output:
            self._last_output, self._last_wall = output, now


class Pacer:
    """Waits until the time of a frame has come, so that a file plays in real time."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._start: tuple[float, Fraction] | None = None

    def wait(self, when: Fraction) -> None:
        """Sleep until `when`, in seconds on the source's clock."""
        now = self._clock()
        if self._start is None:
            self._start = now, when
        ahead = float(when - self._start[1]) - (now - self._start[0])
        if ahead > 0:
            self._sleep(ahead)


class RateLimit:
    """Selects frames so that at most `rate` per second pass, evenly spaced; None passes all."""

    def __init__(self, rate: Fraction | None) -> None:
        self._rate = rate
        self._slot: int | None = None

    def passes(self, when: Fraction) -> bool:
        """Whether the frame at `when`, in seconds, is the first in its slot."""
        if self._rate is None:
            return True
        slot = round(when * self._rate)
        passes = slot != self._slot
        self._slot = slot
        return passes
