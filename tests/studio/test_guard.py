"""The guard: who may use the server."""

import asyncio

import pytest

from streamfx.studio.guard import MAX_BODY, Guard

TOKEN = "a" * 32


def request(guard, path="/", *, query="", method="GET", kind="http", **headers):
    """The status of the answer (or "closed", or "through") and the headers that the guard sent."""
    fields = {"host": f"127.0.0.1:{guard.port}"} | {name.replace("_", "-"): text for name, text in headers.items()}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), text.encode()) for name, text in fields.items() if text is not None],
    }
    sent = []

    async def receive():
        return {"type": f"{kind}.connect" if kind == "websocket" else "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    if sent[0]["type"] == "websocket.close":
        return "closed", {}
    if sent[0]["type"] == "websocket.accept":
        return "through", {}
    return sent[0]["status"], {name.decode(): text.decode() for name, text in sent[0]["headers"]}


async def inner(scope, receive, send):
    """The application behind the guard."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


@pytest.fixture
def guard():
    return Guard(inner, TOKEN, "127.0.0.1", 8420, upload_path="/studio/upload/", max_upload=10**9)


def test_the_token_opens_the_page_and_sets_a_cookie_that_opens_the_rest(guard):
    status, headers = request(guard, query=f"token={TOKEN}")
    assert status == 200
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    name_and_value = cookie.partition(";")[0]
    assert request(guard, "/_nicegui/asset.js", cookie=name_and_value)[0] == 200
    assert request(guard, "/_nicegui_ws/", kind="websocket", cookie=name_and_value)[0] == "through"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"query": "token="},
        {"query": "token=" + "b" * 32},
        {"cookie": "streamfx-studio-8420=" + "b" * 32},
        {"cookie": f"streamfx-studio-8421={TOKEN}"},
        {"cookie": "\x01;;=="},
    ],
)
def test_requests_without_the_token_are_refused(guard, given):
    assert request(guard, **given)[0] == 403
    assert request(guard, kind="websocket", **given)[0] == "closed"


@pytest.mark.parametrize(
    "host", [None, "", "evil.example:8420", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:8420", "localhost:x"]
)
def test_other_hosts_are_refused_even_with_the_token(guard, host):
    assert request(guard, query=f"token={TOKEN}", host=host)[0] == 403
    assert request(guard, query=f"token={TOKEN}", host=host, kind="websocket")[0] == "closed"


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1:8421", "https://localhost"])
def test_other_origins_are_refused_even_with_the_cookie(guard, origin):
    assert request(guard, cookie=f"streamfx-studio-8420={TOKEN}", origin=origin)[0] == 403
    assert request(guard, cookie=f"streamfx-studio-8420={TOKEN}", origin=origin, kind="websocket")[0] == "closed"


def test_the_page_itself_is_an_allowed_origin(guard):
    for name in ("127.0.0.1", "localhost", "[::1]"):
        given = {"host": f"{name}:8420", "origin": f"http://{name}:8420"}
        assert request(guard, cookie=f"streamfx-studio-8420={TOKEN}", **given)[0] == 200


@pytest.mark.parametrize(("host", "allowed"), [("192.168.0.7:9", True), ("evil.example:9", False), ("[::1]:9", True)])
def test_a_server_on_all_addresses_takes_addresses_but_no_names(host, allowed):
    guard = Guard(inner, TOKEN, "0.0.0.0", 9)
    assert request(guard, query=f"token={TOKEN}", host=host)[0] == (200 if allowed else 403)


def test_the_size_of_requests_is_limited(guard):
    given = {"method": "POST", "cookie": f"streamfx-studio-8420={TOKEN}"}
    assert request(guard, "/other", content_length=str(MAX_BODY), **given)[0] == 200
    assert request(guard, "/other", content_length=str(MAX_BODY + 1), **given)[0] == 413
    assert request(guard, "/studio/upload/a.mp4", content_length=str(10**9), **given)[0] == 200
    assert request(guard, "/studio/upload/a.mp4", content_length=str(10**9 + 1), **given)[0] == 413
    assert request(guard, "/other", **given)[0] == 411
    assert request(guard, "/other", content_length="-1", **given)[0] == 411


def test_answers_forbid_foreign_content(guard):
    _, headers = request(guard, query=f"token={TOKEN}")
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"


def test_the_lifespan_passes():
    seen = []

    async def application(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(Guard(application, TOKEN, "127.0.0.1", 1)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
