"""The command line: parses options, calls the library, and prints errors in one line."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys

import typer

from streamfx.cli._batch_options import BatchCommand
from streamfx.cli._console import STDERR, Stdout, discard_output
from streamfx.cli._run import stop_signals
from streamfx.cli.batch import batch
from streamfx.cli.demo import demo
from streamfx.cli.doctor import doctor
from streamfx.cli.dream import dream
from streamfx.cli.effects import effects
from streamfx.cli.explore import explore
from streamfx.cli.live import live
from streamfx.cli.measure import measure
from streamfx.cli.models import models
from streamfx.cli.presets import presets
from streamfx.cli.render import render
from streamfx.cli.run import run
from streamfx.cli.sheet import sheet
from streamfx.cli.studio import studio
from streamfx.cli.style import style
from streamfx.cli.train import train
from streamfx.errors import Misuse, StreamfxError
from streamfx.media.standard_streams import reserve_descriptors
from streamfx.resources import library_cache
from streamfx.version import __version__

app = typer.Typer(
    name="streamfx",
    help="Style transfer and DeepDream for streaming video.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (style, dream, render, run, live, studio, explore, demo, sheet, measure, presets, effects, train, doctor)
for command in COMMANDS:
    app.command()(command)
app.command(cls=BatchCommand)(batch)
app.add_typer(models, name="models")


def _print_version(requested: bool) -> None:
    if requested:
        print(f"streamfx {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    # a callback, because this function is called only before a command
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_print_version),
) -> None:
    pass


class _StderrHandler(logging.Handler):
    """Prints log messages on stderr, above the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        STDERR.print(f"streamfx: {record.getMessage()}", markup=False)


def _run_command() -> None:
    """Run the command and exit. Raises StreamfxError if its output cannot be written."""
    stdout = sys.stdout
    sys.stdout = Stdout(stdout)
    try:
        app()
    except SystemExit:
        sys.stdout.flush()
        raise
    finally:
        sys.stdout = stdout


def main() -> None:
    """Run the command line and exit: 0 done, 1 bad input, 2 misuse, 130 interrupted."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's waiting threads must not keep a core busy
    os.environ.setdefault("MPLCONFIGDIR", library_cache("matplotlib"))  # instead of a folder in the home folder
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", library_cache("torch"))  # instead of one in the temporary folder
    logging.getLogger("streamfx").addHandler(_StderrHandler())
    for number in stop_signals():
        signal.signal(number, signal.default_int_handler)
    reserve_descriptors()
    try:
        _run_command()
    except StreamfxError as error:
        STDERR.print(f"streamfx: {error}", style="red" if STDERR.is_terminal else None, markup=False)
        sys.exit(2 if isinstance(error, Misuse) else 1)
    except BrokenPipeError:  # the consumer closed the pipe; nothing may be flushed into it at exit
        discard_output(sys.stdout)
        sys.exit(1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's class, without importing torch
            raise
        advice = "give --quality fast, a smaller --tile, a smaller --size, or --device cpu"
        STDERR.print(f"streamfx: the GPU is out of memory; {advice}", markup=False)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        STDERR.print(f"streamfx: cannot use '{error.filename}': {error.strerror}", markup=False)
        sys.exit(1)
    finally:
        gc.freeze()  # skips the garbage collection of torch's objects at exit, which takes a second
