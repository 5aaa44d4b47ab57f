"""Entry point of `python -m streamfx`."""

from streamfx.cli import main

main()
