"""Entry point of the command `streamfx`, and of `python -m streamfx`."""

import os
import signal


def main() -> None:
    """Run the command line. Ctrl-C ends it with exit code 130, also while the modules are being imported."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from streamfx.cli import main as run

    run()


if __name__ == "__main__":
    main()
