"""The command line as a whole: the exit codes of `main`, errors in one line, help, and the version."""

import errno
import logging
import signal
import subprocess
import sys
import time

import pytest
import torch
import typer

import streamfx.cli
from streamfx.__main__ import main as console_main
from streamfx.cli import app
from streamfx.errors import Misuse, StreamfxError
from streamfx.version import __version__

CODE = "import sys; from streamfx import cli; sys.argv = ['streamfx', *sys.argv[1:]]; cli.main()"


@pytest.fixture
def run_main(in_process, monkeypatch):
    """run_main(function): run `main` with `function` as its only command; returns the completed command."""

    def run_main(function):
        single = typer.Typer(pretty_exceptions_enable=False)
        single.command()(function)
        monkeypatch.setattr(streamfx.cli, "app", single)
        return in_process()

    return run_main


def raise_error(error):
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (StreamfxError("no such file: 'a[b]{c}.mp4'"), 1, "no such file: 'a[b]{c}.mp4'"),
        (Misuse("give --to or --duration, not both"), 2, "give --to or --duration, not both"),
        (FileNotFoundError(errno.ENOENT, "Not found", "a[red].mp4"), 1, "cannot use 'a[red].mp4': Not found"),
        (PermissionError(errno.EACCES, "Denied", b"a.mp4"), 1, "cannot use 'b'a.mp4'': Denied"),
        (
            torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"),
            1,
            "the GPU is out of memory; give --quality fast, a smaller --tile, a smaller --size, or --device cpu",
        ),
    ],
)
def test_expected_errors_are_one_line(error, code, line, run_main):
    done = run_main(raise_error(error))
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"streamfx: {line}\n")


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(errno.EIO, "no file name"), KeyError("a bug")])
def test_unexpected_errors_keep_their_traceback(error, run_main, monkeypatch):
    with pytest.raises(type(error)) as raised:
        run_main(raise_error(error))
    assert raised.value is error


def test_interrupts_exit_with_130(run_main):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        done = run_main(lambda number=number: signal.raise_signal(number))
        assert done.returncode == 130
        assert "Traceback" not in done.stderr


def test_log_messages_are_lines_on_stderr(run_main):
    def command() -> None:
        log = logging.getLogger("streamfx")
        log.warning("the mask '%s' ends", "a[bold]{b}.mp4")
        log.getChild("media").error("damaged")
        log.info("decoded on the CPU")

    done = run_main(command)
    lines = ["streamfx: the mask 'a[bold]{b}.mp4' ends", "streamfx: damaged"]
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (0, "", lines)


def test_long_lines_are_not_wrapped(run_main):
    message = "a long message " * 30
    assert run_main(raise_error(StreamfxError(message))).stderr == f"streamfx: {message}\n"


def test_the_version(in_process):
    done = in_process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"streamfx {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["run", "-h"], ["models", "layers", "--help"]])
def test_help_is_not_an_error(arguments, in_process):
    done = in_process(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: " in done.stdout


def test_without_a_command_the_help_is_printed(in_process):
    done = in_process()
    assert done.returncode == 2
    assert all(command.callback.__name__ in done.stdout + done.stderr for command in app.registered_commands)


@pytest.mark.parametrize("arguments", [["dram", "in.mp4"], ["run", "in.mp4"], ["--fast"]])
def test_misuse_exits_with_2(arguments, in_process):
    done = in_process(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_ends_the_command_quietly():
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    done = subprocess.run(
        [sys.executable, "-c", CODE, "effects", "--json"], stdout=reader.stdin, stderr=subprocess.PIPE
    )
    reader.stdin.close()
    assert (done.returncode, done.stderr) == (1, b"")


def test_help_is_printed_at_once():
    """Within half a second where nothing else runs; the best of three, because the machine may be busy."""
    times = []
    for _ in range(3):
        began = time.monotonic()
        command = [sys.executable, "-X", "importtime", "-c", CODE, "--help"]
        done = subprocess.run(command, capture_output=True, check=False)
        times.append(time.monotonic() - began)
        assert b"effects" in done.stdout
        loaded = {line.split(b"|")[-1].strip() for line in done.stderr.splitlines() if b"import time" in line}
        assert not {b"torch", b"av", b"numpy", b"skimage"} & loaded
    assert min(times) < 1.5


def test_main_is_the_console_command():
    from importlib.metadata import entry_points

    (entry,) = entry_points(group="console_scripts", name="streamfx")
    assert entry.load() is console_main
