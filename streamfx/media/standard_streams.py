"""Standard input and output as a source or target: '-', and paths of file descriptors such as /dev/stdout."""

from __future__ import annotations

import os
import re
import sys
from fcntl import F_GETFL, fcntl
from pathlib import Path

from streamfx.errors import StreamfxError

_MAX_LINKS = 40  # as in Linux


def descriptor_of(name: str) -> int | None:
    """The file descriptor that a target names: 1 for '-' and /dev/stdout, 3 for /dev/fd/3, or a link to one of them.

    None for all other names.
    """
    if name == "-":
        return 1
    if "://" in name:
        return None
    path = Path(name)
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(path.parent)
        if path.name.isdecimal() and re.fullmatch(rf"/proc/{os.getpid()}(/task/\d+)?/fd|/dev/fd", folder):
            return int(path.name)
        try:
            path = path.parent / os.readlink(path)
        except OSError:  # not a link
            return None
    return None


def reserve_descriptors() -> None:
    """Occupy closed descriptors of stdin, stdout and stderr, so that no file opened later is read or written as such.

    Reading from and writing to them stays an error.
    """
    for descriptor, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # opens the lowest free number
            if descriptor == 1:
                sys.stdout = os.fdopen(1, "w", closefd=False)


def check_stdin() -> None:
    """Raise StreamfxError if nothing can be read from stdin."""
    if sys.stdin is None:
        raise StreamfxError("stdin is closed: pipe a video in, or name an input file")
    if sys.stdin.isatty():
        raise StreamfxError("stdin is a terminal: pipe a video in, or name an input file")


def check_output(descriptor: int) -> None:
    """Raise StreamfxError if no video can be written to a file descriptor: it is closed, or a terminal."""
    name = "stdout" if descriptor == 1 else f"file descriptor {descriptor}"
    advice = "redirect it to a file or a program, or give an output file"
    try:
        readonly = fcntl(descriptor, F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    except OSError:
        readonly = True
    if readonly or (descriptor == 1 and sys.stdout is None):  # then it may stand for any file opened later
        raise StreamfxError(f"{name} is closed; {advice}")
    if sys.stdout.isatty() if descriptor == 1 else os.isatty(descriptor):
        raise StreamfxError(f"{name} is a terminal; {advice}")
