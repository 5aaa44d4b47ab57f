"""Live runs with real peers on loopback: what arrives, what survives, and that audio stays in sync."""

import signal
import socket
from itertools import pairwise

from streamfx.errors import StreamfxError
from streamfx.live.session import output_size

FRAME = 1 / 25  # seconds
RECEIVE = ("-analyzeduration", "500k", "-probesize", "100k")
SEND = ("-c", "copy", "-f", "mpegts")


def ascending(numbers):
    return all(one < other for one, other in pairwise(numbers))


def test_file_is_paced_and_recorded_in_sync(session, bar_clip, read_bars, tmp_path, port):
    recording = tmp_path / "show.mkv"
    run = session(bar_clip(3), f"udp://127.0.0.1:{port}", record=recording)
    assert run.finished.wait(90)
    run.stop()
    snapshot = run.snapshot()
    assert snapshot.state == "ended"
    assert snapshot.time > 2.5  # three seconds of video take three seconds
    assert snapshot.received == 75
    seen = read_bars(recording)
    assert ascending(seen.numbers)
    assert len(seen.numbers) == snapshot.written == 75 - snapshot.dropped
    assert len(seen.clicks) == 3
    assert all(abs(offset) <= FRAME for offset in seen.offsets)
    assert list(tmp_path.iterdir()) == [recording]


def test_udp_to_udp(session, peer, bar_clip, read_bars, wait_until, tmp_path, port, other_port):
    received = tmp_path / "received.ts"
    receiver = peer(*RECEIVE, "-i", f"udp://127.0.0.1:{other_port}?fifo_size=50000", "-t", 3, "-c", "copy", received)
    run = session(f"udp://127.0.0.1:{port}", f"udp://127.0.0.1:{other_port}")
    peer("-re", "-stream_loop", -1, "-i", bar_clip(20), *SEND, f"udp://127.0.0.1:{port}?pkt_size=1316")
    wait_until(lambda: receiver.poll() is not None, "ffmpeg received nothing")
    run.stop()
    seen = read_bars(received)
    assert len(seen.numbers) > 10
    assert ascending(seen.numbers)
    assert seen.clicks
    assert all(abs(offset) <= FRAME for offset in seen.offsets)


def test_rtmp_in_and_out(session, peer, bar_clip, read_bars, wait_until, tmp_path, port, other_port):
    received = tmp_path / "received.flv"
    server = peer("-listen", 1, *RECEIVE, "-i", f"rtmp://127.0.0.1:{other_port}/live/out", "-c", "copy", received)
    run = session(
        f"rtmp://127.0.0.1:{port}/live/in", f"rtmp://127.0.0.1:{other_port}/live/out", listen=True, reconnect=False
    )
    wait_until(lambda: _listening(port), "the source does not listen")
    peer("-re", "-i", bar_clip(3), "-c", "copy", "-f", "flv", f"rtmp://127.0.0.1:{port}/live/in")
    assert run.finished.wait(90)
    assert isinstance(run.error, StreamfxError)  # an RTMP sender that ends looks like one that is lost
    server.wait(60)
    seen = read_bars(received)
    assert len(seen.numbers) > 10
    assert ascending(seen.numbers)
    assert all(abs(offset) <= FRAME for offset in seen.offsets)


def test_source_that_dies_and_comes_back(session, peer, bar_clip, read_bars, wait_until, tmp_path, port, other_port):
    recording = tmp_path / "show.mkv"
    run = session(f"udp://127.0.0.1:{port}", f"udp://127.0.0.1:{other_port}", record=recording)
    sending = ("-re", "-i", bar_clip(20), *SEND, f"udp://127.0.0.1:{port}?pkt_size=1316")
    sender = peer(*sending)
    wait_until(lambda: run.snapshot().written > 10, "nothing was painted")
    sender.kill()
    wait_until(lambda: run.snapshot().state == "holding", "the last frame is not held")
    held = run.snapshot().written
    longer_than_a_stall = 75  # frames; a sender that comes back sooner needs no new connection
    wait_until(lambda: run.snapshot().written > held + longer_than_a_stall, "the held frame is not repeated")
    peer(*sending)
    wait_until(lambda: run.snapshot().source_connections == 2, "the source does not reconnect")
    back = run.snapshot().painted
    wait_until(lambda: run.snapshot().painted > back + 30, "no frames after the reconnection")
    run.stop()
    seen = read_bars(recording)
    assert ascending(seen.times)
    assert len(set(seen.numbers)) < len(seen.numbers)  # held frames repeat
    assert seen.clicks
    assert all(abs(offset) <= FRAME for offset in seen.offsets[-1:])  # in sync again


def test_target_that_dies_and_comes_back(session, peer, bar_clip, read_bars, wait_until, tmp_path, port):
    target = f"tcp://127.0.0.1:{port}"
    listening = (*RECEIVE, "-f", "mpegts", "-i", f"{target}?listen=1", "-c", "copy")
    first = peer(*listening, tmp_path / "first.ts")
    run = session(bar_clip(20), target, loop=True)
    wait_until(lambda: run.snapshot().target_connected and run.snapshot().written > 30, "nothing was sent")
    first.kill()
    wait_until(lambda: not run.snapshot().target_connected, "the loss of the target was not noticed")
    second = peer(*listening, "-t", "1", tmp_path / "second.ts")
    wait_until(lambda: second.poll() is not None, "the target did not get a new connection")
    run.stop()
    seen = read_bars(tmp_path / "second.ts")
    assert ascending(seen.numbers)


def test_sender_at_double_rate_is_not_followed_late(session, peer, bar_clip, wait_until, port, other_port):
    run = session(f"udp://127.0.0.1:{port}", f"udp://127.0.0.1:{other_port}")
    sending = ("-readrate", 2, "-i", bar_clip(20), *SEND, f"udp://127.0.0.1:{port}?pkt_size=1316")
    peer(*sending)
    wait_until(lambda: run.snapshot().received > 60, "nothing arrives")
    snapshot = run.snapshot()
    assert snapshot.painted + snapshot.dropped >= snapshot.received - 2
    run.stop()


def test_interrupt_closes_the_recording(start, bar_clip, read_bars, wait_until, tmp_path, port):
    recording, status = tmp_path / "show.mp4", tmp_path / "status.jsonl"
    process = start(
        "live",
        bar_clip(20),
        f"udp://127.0.0.1:{port}",
        "--chain",
        "mirror",
        "--record",
        recording,
        "--json-lines",
        status,
    )
    wait_until(lambda: status.exists() and '"state": "live"' in status.read_text(), "nothing was painted")
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 0
    assert read_bars(recording).numbers
    assert '"state": "ended"' in status.read_text().splitlines()[-1]


def test_reader_ends_with_an_error(session, tmp_path, port):
    text = tmp_path / "text.txt"
    text.write_text("not a video")
    run = session(text, f"udp://127.0.0.1:{port}")
    assert run.finished.wait(90)
    assert "text.txt" in str(run.error)


def test_output_size():
    assert output_size((481, 641), None) == (480, 640)
    assert output_size((720, 1280), (640, -2)) == (360, 640)
    assert output_size((720, 1280), (-1, 360)) == (360, 640)
    assert output_size((720, 1280), (320, 200)) == (200, 320)


def _listening(port):
    with socket.socket() as probe:  # binding fails while another process listens
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False
