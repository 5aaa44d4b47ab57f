"""Runs a live stream for a long time; checks memory, latency and the sync of audio, over lost sources and targets.

    python tests/soak/live.py --minutes 60
    python tests/soak/live.py --minutes 2 --chain mirror

ffmpeg sends a clip with bar-coded frame numbers and clicks by UDP; it is killed and started again every --kill minutes,
and so is the receiver. The output is recorded. Fails if memory grows by more than --growth MiB after the first fifth,
if a click in the recording is more than one frame away from its frame, or if the times of frames do not increase.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from bars import RATE, read_bars, write_bar_clip
from peers import free_ports

SETTLED = 0.2  # fraction of the run after which memory should be constant
FRAME = 1 / RATE  # seconds
CLIP_SECONDS = 60


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def run(options: argparse.Namespace, folder: Path, recording: Path) -> list[tuple[float, float]]:
    """Run the stream and kill its peers; returns samples of (seconds, MiB)."""
    clip = write_bar_clip(folder / "bars.mkv", CLIP_SECONDS, (320, 180))
    source, target = free_ports(2)
    send = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
    send += ["-f", "mpegts", f"udp://127.0.0.1:{source}?pkt_size=1316"]
    receive = ["ffmpeg", "-nostdin", "-v", "fatal", "-f", "mpegts", "-i", f"tcp://127.0.0.1:{target}?listen=1"]
    receive += ["-c", "copy", "-f", "null", "-"]
    command = [sys.executable, "-m", "streamfx", "live", f"udp://127.0.0.1:{source}", f"tcp://127.0.0.1:{target}"]
    command += ["--chain", options.chain, "--record", str(recording), "--no-keys", "-q"]
    command += ["--json-lines", str(folder / "status.jsonl")]
    peers = [subprocess.Popen(send), subprocess.Popen(receive)]
    samples: list[tuple[float, float]] = []
    began = time.monotonic()
    next_kill, victim = began + 60 * options.kill, 0
    with subprocess.Popen(command) as live:
        while time.monotonic() - began < 60 * options.minutes:
            if live.poll() is not None:
                raise SystemExit(f"streamfx live ended with code {live.returncode}")
            samples.append((time.monotonic() - began, resident(live.pid)))
            if time.monotonic() > next_kill:
                peers[victim].kill()
                peers[victim].wait()
                time.sleep(4)
                peers[victim] = subprocess.Popen((send, receive)[victim])
                next_kill, victim = time.monotonic() + 60 * options.kill, 1 - victim
            time.sleep(1)
        live.send_signal(signal.SIGINT)
        live.wait(60)
    for peer in peers:
        peer.kill()
        peer.wait()
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--kill", type=float, default=1, help="minutes between two kills of a peer")
    parser.add_argument("--chain", default="style=vangogh:quality=fast")
    parser.add_argument("--growth", type=float, default=30, help="MiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamfx-live-") as name:
        folder = Path(name)
        samples = run(options, folder, folder / "show.mkv")
        seen = read_bars(folder / "show.mkv")
        last = json.loads((folder / "status.jsonl").read_text().splitlines()[-1])
    settled = np.array([sample for sample in samples if sample[0] > SETTLED * samples[-1][0]])
    slope = np.polyfit(settled[:, 0], settled[:, 1], 1)[0]
    growth = float(slope * (settled[-1, 0] - settled[0, 0]))
    offsets = np.abs(seen.offsets)
    result = {
        "minutes": options.minutes,
        "memory": round(float(settled[-1, 1])),
        "growth": round(growth, 1),
        "frames": len(seen.numbers),
        "clicks": len(seen.clicks),
        "av_offset_max": round(float(offsets.max()), 4),
        "source_connections": last["source_connections"],
        "latency_p95": last["latency_p95"],
        "dropped": last["dropped"],
    }
    print(json.dumps(result))
    problems = []
    if growth > options.growth:
        problems.append(f"memory grows by {growth:.0f} MiB")
    if offsets.max() > FRAME:
        problems.append(f"a click is {1000 * offsets.max():.0f} ms away from its frame")
    if not all(one < other for one, other in pairwise(seen.times)):
        problems.append("the times of frames do not increase")
    if problems:
        raise SystemExit("; ".join(problems))


if __name__ == "__main__":
    main()
