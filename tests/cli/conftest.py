"""Commands run in this process."""

import logging
import signal
import sys
from types import SimpleNamespace

import pytest

from streamfx.cli import main


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """The same as `streamfx`, with an empty cache, in this process: starting one and loading torch takes seconds."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
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

    command.home = home
    yield command
    signal.signal(signal.SIGTERM, ending)
