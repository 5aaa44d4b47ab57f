"""OSC messages from a real client on loopback."""

import logging
import time

import pytest
from pythonosc.udp_client import SimpleUDPClient

from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.live.controls import Controls
from streamfx.live.osc import OscServer


@pytest.fixture
def controls():
    return Controls([Style()], 1.0)


@pytest.fixture
def osc(controls):
    """osc(**options): a client of a running server."""
    servers, clients = [], []

    def osc(**options):
        servers.append(OscServer(("127.0.0.1", 0), controls, **options))
        clients.append(SimpleUDPClient("127.0.0.1", servers[-1].port))
        return clients[-1]

    yield osc
    for server in servers:
        server.close()
    for client in clients:
        client._sock.close()  # it has no method for that


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_numbers_and_presets(osc, controls):
    heard = []
    client = osc(on_change=heard.append)
    client.send_message("/streamfx/strength", 0.25)
    client.send_message("/streamfx/preset", "munch")
    client.send_message("/streamfx/fade", 2)
    wait_for(lambda: len(heard) == 3)
    assert heard == ["strength 0.25", "preset munch", "fade 2"]
    values = controls.values()
    assert (values["strength"], values["preset"], values["fade"]) == (0.25, "munch", 2)


@pytest.mark.parametrize(
    ("address", "value", "message"),
    [
        ("/streamfx/strength", 7.0, "must be a number from 0 to 1"),
        ("/streamfx/mask", "/etc/passwd", "unknown control"),
        ("/streamfx/preset", "/etc/passwd", "unknown preset"),
        ("/other/strength", 0.5, "was ignored"),
        ("/streamfx/strength", [0.5, 0.6], "takes one value"),
    ],
)
def test_invalid_messages_change_nothing(osc, controls, caplog, address, value, message):
    with caplog.at_level(logging.WARNING, "streamfx"):
        osc().send_message(address, value)
        wait_for(lambda: message in caplog.text)
    assert controls.take() is None


def test_a_token_begins_the_address(osc, controls, caplog):
    heard = []
    client = osc(token="secret", on_change=heard.append)
    client.send_message("/streamfx/strength", 0.1)
    client.send_message("/wrong/streamfx/strength", 0.1)
    client.send_message("/secret/streamfx/strength", 0.5)
    wait_for(lambda: heard)
    assert heard == ["strength 0.5"]


def test_addresses(controls, osc):
    with pytest.raises(StreamfxError, match="give a --token"):
        OscServer(("0.0.0.0", 0), controls)
    client = osc()
    with pytest.raises(StreamfxError, match="cannot listen on"):
        OscServer(("127.0.0.1", client._port), controls)
