"""A small web server: the live picture, its controls as JSON, the status, and the HLS folder."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from streamfx.errors import StreamfxError
from streamfx.live.controls import Controls
from streamfx.live.preview import Preview
from streamfx.media.live.hls import PAGE, is_hls_file

if TYPE_CHECKING:
    from streamfx.live.stats import Snapshot

log = logging.getLogger("streamfx")

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MAX_BODY = 65536  # bytes of a request
_IDLE = 30.0  # seconds without a request, or of a client that takes nothing
_BOUNDARY = "streamfx"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mp4": "video/mp4",
    ".m4s": "video/mp4",
}


def check_host(host: str, token: str | None) -> None:
    """Raise StreamfxError if a server would be open to other machines without a token."""
    if host not in LOOPBACK and not token:
        raise StreamfxError(f"--host {host} opens the controls to other machines; give a --token as well")


class WebServer:
    """Serves the controls and pictures of a run in threads, until `close`.

    | request | answer |
    |---|---|
    | GET / | a page with the picture, the controls and the status |
    | GET /stream.mjpg, /frame.jpg | the picture |
    | GET /controls, POST /controls | numbers and preset as JSON; an invalid change gets 400 and changes nothing |
    | GET /status | the counters as JSON |
    | GET /hls/ | the page, playlist and segments of an HLS target |

    With a `token`, each request needs it, as `?token=` or in an Authorization header.
    """

    def __init__(
        self,
        address: tuple[str, int],
        controls: Controls,
        snapshot: Callable[[], Snapshot],
        *,
        preview: Preview | None = None,
        hls_folder: Path | None = None,
        token: str | None = None,
    ) -> None:
        check_host(address[0], token)
        self.controls, self.snapshot, self.preview = controls, snapshot, preview
        self.hls_folder, self.token, self.host = hls_folder, token, address[0]
        try:
            self._server = _Server(address, _Handler)
        except OSError as error:
            raise StreamfxError(f"cannot listen on {address[0]}:{address[1]}: {error.strerror}") from error
        self._server.web = self
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, args=(0.2,), name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self.preview:
            self.preview.close()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    web: WebServer

    def handle_error(self, request: Any, client_address: Any) -> None:  # a client went away
        log.debug("web request of %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE

    def do_GET(self) -> None:
        web, path = self.server.web, urlsplit(self.path).path
        if not self._allowed():
            return
        if path == "/":
            self._send_bytes(files("streamfx.live").joinpath("page.html").read_bytes(), _TYPES[".html"])
        elif path == "/status":
            self._send_json(web.snapshot().json())
        elif path == "/controls":
            self._send_json(_description(web.controls))
        elif path in ("/stream.mjpg", "/frame.jpg") and web.preview:
            self._send_pictures(web.preview, single=path == "/frame.jpg")
        elif path.startswith("/hls/") and web.hls_folder:
            self._send_hls(web.hls_folder, path.removeprefix("/hls/") or PAGE)
        else:
            self._send_json({"error": f"no page {path}"}, HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        web = self.server.web
        if not self._allowed():
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MAX_BODY:
            self.close_connection = True
            self._send_json({"error": f"give a body of at most {_MAX_BODY} bytes"}, HTTPStatus.BAD_REQUEST)
            return
        body = self.rfile.read(int(length))
        if urlsplit(self.path).path != "/controls":
            self._send_json({"error": "only /controls takes changes"}, HTTPStatus.NOT_FOUND)
            return
        if self.headers.get_content_type() != "application/json":  # which other sites cannot send without asking
            self._send_json({"error": "send application/json"}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return
        try:
            wanted = json.loads(body)
            if not isinstance(wanted, dict):
                raise StreamfxError('send an object, such as {"strength": 0.4}')
            web.controls.change(wanted)
        except (ValueError, RecursionError):
            self._send_json({"error": "the body is not JSON"}, HTTPStatus.BAD_REQUEST)
        except StreamfxError as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        else:
            self._send_json(web.controls.values())

    def log_message(self, format: str, *arguments: object) -> None:
        log.debug(format, *arguments)

    def _allowed(self) -> bool:
        """Whether the request has the token, or without one comes from a page of this machine; else it is answered."""
        web = self.server.web
        if web.token:
            given = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
            given = given or self.headers.get("Authorization", "").removeprefix("Bearer ")
            if hmac.compare_digest(given.encode(), web.token.encode()):
                return True
            self._send_json({"error": "give the token"}, HTTPStatus.UNAUTHORIZED)
            return False
        names = [urlsplit(f"//{self.headers.get('Host', '')}").hostname]
        if origin := self.headers.get("Origin"):
            names.append(urlsplit(origin).hostname)
        if all(name in LOOPBACK for name in names):  # else a site whose name points to this machine
            return True
        self._send_json({"error": "open this page as 127.0.0.1 or localhost"}, HTTPStatus.FORBIDDEN)
        return False

    def _send_json(self, value: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send_bytes(json.dumps(value).encode(), "application/json", status)

    def _send_bytes(self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def _send_hls(self, folder: Path, name: str) -> None:
        if not is_hls_file(name) or not (folder / name).is_file():
            self._send_json({"error": f"no file {name}"}, HTTPStatus.NOT_FOUND)
            return
        self._send_bytes((folder / name).read_bytes(), _TYPES[Path(name).suffix])

    def _send_pictures(self, preview: Preview, *, single: bool) -> None:
        pictures = preview.pictures()
        if single:
            self._send_bytes(next(pictures, b""), "image/jpeg")
            return
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        for jpeg in pictures:
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")


def _description(controls: Controls) -> dict[str, object]:
    values = controls.values()
    return {
        "controls": controls.describe(),
        "presets": controls.presets,
        "preset": values.get("preset"),
        "fade": values["fade"],
        "error": controls.error,
    }
