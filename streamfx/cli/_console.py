"""Output streams of the command line: notes on stderr that may get lost, and results on stdout that may not."""

import os
import sys
from errno import EBADF
from typing import IO, Any, TextIO

from rich.console import Console

from streamfx.errors import StreamfxError


class _Stderr:
    """The stderr of the moment, whose errors are ignored: a full disk or closed pipe there must not end a run."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text) if sys.stderr else len(text)
        except OSError:
            discard_output(sys.stderr)
            return len(text)

    def flush(self) -> None:
        try:
            if sys.stderr:
                sys.stderr.flush()
        except OSError:
            discard_output(sys.stderr)

    def isatty(self) -> bool:
        return sys.stderr is not None and sys.stderr.isatty()


class Stdout:
    """The `stream` stdout, whose errors become StreamfxErrors, except BrokenPipeError (the reading program exited)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> Exception:
        discard_output(self._stream)
        if isinstance(error, BrokenPipeError):
            return error
        return StreamfxError(f"cannot write to stdout: {'it is closed' if error.errno == EBADF else error.strerror}")


def discard_output(stream: IO[str]) -> None:
    """Drop what a stream of this process has not written yet, and all that is written to it from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


STDERR = Console(file=_Stderr(), soft_wrap=True, highlight=False, emoji=False)  # type: ignore[arg-type]  # as used by rich
