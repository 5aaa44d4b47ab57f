"""Counters of a live run: the status line and the JSON lines."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from threading import Lock

_WINDOW = 10.0  # seconds over which rates and latencies are taken


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a live run at one moment."""

    time: float  # seconds since the start
    state: str  # "starting", "live", "holding", "ended"
    fps: float  # frames written per second
    latency: float  # seconds from the arrival of a frame to its packet, median
    latency_p95: float
    received: int  # frames
    painted: int
    dropped: int  # frames that were never painted because a newer one arrived
    written: int
    width: int  # of the working resolution, or of the output without a style
    height: int
    level: str
    preset: str
    av_offset: float  # seconds by which audio is late
    paint: float  # seconds per frame, median
    source_connections: int
    target_connected: bool
    target_dropped: int  # packets

    def json(self) -> dict[str, object]:
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}

    def line(self) -> str:
        """One line for the terminal."""
        size = f"{self.width}x{self.height}"
        parts = [
            f"{self.state:8}",
            f"{self.fps:5.1f} fps",
            f"{1000 * self.latency:4.0f} ms (p95 {1000 * self.latency_p95:.0f})",
            f"dropped {self.dropped}",
            f"{size} {self.level}".strip(),
            f"A/V {1000 * self.av_offset:+.0f} ms",
            "" if self.target_connected else "target lost",
        ]
        return "  ".join(part for part in parts if part)


class Stats:
    """Counters that the threads of a run update; `snapshot` reads them. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock, self._start = clock, Lock(), clock()
        self.state = "starting"
        self.received = self.painted = self.dropped = self.written = self.source_connections = 0
        self.size = (0, 0)  # height, width
        self.level = self.preset = ""
        self.av_offset = 0.0
        self.first_painted: float | None = None  # seconds since the start
        self._latencies: deque[tuple[float, float]] = deque(maxlen=2000)  # time, latency
        self._paint: deque[float] = deque(maxlen=100)

    def count(self, **added: int) -> None:
        """Add to counters by name."""
        with self._lock:
            for name, number in added.items():
                setattr(self, name, getattr(self, name) + number)

    def frame_painted(self, seconds: float) -> None:
        with self._lock:
            self.painted += 1
            self._paint.append(seconds)
            if self.first_painted is None:
                self.first_painted = self._clock() - self._start

    def frame_written(self, latency: float | None) -> None:
        """Count an output frame; `latency` in seconds, None for a repeated one."""
        with self._lock:
            self.written += 1
            if latency is not None:
                self._latencies.append((self._clock(), latency))

    def snapshot(self, *, target_connected: bool = True, target_dropped: int = 0) -> Snapshot:
        with self._lock:
            now = self._clock()
            recent = sorted(latency for when, latency in self._latencies if now - when < _WINDOW)
            span = min(_WINDOW, max(now - self._start - (self.first_painted or 0.0), 0.1))
            paint = sorted(self._paint)
            return Snapshot(
                time=now - self._start,
                state=self.state,
                fps=len(recent) / span,
                latency=_quantile(recent, 0.5),
                latency_p95=_quantile(recent, 0.95),
                received=self.received,
                painted=self.painted,
                dropped=self.dropped,
                written=self.written,
                height=self.size[0],
                width=self.size[1],
                level=self.level,
                preset=self.preset,
                av_offset=self.av_offset,
                paint=_quantile(paint, 0.5),
                source_connections=self.source_connections,
                target_connected=target_connected,
                target_dropped=target_dropped,
            )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
