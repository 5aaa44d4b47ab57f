"""The studio as a command and as a server: its options, its link, and whom it refuses."""

import socket
from base64 import b64encode

import httpx
import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.server import serve

TOKEN = "0123456789abcdef0123"


@pytest.fixture
def client(studio):
    """A client with the cookie that the link sets."""
    with httpx.Client(base_url=studio.origin, follow_redirects=False) as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        yield client


def test_only_the_link_opens_the_page(studio):
    assert httpx.get(studio.origin).status_code == 403
    assert httpx.get(f"{studio.origin}/?token={'0' * 20}").status_code == 403
    assert httpx.get(studio.url, headers={"Host": f"evil.example:{studio.port}"}).status_code == 403
    assert httpx.get(studio.url, headers={"Origin": "http://evil.example"}).status_code == 403
    assert "streamfx" in httpx.get(studio.url).text


def test_sockets_need_the_cookie_and_the_origin(studio, client):
    def status(*lines):
        with socket.create_connection(("127.0.0.1", studio.port), 10) as connection:
            head = [
                "GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1",
                *(f"{name}: {value}" for name, value in lines),
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}",
            ]
            connection.sendall("\r\n".join([*head, "", ""]).encode())
            return int(connection.recv(100).split()[1])

    host, cookie = ("Host", f"127.0.0.1:{studio.port}"), ("Cookie", f"streamfx-studio-{studio.port}={TOKEN}")
    assert status(host, cookie) == 101
    assert status(host) == 403
    assert status(("Host", "evil.example"), cookie) == 403
    assert status(host, cookie, ("Origin", "http://evil.example")) == 403


def test_only_files_of_the_folder_are_sent(studio, client):
    (studio.folder.parent / "secret.mp4").write_text("secret")
    (studio.folder / "link.mp4").symlink_to(studio.folder.parent / "secret.mp4")
    assert client.get("/studio/file/video.mp4", headers={"Range": "bytes=0-9"}).status_code == 206
    for name in ("..%2Fsecret.mp4", "%2Fetc%2Fpasswd", "link.mp4", ".streamfx-studio/queue.json", "missing.mp4"):
        for route in ("file", "frame", "thumbnail"):
            answer = client.get(f"/studio/{route}/{name}")
            assert answer.status_code in (400, 404), name
            assert "secret" not in answer.text.replace("secret.mp4", "")
    assert client.get("/studio/part/1/..%2F..%2Fqueue.json").status_code in (400, 404)
    (studio.folder / "link.mp4").unlink()


def test_frames_and_thumbnails(client):
    for path in ("frame/video.mp4?t=0.5", "thumbnail/video.mp4"):
        answer = client.get(f"/studio/{path}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"token": "short"}, "letters and digits"),
        ({"token": "a" * 20 + "\n"}, "letters and digits"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
        ({}, "not a folder"),
    ],
)
def test_invalid_options_are_explained(tmp_path, options, reason, read):
    given = {"host": "127.0.0.1", "port": 0, "token": None, "browser": False, "read": read} | options
    with pytest.raises(StreamfxError, match=reason):
        serve(tmp_path / "missing", None, **given)


def test_a_busy_port_is_explained(tmp_path, read, studio):
    with pytest.raises(StreamfxError, match="give another --port"):
        serve(tmp_path, None, host="127.0.0.1", port=studio.port, token=None, browser=False, read=read)
