"""The number of threads for codecs and networks in this process.

The limit is process-wide, as torch's and OpenCV's: one process has one share of the machine.
"""

from __future__ import annotations

import os

_limit: int | None = None


def limit_threads(count: int) -> None:
    """Use at most `count` threads for each codec and each network that is opened from now on."""
    global _limit
    _limit = count


def codec_threads() -> int:
    """FFmpeg's option for the number of threads of a codec; 0 lets FFmpeg choose."""
    return _limit or 0


def available_threads() -> int:
    """Cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _limit or cores)
