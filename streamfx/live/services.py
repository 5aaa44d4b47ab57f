"""The interfaces through which a live run is watched and controlled: web, OSC, MIDI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_config_dir

from streamfx.errors import StreamfxError
from streamfx.live.controls import Controls
from streamfx.live.preview import Preview
from streamfx.live.session import LiveSession
from streamfx.live.web import check_host

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Interfaces:
    """Which interfaces to open; ports are on `host`, and another one than loopback needs a `token`."""

    host: str = HOST
    token: str | None = None
    http: int | None = None  # port
    osc: int | None = None  # port
    midi: str | None = None  # name of an input, or tcp://HOST:PORT
    midi_map: Path | None = None  # None: in the user's configuration folder
    learn: tuple[str, ...] = ()  # controls to assign to the next knobs that move

    def check(self, controls: Controls) -> None:
        """Raise StreamfxError for interfaces that cannot be opened as described."""
        check_host(self.host, self.token)
        if self.token is not None and "/" in self.token:
            raise StreamfxError("--token must not contain '/', which separates the parts of OSC addresses")
        if self.learn and self.midi is None:
            raise StreamfxError("--midi-learn needs a MIDI input; give --midi NAME as well")
        for name in self.learn:
            controls.control(name)


def midi_map_file() -> Path:
    """The user's map of MIDI knobs; it may not exist."""
    return Path(user_config_dir("streamfx", appauthor=False)) / "midi.toml"


@contextmanager
def open_interfaces(
    session: LiveSession, interfaces: Interfaces, on_change: Callable[[str], None] = lambda text: None
) -> Iterator[list[str]]:
    """Open the interfaces of a session that is not started; yields what was opened, one line each.

    An http target opens the web server at its own address. `on_change` gets a text for each change. Raises
    StreamfxError.
    """
    interfaces.check(session.controls)
    opened: list[str] = []
    with ExitStack() as stack:
        target = session.options.target
        addresses = [(interfaces.host, interfaces.http)] if interfaces.http is not None else []
        if target.kind == "http":
            addresses.append((target.url or interfaces.host, target.port))
        for host, port in addresses:
            opened.append(_open_web(session, host, port, interfaces.token, stack))
        if interfaces.osc is not None:
            from streamfx.live.osc import OscServer

            address = interfaces.host, interfaces.osc
            osc = OscServer(address, session.controls, token=interfaces.token, on_change=on_change)
            stack.callback(osc.close)
            opened.append(f"OSC on {interfaces.host}:{osc.port}")
        if interfaces.midi is not None:
            from streamfx.live.midi import MidiControl, open_port

            map_file = interfaces.midi_map or midi_map_file()
            port_ = open_port(interfaces.midi)
            midi = MidiControl(port_, session.controls, map_file, learn=interfaces.learn, on_change=on_change)
            stack.callback(midi.close)
            opened.append(f"MIDI '{port_.name}', map '{map_file}'")
        yield opened


def _open_web(session: LiveSession, host: str, port: int, token: str | None, stack: ExitStack) -> str:
    from streamfx.live.web import WebServer

    preview = Preview()
    session.add_picture_target(preview)
    target = session.options.target
    folder = Path(target.url).parent if target.kind == "hls" else None
    server = WebServer(
        (host, port), session.controls, session.snapshot, preview=preview, hls_folder=folder, token=token
    )
    stack.callback(server.close)
    name = f"[{host}]" if ":" in host else host
    query = "?token=..." if token else ""
    return f"http://{name}:{server.port}/{query}" + (f" and http://{name}:{server.port}/hls/{query}" if folder else "")
