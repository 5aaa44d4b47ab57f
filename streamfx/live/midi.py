"""Control by MIDI: knobs change numbers, program changes choose presets; the map is learned and saved as TOML."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import tomli_w

from streamfx.errors import StreamfxError
from streamfx.live.controls import PRESET, Controls

if TYPE_CHECKING:
    from mido.ports import BaseInput

log = logging.getLogger("streamfx")

HIGHEST = 127  # value of a controller
_POLL = 0.005  # seconds between two looks at the port
_KEY = re.compile(r"(\d{1,2})/(\d{1,3})")  # channel from 1, controller

Knob = tuple[int, int]  # channel from 1, controller number


def load_map(path: Path) -> dict[Knob, str]:
    """Knob -> name of a control, from a TOML file; empty if it does not exist. Raises StreamfxError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig")).get("knobs", {})
        return {_knob(key, path): str(name) for key, name in table.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise StreamfxError(f"cannot read the MIDI map '{path}': {error}") from error


def save_map(path: Path, knobs: dict[Knob, str]) -> None:
    """Write a map for `load_map`. Raises StreamfxError."""
    table = {f"{channel}/{number}": name for (channel, number), name in sorted(knobs.items())}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tomli_w.dumps({"knobs": table}), encoding="utf-8")
    except OSError as error:
        raise StreamfxError(f"cannot write the MIDI map '{path}': {error.strerror}") from error


def _knob(key: str, path: Path) -> Knob:
    match = _KEY.fullmatch(key)
    if match is None or not 1 <= int(match[1]) <= 16 or int(match[2]) > HIGHEST:
        raise StreamfxError(f"the MIDI map '{path}' has a knob '{key}'; write CHANNEL/CONTROLLER, such as \"1/74\"")
    return int(match[1]), int(match[2])


def open_port(name: str) -> BaseInput:
    """The MIDI input whose name contains `name`, or `tcp://HOST:PORT`, a mido port on another machine.

    Raises StreamfxError.
    """
    try:
        import mido
        from mido.sockets import connect
    except ImportError as error:
        raise StreamfxError(
            "MIDI needs mido and python-rtmidi; install them with: pip install 'streamfx[live]'"
        ) from error
    try:
        if match := re.fullmatch(r"tcp://([^:/]+):(\d+)", name):
            return connect(match[1], int(match[2]))
        known: list[str] = mido.get_input_names()
    except Exception as error:  # rtmidi has its own exceptions, such as for a missing sequencer
        raise StreamfxError(f"cannot open MIDI '{name}': {error}") from error
    found = next((port for port in known if name.lower() in port.lower()), None)
    if found is None:
        raise StreamfxError(f"no MIDI input '{name}'; inputs on this machine: {', '.join(known) or 'none'}")
    return mido.open_input(found)


class MidiControl:
    """Applies the messages of a MIDI port to `controls` in a thread, until `close`.

    While `learning` has names of controls, the next new knob that moves is assigned to the first of them.
    """

    def __init__(
        self,
        port: BaseInput,
        controls: Controls,
        map_file: Path,
        *,
        learn: Sequence[str] = (),
        on_change: Callable[[str], None] = lambda text: None,
    ) -> None:
        for name in learn:
            controls.control(name)
        self.knobs = load_map(map_file)
        self.learning = list(learn)
        self._port, self._controls, self._map_file, self._on_change = port, controls, map_file, on_change
        self._learned: set[Knob] = set()
        self._stop = Event()
        self._announce()
        self._thread = Thread(target=self._run, name="midi", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)
        self._port.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for message in self._port.iter_pending():
                    self._take(message)
            except StreamfxError as error:
                log.warning("MIDI: %s", error)
            except (OSError, ValueError) as error:
                log.warning("MIDI: the port was closed: %s", error)
                return
            if getattr(self._port, "closed", False):
                return
            self._stop.wait(_POLL)

    def _take(self, message: Any) -> None:
        if message.type == "program_change":
            presets = self._controls.presets
            if presets:
                self._change(PRESET, presets[message.program % len(presets)])
        elif message.type == "control_change":
            knob = message.channel + 1, message.control
            if self.learning and knob not in self._learned:
                self._learned.add(knob)
                self.knobs = {key: name for key, name in self.knobs.items() if name != self.learning[0]}
                self.knobs[knob] = self.learning.pop(0)
                save_map(self._map_file, self.knobs)
                self._announce()
            name = self.knobs.get(knob)
            if name in self._controls.controls:
                self._change(name, self._controls.control(name).at(message.value / HIGHEST))

    def _change(self, name: str, value: float | str) -> None:
        self._controls.change({name: value})
        self._on_change(f"{name} {value if isinstance(value, str) else f'{value:.2f}'}")

    def _announce(self) -> None:
        if self.learning:
            self._on_change(f"MIDI: move the knob for {self.learning[0]}")
