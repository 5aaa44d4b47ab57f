"""Interfaces of a running session: a page in Chromium, HLS in Chromium, OSC, and their errors."""

import json
import urllib.request

import pytest
from playwright.sync_api import sync_playwright
from pythonosc.udp_client import SimpleUDPClient

from streamfx.chain import build_chain
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.live.controls import Controls
from streamfx.live.options import LiveOptions
from streamfx.live.services import Interfaces, open_interfaces
from streamfx.live.session import LiveSession
from streamfx.media.live.address import live_source, live_target


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def run(bar_clip):
    """run(target, interfaces, chain): a session with interfaces; it is stopped at the end of the test."""
    contexts = []

    def run(target, interfaces, chain="mirror"):
        source = live_source(str(bar_clip(20)))
        session = LiveSession(LiveOptions(source, live_target(target), build_chain(chain), loop=True))
        context = open_interfaces(session, interfaces)
        session.lines = context.__enter__()
        session.start()
        contexts.append((session, context))
        return session

    yield run
    for session, context in contexts:
        session.stop()
        context.__exit__(None, None, None)


def test_http_page_in_a_browser(run, browser, wait_until, port):
    session = run(f"http://:{port}", Interfaces(), "trails=0.5")
    assert session.lines == [f"http://127.0.0.1:{port}/"]
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_function("document.getElementById('picture').naturalWidth === 96", timeout=90_000)
    page.wait_for_selector("#decay", timeout=90_000)
    page.evaluate("s = document.getElementById('decay'); s.value = 0.25; s.dispatchEvent(new Event('input'))")
    wait_until(lambda: session.controls.values()["decay"] == 0.25, "the slider changes nothing")
    page.wait_for_function("document.getElementById('status').textContent.startsWith('live')", timeout=90_000)
    page.close()
    assert session.snapshot().written > 0


def test_hls_plays_in_a_browser(run, browser, tmp_path, port):
    session = run(f"hls:{tmp_path / 'live'}", Interfaces(http=port))
    assert session.lines == [f"http://127.0.0.1:{port}/ and http://127.0.0.1:{port}/hls/"]
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{port}/hls/")
    page.wait_for_function("document.getElementById('video').currentTime > 1", timeout=90_000)
    before = page.evaluate("document.getElementById('video').currentTime")
    page.wait_for_function(f"document.getElementById('video').currentTime > {before + 1}", timeout=90_000)
    assert page.evaluate("document.getElementById('video').videoWidth") == 96
    page.close()
    session.stop()
    playlist = (tmp_path / "live" / "live.m3u8").read_text()
    assert playlist.rstrip().endswith("#EXT-X-ENDLIST")
    assert len(list((tmp_path / "live").glob("*.m4s"))) <= 9  # old segments are removed


def test_osc_and_http_change_a_running_session(run, wait_until, port, other_port):
    session = run(f"http://:{port}", Interfaces(osc=other_port), "trails=0.5")
    wait_until(lambda: session.snapshot().written > 2, "nothing was painted")
    client = SimpleUDPClient("127.0.0.1", other_port)
    client.send_message("/streamfx/decay", 0.75)
    client._sock.close()  # it has no method for that
    wait_until(lambda: session.controls.values()["decay"] == 0.75, "OSC changes nothing")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/controls", timeout=60) as answer:
        assert json.load(answer)["controls"][0]["value"] == 0.75


@pytest.mark.parametrize(
    ("interfaces", "message"),
    [
        (Interfaces(host="0.0.0.0", http=1), "give a --token"),
        (Interfaces(token="a/b"), "must not contain"),
        (Interfaces(learn=("strength",)), "needs a MIDI input"),
        (Interfaces(midi="x", learn=("loudness",)), "unknown control"),
    ],
)
def test_errors(interfaces, message):
    with pytest.raises(StreamfxError, match=message):
        interfaces.check(Controls([Style()], 1.0))
