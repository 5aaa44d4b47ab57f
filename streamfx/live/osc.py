"""Control by OSC messages: `/streamfx/strength 0.4`, `/streamfx/preset munch`."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from threading import Thread

from streamfx.errors import StreamfxError
from streamfx.live.controls import Controls
from streamfx.live.web import check_host

log = logging.getLogger("streamfx")

PREFIX = "streamfx"


class OscServer:
    """Listens for OSC messages on UDP in a thread, until `close`.

    With a `token`, addresses begin with it: `/TOKEN/streamfx/strength`. Invalid messages are logged and change nothing.
    """

    def __init__(
        self,
        address: tuple[str, int],
        controls: Controls,
        *,
        token: str | None = None,
        on_change: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`on_change` gets a text such as "strength 0.40". Raises StreamfxError."""
        check_host(address[0], token)
        try:
            from pythonosc.dispatcher import Dispatcher
            from pythonosc.osc_server import BlockingOSCUDPServer
        except ImportError as error:
            raise StreamfxError("OSC needs python-osc; install it with: pip install 'streamfx[live]'") from error
        self._controls, self._token, self._on_change = controls, token, on_change
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self._take)
        try:
            self._server = BlockingOSCUDPServer(address, dispatcher)
        except OSError as error:
            raise StreamfxError(f"cannot listen on {address[0]}:{address[1]}: {error.strerror}") from error
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, args=(0.2,), name="osc", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, address: str, *arguments: object) -> None:
        parts = address.strip("/").split("/")
        if self._token:
            if not hmac.compare_digest(parts[0].encode(), self._token.encode()):
                log.warning("OSC: a message without the token was ignored")
                return
            parts = parts[1:]
        if len(parts) != 2 or parts[0] != PREFIX:
            log.warning("OSC: '%s' was ignored; send /%s/NAME, such as /%s/strength 0.4", address[:80], PREFIX, PREFIX)
            return
        if len(arguments) != 1:
            log.warning("OSC: '%s' takes one value, not %d", address[:80], len(arguments))
            return
        try:
            self._controls.change({parts[1]: arguments[0]})
        except StreamfxError as error:
            log.warning("OSC: %s", error)
        else:
            self._on_change(f"{parts[1]} {arguments[0]}")
