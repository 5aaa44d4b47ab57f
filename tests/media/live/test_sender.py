"""Sending to targets that come late, go away or block."""

import contextlib
import socket
import threading
import time
from fractions import Fraction

import pytest
import torch

from streamfx.media.live.address import LiveTarget
from streamfx.media.live.encoder import LiveEncoder
from streamfx.media.live.sender import Sender


@pytest.fixture
def stream():
    """Encode and send frames: stream(sender, count)."""
    encoder = LiveEncoder((144, 192), Fraction(25), audio=False)
    sent = [0]

    def send(sender, count):
        for _ in range(count):
            for packet in encoder.encode(torch.rand(3, 144, 192), Fraction(sent[0], 25)):
                sender.send(packet)
            sent[0] += 1

    send.encoder = encoder
    return send


def file_target(path, form):
    return LiveTarget(str(path), str(path), "stream", form)


@pytest.mark.parametrize(
    ("name", "form"), [("a.mkv", "matroska"), ("a.mp4", "mp4"), ("a.ts", "mpegts"), ("a.flv", "flv")]
)
def test_containers(stream, tmp_path, times, name, form):
    sender = Sender(file_target(tmp_path / name, form), stream.encoder, lambda: None)
    stream(sender, 30)
    sender.close()
    assert sender.written == 30
    assert len(times(tmp_path / name)) == 30


def test_a_target_that_comes_later_begins_with_a_key_frame(stream, tmp_path, probe):
    folder = tmp_path / "later"
    wanted = threading.Event()
    sender = Sender(file_target(folder / "a.ts", "mpegts"), stream.encoder, wanted.set)
    stream(sender, 5)
    time.sleep(0.2)
    assert not sender.connected
    folder.mkdir()
    assert wanted.wait(60)
    assert sender.connected
    stream.encoder.force_key = True
    stream(sender, 10)
    sender.close()
    packets = probe(folder / "a.ts", "-show_packets")["packets"]
    assert "K" in packets[0]["flags"]
    assert sender.dropped


class Server(socket.socket):
    url = ""


@pytest.fixture
def listener():
    """A TCP server that accepts connections and reads nothing; its address, and a function that accepts one."""
    with Server() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(60)
        server.url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        yield server


def tcp_target(listener):
    return LiveTarget(listener.url, listener.url, "stream", "mpegts")


def test_a_target_that_blocks_does_not_block_the_caller(stream, listener):
    sender = Sender(tcp_target(listener), stream.encoder, lambda: None)
    connection, _ = listener.accept()
    start = time.monotonic()
    while not sender.dropped:
        stream(sender, 50)
        assert time.monotonic() - start < 60
    connection.close()


def test_packets_that_wait_too_long_are_dropped(stream, listener):
    requested = []
    sender = Sender(tcp_target(listener), stream.encoder, lambda: requested.append(True), latency=0.1)
    connection, _ = listener.accept()
    stream(sender, 120)  # fills the buffers of the system
    time.sleep(0.3)
    connection.settimeout(0.2)
    end = time.monotonic() + 60
    while len(requested) < 2 and time.monotonic() < end:  # the first request comes with the connection
        with contextlib.suppress(TimeoutError):
            connection.recv(1 << 16)
    assert len(requested) >= 2
    assert sender.dropped
    connection.close()


def test_an_unreachable_host_is_lost(stream):
    sender = Sender(LiveTarget("x", "rtmp://127.0.0.1:9/live/x", "stream", "flv"), stream.encoder, lambda: None)
    end = time.monotonic() + 60
    while not sender.lost:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not sender.connected
    sender.close()
