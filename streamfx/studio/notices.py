"""Messages of the page: errors stay until they are closed."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from streamfx.errors import StreamfxError


def attempt(action: Callable[[], object]) -> None:
    """Run an action of the page; an error is shown as a message."""
    try:
        action()
    except (StreamfxError, OSError) as error:
        warn(explain(error))


def explain(error: Exception) -> str:
    """An error in one line, as on the command line."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot use '{error.filename}': {error.strerror}"
    return str(error)


def warn(message: str) -> None:
    """Show an error."""
    ui.notify(message, type="negative", position="bottom-right", timeout=15000, close_button="Close", classes="note")


def note(message: str) -> None:
    """Show what has been done, for a moment."""
    ui.notify(message, position="bottom-right", timeout=3000, classes="note")
