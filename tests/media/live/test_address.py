"""Sources and targets as text: what they mean, and what is refused."""

import pytest

from streamfx.errors import Misuse, StreamfxError
from streamfx.media.live.address import live_source, live_target


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp", "udp", "rtp", "tcp", "http", "https"])
def test_network_sources(scheme):
    source = live_source(f"{scheme}://127.0.0.1:5000/x")
    assert source.kind == "network"
    assert source.reconnects
    assert source.stall


def test_files_and_pipes(video, tmp_path):
    assert live_source(str(video)).kind == "file"
    assert live_source("-").url == "pipe:0"
    with pytest.raises(StreamfxError, match="no such file"):
        live_source(str(tmp_path / "none.mp4"))
    with pytest.raises(StreamfxError, match="is a folder"):
        live_source(str(tmp_path))


def test_listening():
    source = live_source("rtmp://127.0.0.1:1935/live/x", listen=True)
    assert source.options["listen"] == "1"
    assert source.open_timeout is None
    with pytest.raises(Misuse, match="--listen"):
        live_source("udp://127.0.0.1:5000", listen=True)


def test_cameras_by_platform(monkeypatch):
    for platform, form, device in (("darwin", "avfoundation", "1"), ("win32", "dshow", "video=1")):
        monkeypatch.setattr("sys.platform", platform)
        source = live_source("camera:1", rate="30")
        assert (source.format, source.url, source.options["framerate"]) == (form, device, "30")
        assert source.kind == "device"


def test_missing_camera(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(StreamfxError, match=r"camera '/dev/video97' not found; cameras on this machine"):
        live_source("camera:97")
    with pytest.raises(StreamfxError, match="give camera:0"):
        live_source("camera:front")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("rtmp://host/live/x", "flv"),
        ("rtsp://host/x", "rtsp"),
        ("udp://127.0.0.1:5000", "mpegts"),
        ("rtp://127.0.0.1:5000", "rtp_mpegts"),
        ("tcp://127.0.0.1:5000", "mpegts"),
    ],
)
def test_streams(text, form):
    target = live_target(text)
    assert (target.kind, target.format, target.name) == ("stream", form, text)


def test_http_targets():
    assert (live_target("http://:8123").url, live_target("http://:8123").port) == ("", 8123)
    assert (live_target("http://0.0.0.0").url, live_target("http://0.0.0.0").port) == ("0.0.0.0", 8080)
    assert live_target("http://[::1]:81/").url == "::1"


def test_virtual_camera():
    assert live_target("virtual-camera").url == ""
    assert live_target("virtual-camera:/dev/video2").url == "/dev/video2"


def test_udp_packets_fit_into_ethernet_frames():
    assert live_target("udp://127.0.0.1:5000").url.endswith("?pkt_size=1316")
    assert live_target("udp://127.0.0.1:5000?ttl=2").url.endswith("ttl=2&pkt_size=1316")
    assert live_target("udp://127.0.0.1:5000?pkt_size=188").url.endswith("?pkt_size=188")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("srt://host:9000", "no SRT"),
        ("whip:http://host/x", "WHIP is not supported"),
        ("whip://host/x", "WHIP is not supported"),
        ("gopher://host", "unknown protocol 'gopher'"),
        ("out.mp4", "write files with --record"),
        ("http://127.0.0.1:99999", "is not an http target"),
        ("http://127.0.0.1:80/page", "is not an http target"),
    ],
)
def test_refused_targets(text, message):
    with pytest.raises(StreamfxError, match=message):
        live_target(text)


@pytest.mark.parametrize(("text", "message"), [("srt://host:9000", "no SRT"), ("ftp://host/x", "unknown protocol")])
def test_refused_sources(text, message):
    with pytest.raises(StreamfxError, match=message):
        live_source(text)
