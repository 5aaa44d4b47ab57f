"""The number of threads follows the affinity of the process, and a limit."""

import os

import pytest

from streamfx.media import threads
from streamfx.media.input.reader import Reader
from streamfx.media.threads import available_threads, codec_threads, limit_threads


@pytest.fixture
def limit(monkeypatch):
    """limit(count): limit the threads for one test."""
    monkeypatch.setattr(threads, "_limit", None)
    return limit_threads


def test_cores_are_counted(limit):
    assert 1 <= available_threads() <= os.cpu_count()
    assert codec_threads() == 0
    limit(1)
    assert (available_threads(), codec_threads()) == (1, 1)
    limit(1000)
    assert available_threads() <= os.cpu_count()


def test_codecs_use_the_limit(limit, video):
    limit(3)
    with Reader(video) as reader:
        assert reader.input.streams.video[0].codec_context.thread_count == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_threads_follow_the_affinity():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_threads() == 1
    finally:
        os.sched_setaffinity(0, before)
