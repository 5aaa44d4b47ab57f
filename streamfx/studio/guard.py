"""Access control of the studio's server: token and cookie, Host and Origin, and the size of requests."""

from __future__ import annotations

import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 4 << 20  # bytes of a request other than an upload
_POLICY = (  # the page loads everything from this server, and no other page may frame it
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOCAL = ("127.0.0.1", "localhost", "::1")


class Guard:
    """ASGI middleware that refuses requests and sockets which do not come from the page with the session's token.

    The request that brings `?token=` sets a cookie; every other one needs one of the two. The Host header must be
    an address of this server, which defeats DNS rebinding, and an Origin header must be the page itself.
    """

    def __init__(
        self, app: ASGIApp, token: str, host: str, port: int, *, upload_path: str = "", max_upload: int = 0
    ) -> None:
        """`host` is the address that the server listens on; `upload_path` takes bodies of up to `max_upload` bytes."""
        self.app, self.token, self.host, self.port = app, token, host, port
        self.upload_path, self.max_upload = upload_path, max_upload
        self.cookie = f"streamfx-studio-{port}"  # cookies do not distinguish ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        brings_token = self._is_token(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0])
        status, reason = self._refusal(scope, headers, brings_token=brings_token)
        if reason:
            await _refuse(scope, receive, send, status, reason)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    added[name] = value
                if brings_token:
                    cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
                    added.append("Set-Cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers, *, brings_token: bool) -> tuple[int, str]:
        """The HTTP status and the reason to refuse a request; an empty reason if it is allowed."""
        if not self._is_own_address(headers.get("host", "")):
            return 403, "this address is not the studio's; open the link that the command printed"
        origin = headers.get("origin")
        if origin is not None and not self._is_own_address(urlsplit(origin).netloc):
            return 403, "requests from other pages are refused"
        if not (brings_token or self._is_token(self._cookie_of(headers))):
            return 403, "the token is missing or wrong; open the link that the command printed"
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            uploads = self.upload_path and scope["path"].startswith(self.upload_path)
            limit = self.max_upload if uploads else MAX_BODY
            length = headers.get("content-length", "")
            if not (length.isascii() and length.isdigit()):
                return 411, "the request does not state its length"
            if int(length) > limit:
                return 413, f"the request is larger than {limit} bytes"
        return 200, ""

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    def _cookie_of(self, headers: Headers) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return morsel.value if morsel else ""

    def _is_own_address(self, netloc: str) -> bool:
        """Whether `netloc`, a host with a port, is one under which this server can be reached."""
        try:
            parts = urlsplit(f"//{netloc}")
            name, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if port != self.port:
            return False
        if self.host in _LOCAL:
            return name in _LOCAL
        if self.host in ("0.0.0.0", "::"):  # all addresses of this machine, but no names, which others may control
            return name == "localhost" or _is_ip(name)
        return name == self.host.lower()


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # the connection request
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    await PlainTextResponse(f"streamfx studio: {reason}\n", status)(scope, receive, send)
