"""Counters, the status line and the JSON of a live run."""

import json

import pytest

from streamfx.live.stats import Stats


def test_snapshot():
    now = [0.0]
    stats = Stats(lambda: now[0])
    now[0] = 1.0
    stats.state = "live"
    for number in range(125):
        stats.count(received=1, dropped=number % 5 == 0)
        now[0] += 0.04
        stats.frame_painted(0.01)
        stats.frame_written(0.1 if number % 10 else 0.4)
    stats.frame_written(None)  # repeated while the source is away
    stats.size, stats.level = (360, 640), "fast 0.25"
    snapshot = stats.snapshot(target_connected=False, target_dropped=3)
    assert snapshot.fps == pytest.approx(25, rel=0.05)
    assert (snapshot.latency, snapshot.latency_p95) == (0.1, 0.4)
    assert (snapshot.received, snapshot.dropped, snapshot.painted, snapshot.written) == (125, 25, 125, 126)
    assert "640x360 fast 0.25" in snapshot.line()
    assert "target lost" in snapshot.line()
    assert "\n" not in snapshot.line()
    assert json.loads(json.dumps(snapshot.json()))["dropped"] == 25


def test_old_latencies_are_forgotten():
    now = [0.0]
    stats = Stats(lambda: now[0])
    stats.frame_painted(0.01)
    stats.frame_written(5.0)
    now[0] = 60.0
    stats.frame_written(0.1)
    assert stats.snapshot().latency_p95 == 0.1
