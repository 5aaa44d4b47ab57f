"""Calls from the preview thread back to the page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def on_event_loop(callback: Callable[..., object]) -> Callable[..., None]:
    """A function for other threads that calls `callback` on the present event loop; nothing after the loop's end."""
    loop = asyncio.get_running_loop()

    def call(*arguments: Any) -> None:
        with suppress(RuntimeError):  # closed, because the studio is stopping
            loop.call_soon_threadsafe(callback, *arguments)

    return call
