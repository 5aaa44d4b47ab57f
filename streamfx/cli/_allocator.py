"""How the C library keeps memory that is freed: what serves a film with tensors, and one without."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
SMALL, LARGE, LARGEST = 64 * 2**10, 32 * 2**20, 2**30  # bytes; 32 MiB is the most that a mapping threshold can be


def return_memory() -> None:
    """Give every freed picture back at once: what is kept would grow with the length of a film."""
    _tell((M_MMAP_THRESHOLD, SMALL))


def keep_memory() -> None:
    """Keep what is freed: tensors of one size come again and again, and new memory has to be cleared first.

    At 1280x720 that halves what the conversions of a frame cost.
    """
    _tell((M_MMAP_THRESHOLD, LARGE), (M_TRIM_THRESHOLD, LARGEST))


def _tell(*settings: tuple[int, int]) -> None:
    with suppress(OSError, AttributeError):  # another C library
        for setting in settings:
            ctypes.CDLL(None).mallopt(*setting)
