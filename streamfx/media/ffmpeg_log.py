"""FFmpeg's log messages: collected for error texts, and kept off stderr."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import av.logging

_log_lock = Lock()
_SILENT = -8  # AV_LOG_QUIET
_SETTLE_TIME = 0.01  # seconds for log calls already running in other threads to return
_silenced: int | None = None  # PyAV's log level that `_silence` left
logging.getLogger("libav").addHandler(logging.NullHandler())  # otherwise late messages would reach stderr


@contextmanager
def ffmpeg_messages(level: int = av.logging.ERROR) -> Iterator[list[tuple[int, str, str]]]:
    """Collect FFmpeg's log messages of this thread as (level, component, text); nothing reaches stderr."""
    with _log_lock:
        before, repeated = av.logging.get_level(), av.logging.get_skip_repeated()
        silent = before is None or before == _silenced
        av.logging.set_skip_repeated(False)
        av.logging.set_level(level)
        try:
            # the outer capture discards messages of other threads
            with av.logging.Capture(local=False), av.logging.Capture() as messages:
                yield messages
        finally:
            if silent:
                _silence(level)
            else:
                av.logging.set_level(before)
            av.logging.set_skip_repeated(repeated)


def _silence(level: int) -> None:
    """Mute FFmpeg through its own logger: PyAV's log callback is not safe while other threads log."""
    global _silenced
    _silenced = level
    av.logging.set_libav_level(_SILENT)
    av.logging.restore_default_callback()


def mute_ffmpeg() -> None:
    """Mute FFmpeg before freeing a decoder. Freeing joins its threads; one that logs needs the GIL: a deadlock."""
    with _log_lock:
        if _silenced is not None:
            _silence(_silenced)
    time.sleep(_SETTLE_TIME)
