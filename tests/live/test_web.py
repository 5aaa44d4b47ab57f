"""The web server: pictures, controls as JSON, and what it refuses."""

import http.client
import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.live.controls import Controls
from streamfx.live.preview import Preview
from streamfx.live.stats import Stats
from streamfx.live.web import WebServer


@pytest.fixture
def controls():
    return Controls([Style()], 1.0)


@pytest.fixture
def server(controls):
    """server(**options): a running server."""
    servers = []

    def server(host="127.0.0.1", **options):
        servers.append(WebServer((host, 0), controls, Stats().snapshot, preview=Preview(), **options))
        return servers[-1]

    yield server
    for each in servers:
        each.close()


def request(server, path, method="GET", body=None, **headers):
    """Status, type and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    result = answer.status, answer.getheader("Content-Type"), answer.read()
    connection.close()
    return result


def change(server, wanted, path="/controls", kind="application/json", **headers):
    body = wanted if isinstance(wanted, str) else json.dumps(wanted)
    status, _, answer = request(server, path, "POST", body, Content_Type=kind, **headers)
    return status, json.loads(answer)


def test_page_status_and_controls(server):
    running = server()
    assert b"stream.mjpg" in request(running, "/")[2]
    assert json.loads(request(running, "/status")[2])["state"] == "starting"
    described = json.loads(request(running, "/controls")[2])
    assert described["preset"] == "vangogh"
    assert "munch" in described["presets"]
    assert {key: value for key, value in described["controls"][0].items() if key != "help"} == {
        "name": "strength",
        "low": 0.0,
        "high": 1.0,
        "value": 1.0,
    }


def test_changes(server, controls):
    status, values = change(server(), {"strength": 0.4, "preset": "munch"})
    assert status == 200
    assert (values["strength"], values["preset"]) == (0.4, "munch")
    assert controls.take().preset


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"strength": 2}, "must be a number from 0 to 1"),
        ({"preset": "/etc/passwd"}, "unknown preset"),
        ({"mask": "/etc/passwd"}, "unknown control"),
        ([1], "send an object"),
        ("{", "not JSON"),
        ("[" * 50000, "not JSON"),
        ('{"strength": NaN}', "must be a number"),
    ],
)
def test_invalid_changes(server, controls, wanted, message):
    status, answer = change(server(), wanted)
    assert status == 400
    assert message in answer["error"]
    assert controls.take() is None


def test_other_sites_cannot_send_changes(server, controls):
    running = server()
    assert change(running, {"strength": 0.1}, kind="text/plain")[0] == 415
    assert change(running, {"strength": 0.1}, Origin="http://evil.example")[0] == 403
    assert change(running, {"strength": 0.1}, Host="evil.example")[0] == 403
    assert controls.take() is None


def test_large_and_unknown_requests(server):
    running = server()
    assert change(running, "x" * 100_000)[0] == 400
    assert change(running, {}, path="/nothing")[0] == 404
    assert request(running, "/nothing")[0] == 404
    assert request(running, "/hls/")[0] == 404


def test_a_token_is_needed_for_other_machines(server, controls):
    with pytest.raises(StreamfxError, match="give a --token"):
        server(host="0.0.0.0")
    running = server(host="0.0.0.0", token="secret")
    assert request(running, "/")[0] == 401
    assert request(running, "/?token=wrong")[0] == 401
    assert request(running, "/?token=secret")[0] == 200
    assert change(running, {"strength": 0.5}, Authorization="Bearer secret")[0] == 200


def test_a_port_in_use(server, controls):
    with pytest.raises(StreamfxError, match="cannot listen on"):
        WebServer(("127.0.0.1", server().port), controls, Stats().snapshot)


def test_pictures(server):
    running = server()
    running.preview.show(torch.full((3, 20, 30), 0.5))
    status, kind, data = request(running, "/frame.jpg")
    assert (status, kind) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(data)).size == (30, 20)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    connection.request("GET", "/stream.mjpg")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type").startswith("multipart/x-mixed-replace")
    assert answer.readline() == b"--streamfx\r\n"
    connection.close()


def test_only_files_of_the_playlist_are_served(server, tmp_path):
    folder = tmp_path / "live"
    folder.mkdir()
    (folder / "live.m3u8").write_text("#EXTM3U")
    (folder / "index.html").write_text("page")
    (folder / "private.txt").write_text("secret")
    (tmp_path / "outside.mp4").write_text("secret")
    running = server(hls_folder=Path(folder))
    assert request(running, "/hls/")[2] == b"page"
    assert request(running, "/hls/live.m3u8")[1:] == ("application/vnd.apple.mpegurl", b"#EXTM3U")
    for name in ("private.txt", "../outside.mp4", "%2e%2e/outside.mp4", "live-00001.m4s", "/etc/passwd"):
        assert request(running, f"/hls/{name}")[0] == 404
