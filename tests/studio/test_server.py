"""The studio as a command and as a server: its options, its link, whom it refuses, uploads, and its end."""

import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode

import httpx
import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.library import STATE_FOLDER
from streamfx.studio.server import serve

TOKEN = "0123456789abcdef0123"


@pytest.fixture
def client(studio):
    """A client with the cookie that the link sets."""
    with httpx.Client(base_url=studio.origin, follow_redirects=False, timeout=120) as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        yield client


def test_only_the_link_opens_the_page(studio):
    with httpx.Client(timeout=120) as client:
        assert client.get(studio.origin).status_code == 403
        assert client.get(f"{studio.origin}/?token={'0' * 20}").status_code == 403
        assert client.get(studio.url, headers={"Host": f"evil.example:{studio.port}"}).status_code == 403
        assert client.get(studio.url, headers={"Origin": "http://evil.example"}).status_code == 403
        assert "streamfx" in client.get(studio.url).text


def test_sockets_need_the_cookie_and_the_origin(studio, client):
    def status(*lines):
        with socket.create_connection(("127.0.0.1", studio.port), 120) as connection:
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


def begin_upload(studio, name, size):
    """A connection with the head of an upload and its first bytes."""
    connection = socket.create_connection(("127.0.0.1", studio.port), 120)
    address = f"127.0.0.1:{studio.port}"
    cookie = f"streamfx-studio-{studio.port}={TOKEN}"
    head = f"POST /studio/upload/{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {size}\r\nCookie: {cookie}"
    connection.sendall(f"{head}\r\n\r\nhalf".encode())
    return connection


def test_uploads_are_saved_completely_or_not_at_all(studio, client, video, wait_until):
    content = video.read_bytes()
    assert client.post("/studio/upload/new.mp4", content=content).json() == {"name": "new.mp4"}
    assert (studio.folder / "new.mp4").read_bytes() == content
    assert client.post("/studio/upload/..%2F..%2Fnew.mp4", content=content).json() == {"name": "new-2.mp4"}
    assert "not a video" in client.post("/studio/upload/run.sh", content=b"x").json()["error"]
    with begin_upload(studio, "huge.mp4", 10**13) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    uploads = studio.folder / STATE_FOLDER / "uploads"
    with begin_upload(studio, "half.mp4", 1000):  # goes away in the middle
        wait_until(lambda: list(uploads.iterdir()))
    wait_until(lambda: not list(uploads.iterdir()))
    assert not [path for path in studio.folder.iterdir() if "half" in path.name or "huge" in path.name]
    for name in ("new.mp4", "new-2.mp4"):
        (studio.folder / name).unlink()


def test_unfinished_uploads_of_a_killed_studio_are_removed(start_studio, tmp_path):
    part = tmp_path / STATE_FOLDER / "uploads" / "half"
    part.parent.mkdir(parents=True)
    part.write_text("half")
    start_studio(tmp_path)
    assert not part.exists()


def test_it_stops_calmly(start_studio, tmp_path, capfd):
    server = start_studio(tmp_path, "--host", "0.0.0.0")
    assert server.stop() == 0
    errors = capfd.readouterr().err
    assert "anyone who knows the address" in errors
    assert "Traceback" not in errors


def interrupt(folder, wait, environment=()):
    """Start a studio, send Ctrl-C after `wait(process)`; returns its exit code, stdout and stderr."""
    command = [sys.executable, "-m", "streamfx", "studio", str(folder), "--no-browser", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | dict(environment)
    ) as process:
        wait(process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    return process.returncode, output, errors


def test_an_interrupt_while_the_modules_are_imported_ends_it(tmp_path):
    (tmp_path / "typer.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    code, _, errors = interrupt(tmp_path, lambda process: process.stdout.readline(), {"PYTHONPATH": paths})
    assert (code, errors) == (130, "")


def test_an_interrupt_before_the_server_runs_ends_it(tmp_path, wait_until):
    for number in range(5):  # on a busy machine the signal may come after the start
        folder = tmp_path / str(number)
        folder.mkdir()
        state = folder / STATE_FOLDER
        code, output, errors = interrupt(folder, lambda process, state=state: wait_until(state.is_dir))
        if not output:
            break
    assert (code, output, errors) == (130, "", "")


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
