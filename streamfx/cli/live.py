"""`streamfx live`: process a live stream."""

from __future__ import annotations

import json
import logging
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from streamfx.cli._allocator import keep_memory
from streamfx.cli._console import STDERR
from streamfx.cli._options import EffectSettings, parse_rate, parse_size, settings_command
from streamfx.effects.style import Style
from streamfx.errors import Misuse

if TYPE_CHECKING:
    from streamfx.frame import Effect
    from streamfx.live.options import LiveOptions
    from streamfx.live.services import Interfaces
    from streamfx.live.session import LiveSession

log = logging.getLogger("streamfx")

SKIPPED = ("preset", "mask_start", "method", "iterations", "passes", "quality")
STREAM, CONTROL, RUN = "Stream", "Control", "Run"
_STATUS_EVERY = 0.25  # seconds
_NOTE = 4.0  # seconds for which a change is shown


def _option(panel: str, *names: str, **how: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **how)


@settings_command
def live(
    source: Annotated[
        str,
        typer.Argument(help="camera, camera:1, a device, a URL (rtmp, rtsp, udp, http ...), a file, or - for stdin."),
    ],
    target: Annotated[
        str,
        typer.Argument(help="rtmp://, rtsp://, udp://, rtp://, tcp://, hls:FOLDER, http://:PORT or virtual-camera."),
    ],
    *,
    preset: Annotated[
        str | None,
        typer.Option(help="Name of a preset, a FILE.toml, or a blend: vangogh:0.6,munch:0.4.", show_default="vangogh"),
    ] = None,
    chain: Annotated[str | None, typer.Option(help="Effects and FFmpeg filters instead of a preset.")] = None,
    quality: Annotated[str, typer.Option(help="fast, or fine on fast machines.")] = "fast",
    settings: Annotated[dict[str, Any], EffectSettings(Style, skip=SKIPPED, given_only=True)],
    fps: Annotated[
        str | None, _option(STREAM, metavar="RATE", help="Most frames per second; default: the source's.")
    ] = None,
    size: Annotated[
        str | None, _option(STREAM, metavar="WxH", help="Size of the output; default: the source's.")
    ] = None,
    latency: Annotated[
        float, _option(STREAM, min=0.1, max=10, help="Seconds that a frame may be late; older ones are dropped.")
    ] = 0.5,
    bitrate: Annotated[
        int | None,
        _option(STREAM, metavar="KBIT", min=50, max=100_000, help="kbit/s of the video; default: by quality."),
    ] = None,
    audio: Annotated[bool, _option(STREAM, " /--no-audio", help="Send no audio.", show_default=False)] = True,
    record: Annotated[Path | None, _option(STREAM, metavar="FILE", help="Record the output as well: show.mkv.")] = None,
    yes: Annotated[bool, _option(STREAM, "--yes", "-y", help="Overwrite the recording.")] = False,
    pace: Annotated[
        bool | None, _option(STREAM, "--pace/--no-pace", help="Read in real time; default: files only.")
    ] = None,
    loop: Annotated[bool, _option(STREAM, "--loop", help="Start a file again at its end.")] = False,
    listen: Annotated[
        bool, _option(STREAM, "--listen", help="Wait for a sender at the rtmp:// or tcp:// SOURCE.")
    ] = False,
    slate: Annotated[
        Path | None, _option(STREAM, help="Picture to show while the source is away; default: its last frame.")
    ] = None,
    reconnect: Annotated[
        bool, _option(STREAM, " /--no-reconnect", help="End when the source is lost.", show_default=False)
    ] = True,
    input_format: Annotated[str | None, _option(STREAM, help="FFmpeg demuxer of the source.")] = None,
    adapt: Annotated[
        bool, _option(RUN, " /--no-adapt", help="Keep the working resolution.", show_default=False)
    ] = True,
    http: Annotated[
        int | None, _option(CONTROL, metavar="PORT", min=1, max=65535, help="Open a page with picture and controls.")
    ] = None,
    osc: Annotated[
        int | None, _option(CONTROL, metavar="PORT", min=1, max=65535, help="Take OSC: /streamfx/strength 0.4")
    ] = None,
    midi: Annotated[
        str | None, _option(CONTROL, metavar="NAME", help="MIDI input, or part of its name; or tcp://HOST:PORT.")
    ] = None,
    midi_learn: Annotated[
        str | None, _option(CONTROL, metavar="NAMES", help="Assign the next knobs that move: strength,detail.")
    ] = None,
    midi_map: Annotated[
        Path | None, _option(CONTROL, metavar="FILE.toml", help="Map of the knobs; default: the user's.")
    ] = None,
    host: Annotated[
        str, _option(CONTROL, help="Address of --http and --osc; other machines reach 0.0.0.0, which needs --token.")
    ] = "127.0.0.1",
    token: Annotated[str | None, _option(CONTROL, help="Secret that each request and message must contain.")] = None,
    keys: Annotated[
        bool | None, _option(CONTROL, "--keys/--no-keys", help="Take keys; default: in a terminal.")
    ] = None,
    fade: Annotated[float, _option(CONTROL, min=0, max=60, help="Seconds of a cross-fade between settings.")] = 1.0,
    json_lines: Annotated[
        Path | None, _option(RUN, metavar="FILE", help="Append the status as JSON, a line a second.")
    ] = None,
    device: Annotated[str, _option(RUN, help="auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, _option(RUN, "--quiet", "-q", help="Print errors only.")] = False,
    verbose: Annotated[bool, _option(RUN, "--verbose", "-v", help="Print what runs where.")] = False,
) -> None:
    """Process a live stream: streamfx live rtmp://host/in rtmp://host/out --preset vangogh"""
    from streamfx.live.options import LiveOptions
    from streamfx.live.outputs import check_recording
    from streamfx.live.services import Interfaces
    from streamfx.media.live.address import live_source, live_target

    log.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)
    if record is not None:
        check_recording(record, yes)
    options = LiveOptions(
        live_source(source, input_format=input_format, listen=listen, rate=fps or ""),
        live_target(target),
        _effects(preset, chain, quality, settings),
        record=record,
        pace=pace,
        loop=loop,
        rate=None if fps is None else parse_rate(fps),
        size=None if size is None else parse_size(size),
        latency=latency,
        fade=fade,
        slate=slate,
        bitrate=None if bitrate is None else 1000 * bitrate,
        audio=audio,
        device=device,
        adapt=adapt,
        reconnect=reconnect,
    )
    learn = tuple(name.strip() for name in midi_learn.split(",")) if midi_learn else ()
    interfaces = Interfaces(host, token, http, osc, midi, midi_map, learn)
    keep_memory()
    show = STDERR.is_terminal and not quiet
    _run(options, interfaces, json_lines, _StatusLine(show), keys=show and source != "-" if keys is None else keys)


def _effects(preset: str | None, chain: str | None, quality: str, settings: dict[str, Any]) -> list[Effect]:
    if chain is None:
        return [Style(preset=preset or "vangogh", quality=quality, **settings)]  # type: ignore[arg-type]
    if preset is not None or settings:
        given = "preset" if preset is not None else next(iter(settings))
        raise Misuse(f"give --chain or --{given.replace('_', '-')}, not both; in a chain write style=NAME:strength=0.5")
    from streamfx.chain import build_chain
    from streamfx.live.audio_follower import VARIABLES

    return build_chain(chain, VARIABLES)


class _StatusLine:
    """One line on the terminal, with the last change at its end."""

    def __init__(self, shown: bool) -> None:
        self._shown, self._note, self._until = shown, "", 0.0

    def note(self, text: str) -> None:
        """Show `text` at the end of the line for some seconds."""
        self._note, self._until = text, time.monotonic() + _NOTE

    def show(self, line: str) -> None:
        if self._shown:
            note = f"   {self._note}" if time.monotonic() < self._until else ""
            STDERR.print(f"\r{line}{note}"[: STDERR.width], end="\x1b[K", markup=False, soft_wrap=True)

    def message(self, text: str) -> None:
        if self._shown:
            STDERR.print(f"\r\x1b[Kstreamfx: {text}", markup=False)


def _run(
    options: LiveOptions, interfaces: Interfaces, json_lines: Path | None, status: _StatusLine, *, keys: bool
) -> None:
    from streamfx.live.services import open_interfaces
    from streamfx.live.session import LiveSession

    quit_ = Event()
    session = LiveSession(options)
    with ExitStack() as stack:
        lines = stack.enter_context(json_lines.open("a", encoding="utf-8")) if json_lines else None
        for text in stack.enter_context(open_interfaces(session, interfaces, status.note)):
            status.message(text)
        if keys:
            _open_keys(session, status, quit_, stack)
        session.start()
        try:
            _watch(session, lines, status, quit_)
        except KeyboardInterrupt:
            quit_.set()
        finally:
            if quit_.is_set():
                status.message("stopping; the outputs are being closed")
            session.stop()
            if lines:
                print(json.dumps(session.snapshot().json()), file=lines)
    status.message(session.snapshot().line())
    if session.error is not None:
        raise session.error


def _open_keys(session: LiveSession, status: _StatusLine, quit_: Event, stack: ExitStack) -> None:
    from streamfx.live.keys import HELP, Keys, raw_terminal

    terminal = stack.enter_context(raw_terminal())
    if terminal is not None:
        status.message(f"keys: {HELP}")
        stack.callback(Keys(terminal, session.controls, status.note, quit_.set).close)


def _watch(session: LiveSession, lines: TextIO | None, status: _StatusLine, quit_: Event) -> None:
    """Show the status until the run is over, or `quit_` is set."""
    next_line = time.monotonic() + 1
    while not session.finished.wait(_STATUS_EVERY) and not quit_.is_set():
        snapshot = session.snapshot()
        status.show(snapshot.line())
        if lines and time.monotonic() >= next_line:
            print(json.dumps(snapshot.json()), file=lines, flush=True)
            next_line += 1
