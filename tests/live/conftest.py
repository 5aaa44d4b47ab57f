"""Real peers on loopback: ffmpeg sends a clip with bar-coded frame numbers and clicks, and receives the result."""

import subprocess
import time

import pytest
from bars import read_bars, write_bar_clip
from peers import free_ports

from streamfx.live.options import LiveOptions
from streamfx.live.session import LiveSession
from streamfx.media.live.address import live_source, live_target

LIMIT = 90  # seconds to wait for anything; only a machine that is very busy comes near


@pytest.fixture
def port():
    """A free port on loopback."""
    return free_ports(1)[0]


@pytest.fixture
def other_port():
    """Another one."""
    return free_ports(1)[0]


def wait_until(condition, what):
    """Wait until `condition` returns true; fail with `what` after LIMIT seconds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture(name="wait_until")
def _wait_until():
    return wait_until


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


@pytest.fixture(scope="session", name="read_bars")
def _read_bars():
    """read_bars(path): what a file contains, as `bars.Seen`."""
    return read_bars


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
