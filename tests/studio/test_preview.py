"""The preview worker: the newest request wins, background work waits."""

from threading import Event

import pytest

from streamfx.studio.preview import PreviewWorker


@pytest.fixture
def worker():
    worker = PreviewWorker()
    yield worker
    worker.close()


def blocking(worker, key="block"):
    """Keep the worker busy until the returned event is set."""
    started, release = Event(), Event()

    def work(is_stale):
        started.set()
        release.wait(10)

    worker.submit(key, work)
    assert started.wait(10)
    return release


def test_the_newest_request_of_each_page_wins(worker):
    done = []
    release = blocking(worker)
    for number in range(5):
        worker.submit("a", lambda is_stale, number=number: done.append(("a", number)))
    worker.submit("b", lambda is_stale: done.append(("b", 0)))
    release.set()
    assert worker.wait_idle(10)
    assert done == [("a", 4), ("b", 0)]


def test_running_work_learns_that_it_is_stale(worker):
    started, seen, release = Event(), [], Event()

    def work(is_stale):
        seen.append(is_stale())
        started.set()
        release.wait(10)
        seen.append(is_stale())

    worker.submit("a", work)
    assert started.wait(10)
    worker.submit("other", lambda is_stale: None)
    worker.submit("a", lambda is_stale: None)
    release.set()
    assert worker.wait_idle(10)
    assert seen == [False, True]


def test_background_work_gives_way_and_goes_on(worker):
    done, started, release = [], Event(), Event()

    def background(is_stale):
        for item in range(3):
            if item in done:
                continue
            if is_stale():
                return
            done.append(item)
            if item == 0:
                started.set()
                release.wait(10)

    worker.submit_background("gallery", background)
    assert started.wait(10)
    worker.submit("a", lambda is_stale: done.append("request"))
    release.set()
    assert worker.wait_idle(10)
    assert done == [0, "request", 1, 2]


def test_background_work_is_dropped(worker):
    done = []
    release = blocking(worker)
    worker.submit_background("a", lambda is_stale: done.append("a"))
    worker.submit_background("b", lambda is_stale: done.append("b"))
    worker.drop_background("a")
    release.set()
    assert worker.wait_idle(10)
    assert done == ["b"]


def test_running_background_work_that_is_dropped_or_replaced_is_stale(worker):
    done = []
    for replaced in (False, True):
        started, release = Event(), Event()

        def work(is_stale, started=started, release=release):
            started.set()
            release.wait(10)
            done.append(is_stale())

        worker.submit_background("gallery", work)
        assert started.wait(10)
        if replaced:
            worker.submit_background("gallery", lambda is_stale: done.append("new"))
        else:
            worker.drop_background("gallery")
        release.set()
        assert worker.wait_idle(10)
    assert done == [True, True, "new"]


def test_closing_does_not_wait_for_long_work(worker):
    release = blocking(worker)
    assert not worker.close(0.01)
    release.set()
    assert worker.close(60)


def test_a_failure_does_not_end_the_worker(worker, caplog):
    done = []
    worker.submit("a", lambda is_stale: 1 / 0)
    assert worker.wait_idle(10)
    worker.submit("a", lambda is_stale: done.append(1))
    assert worker.wait_idle(10)
    assert done == [1]
    assert "the preview failed" in caplog.text
