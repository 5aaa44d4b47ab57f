"""Starts the studio's server and opens its page."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import webbrowser
from contextlib import closing, suppress
from pathlib import Path
from threading import Timer

from streamfx.errors import StreamfxError
from streamfx.studio.render_command import Read
from streamfx.studio.workspace import Workspace

log = logging.getLogger("streamfx")

DEFAULT_PORT = 8420
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MIN_TOKEN = 16  # characters


def serve(
    folder: Path,
    output: Path | None,
    *,
    host: str,
    port: int | None,
    token: str | None,
    browser: bool,
    read: Read,
) -> None:
    """Serve the page until an interrupt; one before that raises KeyboardInterrupt. `read` parses command lines.

    Without a `port`, the default one is taken, or any free one. Raises StreamfxError.
    """
    if token is not None and (len(token) < _MIN_TOKEN or not token.isascii() or not token.isalnum()):
        raise StreamfxError(f"a token has at least {_MIN_TOKEN} letters and digits")
    token = token or secrets.token_hex(16)
    with closing(_listen(host, port)) as listener:
        workspace = Workspace(folder, output, read)
        os.chdir(workspace.library.folder)  # names in chains are relative to it, as in the commands that it shows
        try:
            _run(workspace, listener, host, token, browser)
        finally:
            stopped = workspace.close()
        print("streamfx studio: stopped; renders continue when it starts again", flush=True)
        if not stopped:
            os._exit(0)  # a thread in native code would abort the process at its end


def _run(workspace: Workspace, listener: socket.socket, host: str, token: str, browser: bool) -> None:
    import uvicorn

    from streamfx.studio.app import build_app
    from streamfx.studio.guard import Guard
    from streamfx.studio.routes import MAX_UPLOAD, UPLOAD

    port = listener.getsockname()[1]
    app = Guard(build_app(workspace), token, host, port, upload_path=UPLOAD, max_upload=MAX_UPLOAD)
    config = uvicorn.Config(app, log_level="error", access_log=False, ws_max_size=4 << 20, timeout_graceful_shutdown=1)
    address = f"http://{_shown(host)}:{port}/?token={token}"
    with suppress(KeyboardInterrupt):
        if host not in _LOOPBACK:
            log.warning("anyone who knows the address below can use the studio, and the network carries it unencrypted")
        print(f"streamfx studio of {workspace.library.folder}\n  {address}", flush=True)
        workspace.start()
        if browser:
            Timer(0.5, webbrowser.open, [address]).start()
        uvicorn.Server(config).run(sockets=[listener])


def _shown(host: str) -> str:
    """The address for the link: this computer, if the server listens on all addresses."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int | None) -> socket.socket:
    """A bound socket. Raises StreamfxError if the address cannot be used."""
    for number in (DEFAULT_PORT, 0) if port is None else (port,):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if port is None and number:
                continue
            reason = error.strerror or str(error)
            raise StreamfxError(f"cannot listen on {host}:{number}: {reason}; give another --port") from error
        return listener
    raise AssertionError("port 0 is always tried")
