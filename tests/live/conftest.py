"""Real peers on loopback: ffmpeg sends a clip with bar-coded frame numbers and clicks, and receives the result."""

import socket
import subprocess
import time
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import pytest

from streamfx.live.options import LiveOptions
from streamfx.live.session import LiveSession
from streamfx.media.live.address import live_source, live_target

WIDTH, HEIGHT, RATE = 96, 64, 25
BITS = 12  # of the frame number, one column of 8 pixels each
SAMPLE_RATE = 48000
LIMIT = 90  # seconds to wait for anything; only a machine that is very busy comes near


@pytest.fixture
def port():
    """A free port on loopback."""
    return _free_port()


@pytest.fixture
def other_port():
    """Another one."""
    return _free_port()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what):
    """Wait until `condition` returns true; fail with `what` after LIMIT seconds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture(name="wait_until")
def _wait_until():
    return wait_until


def write_bar_clip(path, seconds, rate=RATE):
    """A clip whose frames show their number as a bar code, with a click at each full second."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(
            "libx264", rate, {"preset": "ultrafast", "tune": "zerolatency", "g": str(rate // 2)}
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", SAMPLE_RATE)
        audio.layout = "stereo"
        for number in range(int(seconds * rate)):
            bits = (number >> np.arange(BITS)) & 1
            gray = np.repeat(np.repeat(bits, WIDTH // BITS)[None], HEIGHT, 0).astype(np.uint8) * 219 + 18
            frame = av.VideoFrame.from_ndarray(np.repeat(gray[:, :, None], 3, 2), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(video.encode(frame))
            samples = np.zeros((2, SAMPLE_RATE // rate), np.float32)
            if number % rate == 0:
                samples[:, :480] = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(480) / SAMPLE_RATE)
            block = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
            block.sample_rate, block.pts, block.time_base = (
                SAMPLE_RATE,
                number * samples.shape[1],
                Fraction(1, SAMPLE_RATE),
            )
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


@pytest.fixture(scope="session")
def bar_clip(tmp_path_factory):
    """bar_clip(seconds): a Matroska file from `write_bar_clip`."""
    folder = tmp_path_factory.mktemp("bars")
    files = {}

    def bar_clip(seconds):
        if seconds not in files:
            files[seconds] = write_bar_clip(folder / f"{seconds}.mkv", seconds)
        return files[seconds]

    return bar_clip


@dataclass
class Seen:
    """What a received file contains."""

    numbers: list  # from the bar codes
    times: list  # of these frames, seconds
    clicks: list  # times at which clicks start, seconds

    @property
    def offsets(self):
        """Seconds from the frame with a full second's number to the click of that second, for each click."""
        starts = {}
        for number, when in zip(self.numbers, self.times):
            starts.setdefault(number // RATE, when - number % RATE / RATE)  # where its second began
        second = {round(when, 3): index for index, when in starts.items()}
        return [min((click - when for when in second), key=abs) for click in self.clicks]


@pytest.fixture(scope="session")
def read_bars():
    """read_bars(path, mirrored): what a file contains, as `Seen`."""
    return _read_bars


def _read_bars(path, mirrored=False):
    seen = Seen([], [], [])
    level = []
    with av.open(str(path)) as container:
        for packet in container.demux():
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    seen.numbers.append(_number(frame, mirrored))
                    seen.times.append(float(frame.pts * frame.time_base))
                else:
                    level.append((float(frame.pts * frame.time_base), np.abs(frame.to_ndarray()).max(0)))
    seen.clicks = list(_clicks(level))
    return seen


def _number(frame, mirrored):
    gray = frame.to_ndarray(format="gray")
    step = WIDTH // BITS
    columns = gray[HEIGHT // 4 : HEIGHT // 2, step // 2 :: step].mean(0) > 120
    return int((columns << np.arange(BITS)).sum())


def _clicks(level):
    last = -1.0
    for start, samples in level:
        loud = np.flatnonzero(samples > 0.2)
        if len(loud) and start + loud[0] / SAMPLE_RATE - last > 0.5:
            last = start + loud[0] / SAMPLE_RATE
            yield last


@pytest.fixture
def peer():
    """peer(*arguments): start ffmpeg; it is killed at the end of the test."""
    running = []

    def peer(*arguments):
        command = ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
        running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        return running[-1]

    yield peer
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def session():
    """session(source, target, **options): a started LiveSession; it is stopped at the end of the test."""
    started = []

    def session(source, target, effects=(), listen=False, **options):
        address = live_source(str(source), listen=listen)
        run = LiveSession(LiveOptions(address, live_target(str(target)), effects, **options))
        run.start()
        started.append(run)
        return run

    yield session
    for run in started:
        run.stop()
