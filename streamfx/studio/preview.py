"""A thread that answers only the newest request of each page, and works in the background when there is none."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import TypeAlias

log = logging.getLogger("streamfx")

Work: TypeAlias = "Callable[[IsStale], object]"
IsStale: TypeAlias = Callable[[], bool]  # whether a newer request makes this one useless


class PreviewWorker:
    """Runs work on one thread: the newest request of each key first, then background work in order.

    Work gets a function that tells whether it is stale; it should look there between its stages and return early.
    Errors of work are logged; work that can fail in expected ways handles that itself.
    """

    def __init__(self) -> None:
        self._requests: OrderedDict[str, Work] = OrderedDict()
        self._background: deque[tuple[str, Work]] = deque()
        self._idle_key: str | None = None  # of the running background work; None after it was dropped
        self._condition = Condition()
        self._closed = False
        self._busy = False
        self._thread = Thread(target=self._loop, name="preview", daemon=True)
        self._thread.start()

    def submit(self, key: str, work: Work) -> None:
        """Replace the waiting request of `key`, and make the running one stale."""
        with self._condition:
            self._requests.pop(key, None)
            self._requests[key] = work
            self._condition.notify_all()

    def submit_background(self, key: str, work: Work) -> None:
        """Replace the work of `key` for idle moments. It gets stale when there is a request, and runs again later."""
        with self._condition:
            self.drop_background(key)
            self._background.append((key, work))
            self._condition.notify_all()

    def drop_background(self, key: str) -> None:
        """Forget the background work of `key`; if it is running, it is stale."""
        with self._condition:
            self._background = deque(item for item in self._background if item[0] != key)
            if self._idle_key == key:
                self._idle_key = None

    def drop_request(self, key: str) -> None:
        """Forget the waiting request of `key`."""
        with self._condition:
            self._requests.pop(key, None)

    def wait_idle(self, seconds: float) -> bool:
        """Wait until nothing is waiting or running; False if that takes longer."""
        with self._condition:
            return self._condition.wait_for(
                lambda: not (self._requests or self._background or self._busy), timeout=seconds
            )

    def close(self, seconds: float = 5.0) -> bool:
        """Stop after the running work; False if that takes longer than `seconds`."""
        with self._condition:
            self._closed = True
            self._requests.clear()
            self._background.clear()
            self._condition.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except Exception as error:  # one failed preview must not end all
                log.exception("the preview failed: %r", error)

    def _next(self) -> Callable[[], object] | None:
        """The next work, bound to its staleness; None when closed."""
        with self._condition:
            self._busy = False
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._closed or self._requests or self._background)
            if self._closed:
                return None
            self._busy = True
            if self._requests:
                key, work = self._requests.popitem(last=False)
                return lambda: work(lambda: self._closed or key in self._requests)
            name, idle = self._background.popleft()
            self._idle_key = name
            return lambda: self._run_idle(name, idle)

    def _run_idle(self, key: str, work: Work) -> None:
        """Run background work; put it back if a request came in between."""
        interrupted = False

        def is_stale() -> bool:
            nonlocal interrupted
            interrupted = interrupted or self._closed or bool(self._requests)
            return interrupted or self._idle_key is None

        work(is_stale)
        with self._condition:
            if interrupted and self._idle_key is not None and not self._closed:
                self._background.appendleft((key, work))
            self._idle_key = None
