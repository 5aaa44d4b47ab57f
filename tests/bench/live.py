"""Latency, frame rate, drops and A/V offset of a live stream, measured at real peers on loopback.

    python tests/bench/live.py                               640x360, fast, coherent, one minute
    python tests/bench/live.py --size 1280x720 --seconds 600
    python tests/bench/live.py --change munch                also changes the preset, by HTTP, in the middle

ffmpeg sends a clip with bar-coded frame numbers by UDP twice: to `streamfx live` and to this program, which receives
the painted stream as well. A frame's latency is the time between both arrivals, so it includes encoding, sending and
decoding. Frames that never arrive are drops.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import av
import av.error
import numpy as np
from bars import RATE, number_of, write_bar_clip
from peers import free_ports

CLIP_SECONDS = 20  # it is repeated; numbers start again
OPTIONS = {"fflags": "nobuffer", "probesize": "500000", "analyzeduration": "500000"}


class Listener(threading.Thread):
    """Receives a UDP stream and notes when each numbered frame arrives."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.url = f"udp://127.0.0.1:{port}?fifo_size=100000&overrun_nonfatal=1"
        self.arrivals: list[tuple[int, float]] = []
        self.start()

    def run(self) -> None:
        while True:
            try:
                with av.open(self.url, options=OPTIONS, timeout=(120, 10)) as container:
                    stream = container.streams.video[0]
                    stream.codec_context.thread_type = "SLICE"
                    for packet in container.demux(stream):
                        self._decode(packet)
            except av.error.FFmpegError:
                continue

    def _decode(self, packet: av.Packet) -> None:
        try:
            for frame in packet.decode():
                self.arrivals.append((number_of(frame), time.monotonic()))
        except av.error.InvalidDataError:
            pass


def unwrapped(arrivals: list[tuple[int, float]], start: float) -> dict[int, float]:
    """Absolute frame number -> arrival, where numbers start again every CLIP_SECONDS; misread ones are left out."""
    period = CLIP_SECONDS * RATE
    found: dict[int, float] = {}
    for number, when in arrivals:
        expected = (when - start) * RATE
        absolute = number + period * round((expected - number) / period)
        if abs(absolute - expected) < period / 4:
            found.setdefault(absolute, when)
    return found


def report(direct: Listener, painted: Listener, settle: float) -> dict[str, object]:
    """Latencies and drops, without the first `settle` seconds after the first painted frame."""
    start = direct.arrivals[0][1] - direct.arrivals[0][0] / RATE
    sent, received = unwrapped(direct.arrivals, start), unwrapped(painted.arrivals, start)
    begin, end = min(received.values()) + settle, max(received.values())
    wanted = [number for number, when in sent.items() if begin <= when <= end - 1]
    latencies = np.array([received[number] - sent[number] for number in wanted if number in received])
    return {
        "frames": len(wanted),
        "fps": round(len(latencies) / (end - 1 - begin), 2),
        "dropped_percent": round(100 * (1 - len(latencies) / len(wanted)), 2),
        "latency_median": round(float(np.median(latencies)), 3),
        "latency_p95": round(float(np.percentile(latencies, 95)), 3),
        "latency_max": round(float(latencies.max()), 3),
    }


def change_preset(port: int, preset: str) -> None:
    body = json.dumps({"preset": preset}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/controls", body, {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=10).close()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    width, height = map(int, options.size.split("x"))
    clip = write_bar_clip(folder / "bars.mkv", CLIP_SECONDS, (width, height))
    to_streamfx, to_us, from_streamfx, http = free_ports(4)
    direct, painted = Listener(to_us), Listener(from_streamfx)
    status = folder / "status.jsonl"
    command = [sys.executable, "-m", "streamfx", "live", f"udp://127.0.0.1:{to_streamfx}"]
    style = ["--preset", options.preset, "--quality", options.quality]
    command += ["--chain", options.chain] if options.chain else style
    tee = "|".join(f"[f=mpegts]udp://127.0.0.1:{port}?pkt_size=1316" for port in (to_streamfx, to_us))
    send = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip)]
    send += ["-map", "0", "-c", "copy", "-f", "tee", tee]
    began = time.monotonic()
    with subprocess.Popen(command) as live, subprocess.Popen(send) as sender:
        try:
            while not painted.arrivals and live.poll() is None:
                time.sleep(0.01)
            first = time.monotonic() - began
            time.sleep(options.settle + options.seconds / 2)
            if options.change:
                change_preset(http, options.change)
            time.sleep(options.seconds / 2)
        finally:
            sender.terminate()
            live.terminate()
    lines = [json.loads(line) for line in status.read_text().splitlines()]
    levels = [f"{line['width']}x{line['height']}" for line in lines]
    return {
        "first_frame": round(first, 2),
        **report(direct, painted, options.settle),
        "working_sizes": list(dict.fromkeys(levels)),
        "av_offset_max": max(abs(line["av_offset"]) for line in lines),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--settle", type=float, default=15, help="seconds for the adaptation that are not measured")
    parser.add_argument("--preset", default="vangogh")
    parser.add_argument("--quality", default="fast")
    parser.add_argument("--chain", help="instead of a preset")
    parser.add_argument("--change", help="preset to change to in the middle")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamfx-live-") as name:
        print(json.dumps(measure(options, Path(name))))


if __name__ == "__main__":
    main()
