"""Commands run in this process, and what several of their tests need."""

import logging
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from streamfx.cli import main


@pytest.fixture
def in_process(monkeypatch, capsys):
    """The same as `streamfx`, in this process: starting one and loading torch takes seconds."""
    logger, on_sigterm = logging.getLogger("streamfx"), signal.getsignal(signal.SIGTERM)
    handlers, level = list(logger.handlers), logger.level

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["streamfx", *map(str, arguments)])
        try:
            with pytest.raises(SystemExit) as exit_info:
                main()
        finally:
            logger.handlers[:] = handlers
            logger.setLevel(level)
        output = capsys.readouterr()
        return SimpleNamespace(returncode=exit_info.value.code or 0, stdout=output.out, stderr=output.err)

    yield command
    signal.signal(signal.SIGTERM, on_sigterm)


@pytest.fixture
def command(tmp_path, monkeypatch, in_process):
    """The same in an empty folder, `home`, with an empty cache."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    in_process.home = home
    return in_process


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty working folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def painting(tmp_path):
    """A photo of 300x200 pixels, to take a style from."""
    file = tmp_path / "a cup.png"
    Image.fromarray(data.coffee()[::2, ::2].copy()).save(file)
    return file


@pytest.fixture(scope="session")
def noise(tmp_path_factory):
    """An image of coarse noise, 96x72."""
    file = tmp_path_factory.mktemp("noise") / "noise.png"
    pixels = np.random.default_rng(1).integers(0, 255, (9, 12, 3), np.uint8)
    Image.fromarray(pixels).resize((96, 72)).save(file)
    return file


@pytest.fixture
def empty_cache(tmp_path):
    """Environment variables of a user with an empty cache."""
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture(scope="session")
def wait_for_segments():
    """wait_for_segments(process, folder, count): wait until a run has closed `count` segments in its work folder."""

    def wait_for_segments(process, folder, count=2):
        while process.poll() is None:
            if len(list(folder.glob("*.packets"))) >= count:
                return
            time.sleep(0.002)
        pytest.fail(process.stderr.read().decode())

    return wait_for_segments
