"""MIDI messages over mido's socket ports: knobs, learning, program changes."""

import gc
import socket
import time

import mido
import pytest
from mido.sockets import PortServer

from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.live.controls import Controls
from streamfx.live.midi import MidiControl, load_map, open_port, save_map

# mido closes its sockets without the files that it has made of them
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def controls():
    return Controls([Style()], 1.0)


@pytest.fixture
def keyboard(port, controls, tmp_path):
    """keyboard(**options): a connected pair of a sending port and a MidiControl."""
    opened = []

    def keyboard(**options):
        server = PortServer("127.0.0.1", port)
        receiving = open_port(f"tcp://127.0.0.1:{port}")
        sending = server.accept()
        control = MidiControl(receiving, controls, tmp_path / "settings" / "midi.toml", **options)
        opened.extend([control, sending, server])
        return sending, control

    yield keyboard
    for each in opened:
        each.close()
    gc.collect()  # the warnings of the sockets belong to this file


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def turn(sending, knob, value, channel=0):
    sending.send(mido.Message("control_change", channel=channel, control=knob, value=value))


def test_knobs_are_learned_and_saved(keyboard, controls, tmp_path):
    heard = []
    sending, control = keyboard(learn=("strength", "detail"), on_change=heard.append)
    assert heard == ["MIDI: move the knob for strength"]
    turn(sending, 20, 127)
    turn(sending, 20, 0)  # still the same knob
    turn(sending, 21, 64, channel=3)
    wait_for(lambda: control.learning == [])
    wait_for(lambda: controls.values()["detail"] > 0)
    assert controls.values()["strength"] == 0
    assert controls.values()["detail"] == pytest.approx(64 / 127)
    assert load_map(tmp_path / "settings" / "midi.toml") == {(1, 20): "strength", (4, 21): "detail"}


def test_a_saved_map_is_used(keyboard, controls, tmp_path):
    save_map(tmp_path / "settings" / "midi.toml", {(1, 74): "stroke", (1, 75): "another chain's control"})
    sending, _ = keyboard()
    turn(sending, 75, 3)
    turn(sending, 74, 127)
    wait_for(lambda: controls.values()["stroke"] == 2)


def test_a_map_with_a_byte_order_mark(tmp_path):
    (tmp_path / "midi.toml").write_text('\ufeff[knobs]\n"1/20" = "strength"\n', "utf-8")
    assert load_map(tmp_path / "midi.toml") == {(1, 20): "strength"}


def test_program_changes_choose_presets(keyboard, controls):
    sending, _ = keyboard()
    sending.send(mido.Message("program_change", program=1))
    wait_for(lambda: controls.values()["preset"] == controls.presets[1])
    sending.send(mido.Message("note_on", note=60))  # ignored
    sending.send(mido.Message("program_change", program=0))
    wait_for(lambda: controls.values()["preset"] == controls.presets[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("knobs = [1]", "cannot read"),
        ("[knobs", "cannot read"),
        ('[knobs]\n"17/1" = "strength"', "has a knob '17/1'"),
        ('[knobs]\n"1" = "strength"', "write CHANNEL/CONTROLLER"),
    ],
)
def test_invalid_maps(tmp_path, text, message):
    file = tmp_path / "midi.toml"
    file.write_text(text)
    with pytest.raises(StreamfxError, match=message):
        load_map(file)


def test_ports_that_do_not_exist(port):
    with pytest.raises(StreamfxError, match="MIDI"):
        open_port("no such keyboard")
    with pytest.raises(StreamfxError, match="cannot open MIDI"):
        open_port(f"tcp://127.0.0.1:{port}")


def test_a_port_that_is_closed_by_its_peer(keyboard):
    sending, control = keyboard()
    sending._socket.shutdown(socket.SHUT_RDWR)
    control._thread.join(60)
    assert not control._thread.is_alive()


def test_unknown_controls_cannot_be_learned(keyboard):
    with pytest.raises(StreamfxError, match="unknown control"):
        keyboard(learn=("loudness",))
