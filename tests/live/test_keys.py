"""Keys in a pseudo terminal."""

import os
import pty
import sys
import termios
import threading

import pytest

from streamfx.chain import build_chain
from streamfx.effects.style import Style
from streamfx.live.controls import Controls
from streamfx.live.keys import Keys, raw_terminal


@pytest.fixture
def terminal():
    """The two ends of a pseudo terminal: what types, and what the program reads."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def press(terminal):
    """press(controls, *keys): what is shown for each key; "q" ends."""

    def press(controls, *keys):
        shown, quit_ = [], threading.Event()
        reader = Keys(terminal[1], controls, shown.append, quit_.set)
        for key in (*keys, "q"):
            os.write(terminal[0], key.encode())
        assert quit_.wait(60)
        reader.close()
        return shown

    attributes = termios.tcgetattr(terminal[1])
    attributes[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(terminal[1], termios.TCSANOW, attributes)
    return press


def test_arrows_and_brackets(press):
    controls = Controls([Style(strength=0.5)], 1.0)
    shown = press(controls, "\x1b[A", "\x1b[A", "\x1b[B", "\x1b[C", "]")
    assert shown == ["strength 0.55", "strength 0.60", "strength 0.55", "detail 0.05", "stroke 1.07"]
    assert controls.values()["stroke"] == 1.075


def test_a_control_stops_at_its_limit(press):
    controls = Controls([Style()], 1.0)
    assert press(controls, "\x1b[A") == ["strength 1.00"]


def test_digits_choose_presets(press):
    controls = Controls([Style()], 1.0)
    assert press(controls, "2", "0", "x") == [f"preset {controls.presets[1]}"]
    assert controls.values()["preset"] == controls.presets[1]


def test_a_chain_without_the_control(press):
    assert press(Controls(build_chain("mirror"), 1.0), "\x1b[A", "1") == ["this chain has no strength"]


def test_the_terminal_is_restored(terminal, monkeypatch):
    with os.fdopen(os.dup(terminal[1])) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(stdin)
        with raw_terminal() as descriptor:
            assert descriptor == stdin.fileno()
            assert not termios.tcgetattr(stdin)[3] & termios.ICANON
        assert termios.tcgetattr(stdin) == before


def test_without_a_terminal(monkeypatch):
    with open(os.devnull) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with raw_terminal() as descriptor:
            assert descriptor is None
