"""Control by keys in the terminal."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from streamfx.errors import StreamfxError
from streamfx.live.controls import PRESET, Controls

STEP = 0.05  # of a control's range, for each key
HELP = "1-9 preset   up/down strength   left/right detail   [ ] stroke   q quit"
_STEPS = {  # key -> control and direction
    "\x1b[A": ("strength", 1),
    "\x1b[B": ("strength", -1),
    "\x1b[C": ("detail", 1),
    "\x1b[D": ("detail", -1),
    "]": ("stroke", 1),
    "[": ("stroke", -1),
}
_POLL = 0.2  # seconds


class Keys:
    """Applies the keys pressed in a terminal to `controls` in a thread, until `close`.

    `on_change` gets a text such as "strength 0.40"; `on_quit` is called for q.
    """

    def __init__(
        self, terminal: int, controls: Controls, on_change: Callable[[str], None], on_quit: Callable[[], None]
    ) -> None:
        """`terminal` is the file descriptor of a terminal, in the mode of `raw_terminal`."""
        self._terminal, self._controls = terminal, controls
        self._on_change, self._on_quit = on_change, on_quit
        self._stop = Event()
        self._thread = Thread(target=self._run, name="keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([self._terminal], [], [], _POLL)
            if not ready:
                continue
            try:
                data = os.read(self._terminal, 64)
            except OSError:
                return
            if not data:
                return
            for key in _split(data.decode(errors="ignore")):
                self._press(key)

    def _press(self, key: str) -> None:
        if key == "q":
            self._on_quit()
        elif key in _STEPS:
            self._step(*_STEPS[key])
        elif key.isdigit() and key != "0" and int(key) <= len(self._controls.presets):
            self._change(PRESET, self._controls.presets[int(key) - 1])

    def _step(self, name: str, direction: int) -> None:
        control = self._controls.controls.get(name)
        if control is None:
            self._on_change(f"this chain has no {name}")
            return
        value = self._controls.values()[name]
        assert isinstance(value, int | float)
        self._change(name, round(control.at(control.share(value) + direction * STEP), 6))

    def _change(self, name: str, value: float | str) -> None:
        try:
            self._controls.change({name: value})
        except StreamfxError as error:
            self._on_change(str(error))
        else:
            self._on_change(f"{name} {value if isinstance(value, str) else f'{value:.2f}'}")


def _split(text: str) -> Iterator[str]:
    """The keys in what a terminal sent: characters, and the sequences of the arrow keys."""
    while text:
        length = 3 if text.startswith("\x1b[") else 1
        yield text[:length]
        text = text[length:]


@contextmanager
def raw_terminal() -> Iterator[int | None]:
    """Let stdin deliver each key at once and unechoed; yields its descriptor, or None if it is not a terminal."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        yield None
        return
    if not sys.stdin.isatty():
        yield None
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)  # Ctrl-C still interrupts
        yield terminal
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
