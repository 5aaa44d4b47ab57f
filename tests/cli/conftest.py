"""Commands run in this process."""

import logging
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from streamfx.cli import main


@pytest.fixture
def in_process(monkeypatch, capsys):
    """The same as `streamfx`, in this process: starting one and loading torch takes seconds."""
    logger, ending = logging.getLogger("streamfx"), signal.getsignal(signal.SIGTERM)
    handlers, level = list(logger.handlers), logger.level

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["streamfx", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        logger.handlers[:] = handlers
        logger.setLevel(level)
        said = capsys.readouterr()
        return SimpleNamespace(returncode=ended.value.code or 0, stdout=said.out, stderr=said.err)

    yield command
    signal.signal(signal.SIGTERM, ending)


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
def small_disk(tmp_path):
    """A disk of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True)
    if made.returncode:
        pytest.skip("only the superuser can mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)
