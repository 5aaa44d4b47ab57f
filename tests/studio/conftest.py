"""A library of files, the reader of command lines, a running studio, and one browser for all tests."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from playwright.sync_api import sync_playwright

from streamfx.cli import app
from streamfx.cli._line import line_reader
from streamfx.studio.library import Library

BROWSER = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
REBOUND = "rebound.test"  # a name of another host that leads to this one
TOKEN = "0123456789abcdef0123"

TIMELINE = """kind = "timeline"
size = [64, 48]
fps = 10
[pictures]
begin = "begin.png"
[[section]]
name = "title"
kind = "still"
picture = "begin"
length = "1s"

[[section]]
name = "in"
start = "begin"
layer = "block1"
length = 20
"""


@pytest.fixture
def library(tmp_path):
    """An empty folder "clips" with an output folder in it."""
    (tmp_path / "clips" / "renders").mkdir(parents=True)
    return Library(tmp_path / "clips", tmp_path / "clips" / "renders")


@pytest.fixture(scope="session")
def read():
    """The reader of command lines."""
    return line_reader(typer.main.get_command(app).make_context("streamfx", ["presets"]))


@pytest.fixture(scope="session")
def run_command():
    """run_command(*arguments): run the real command; it must succeed."""

    def run_command(*arguments):
        command = [sys.executable, "-m", "streamfx", *map(str, arguments)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return run_command


@dataclass
class Server:
    """A running studio."""

    process: subprocess.Popen
    url: str  # with the token
    folder: Path

    @property
    def origin(self):
        return self.url.partition("/?")[0]

    @property
    def port(self):
        return int(self.origin.rpartition(":")[2])

    def kill(self):
        """Kill the studio and the render that it runs, without warning."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """Stop the studio as Ctrl-C does; returns its exit code."""
        os.kill(self.process.pid, signal.SIGINT)
        code = self.process.wait(timeout=40)
        self.process.stdout.close()
        return code


def serve(folder, *options):
    """Start a studio of a folder; waits until it prints its address."""
    command = [sys.executable, "-m", "streamfx", "studio", str(folder), "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--token", TOKEN, *options],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    lines = [process.stdout.readline(), process.stdout.readline()]
    address = re.search(r"http://\S+", lines[1])
    assert address, lines
    return Server(process, address[0], Path(folder))


@pytest.fixture
def start_studio():
    """start_studio(folder, *options): a Server; it is killed at the end of the test."""
    servers = []

    def start(folder, *options):
        servers.append(serve(folder, *options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="session")
def studio(tmp_path_factory, video):
    """A running studio of a folder with one video, for all tests."""
    folder = tmp_path_factory.mktemp("studio") / "clips"
    folder.mkdir()
    (folder / "video.mp4").write_bytes(video.read_bytes())
    server = serve(folder)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium."""
    with sync_playwright() as playwright:
        rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=BROWSER, args=[*ARGUMENTS, rules])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """open_page(server): a new page of a studio, with a session of its own; errors on the page fail the test."""
    contexts, errors = [], []

    def open_page(server):
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120000)  # the machine may be busy
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(request.url) if _is_foreign(request.url) else None)
        page.goto(server.url)
        page.get_by_role("tab", name="Media").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def _is_foreign(url):
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


@pytest.fixture(scope="session")
def wait_until():
    """wait_until(condition): wait until it returns something true, and return that."""

    def wait_until(condition, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if result := condition():
                return result
            time.sleep(0.05)
        return pytest.fail("waited too long")

    return wait_until


@pytest.fixture(scope="session")
def noise_image():
    """A PNG file of coarse noise, 64x48, as bytes."""
    pixels = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((64, 48)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def timeline_file(library):
    """A timeline of a still of a second and a dream of two, in the folder of `library`."""
    Image.new("RGB", (64, 48), "red").save(library.folder / "begin.png")
    file = library.folder / "film.toml"
    file.write_text(TIMELINE)
    return file
