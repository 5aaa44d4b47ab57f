"""A process that renders pieces, one after another, for `LocalProcesses`."""

from __future__ import annotations

import logging
import os
import signal
from multiprocessing.connection import Connection

from streamfx.jobs.render_piece import try_piece


def main(descriptor: int, threads: int) -> None:
    """Render the pieces requested over a connection, until it is closed or the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent as well, which stops the tasks
    logging.getLogger("streamfx").setLevel(logging.ERROR)  # the parent has read the same source and warned
    parent = os.getppid()
    name = f"worker {os.getpid()}"
    with Connection(descriptor) as connection:
        while True:
            try:
                request = connection.recv()
                connection.send(try_piece(request, name, threads, lambda: os.getppid() == parent))
            except (EOFError, OSError):
                return
