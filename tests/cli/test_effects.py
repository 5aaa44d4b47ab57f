"""`streamfx effects` and `streamfx presets`."""

import json
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from streamfx.chain import build_chain
from streamfx.cli import app
from streamfx.effects import EFFECTS
from streamfx.errors import StreamfxError
from streamfx.settings import settings


def answer(*words):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_lists_every_effect():
    text = answer("effects")
    assert all(re.search(rf"^{name} ", text, re.MULTILINE) for name in EFFECTS)


@pytest.mark.parametrize("name", EFFECTS)
def test_tells_the_settings_of_an_effect(name):
    text = answer("effects", name)
    for setting in settings(EFFECTS[name]):
        assert re.search(rf"^{setting.name} +{setting.type.__name__} ", text, re.MULTILINE)
    moving = [setting.name for setting in settings(EFFECTS[name]) if setting.schedulable]
    assert ("Settings that accept a schedule: " + ", ".join(moving) in text) == bool(moving)
    example = re.search(r'--chain "(.*)"', text)[1]
    assert build_chain(example) == [EFFECTS[name]()]


def test_as_json():
    told = json.loads(answer("effects", "--json"))
    assert told.keys() == EFFECTS.keys()
    assert told["trails"]["settings"][0]["default"] == 0.9
    assert json.loads(answer("effects", "trails", "--json")) == {"trails": told["trails"]}


@pytest.mark.parametrize(
    ("name", "reason"),
    [("trials", "did you mean trails"), ("hue", "is an FFmpeg filter"), ("xyzzy", "known: .*trails")],
)
def test_unknown_effects_are_told(name, reason):
    result = CliRunner().invoke(app, ["effects", name])
    assert isinstance(result.exception, StreamfxError)
    assert re.search(reason, str(result.exception))


def test_lists_presets():
    assert "vangogh" in answer("presets")
    told = json.loads(answer("presets", "--json"))
    assert told["vangogh"]["artist"] == "Vincent van Gogh"


def test_help_answers_at_once():
    """Half a second is the promise; the best of three, because the machine may be busy."""
    code = "import sys; from streamfx.cli import main; sys.argv = ['streamfx', '--help']; main()"
    times = []
    for _ in range(3):
        began = time.monotonic()
        said = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, check=False)
        times.append(time.monotonic() - began)
        assert b"effects" in said.stdout
        loaded = {line.split(b"|")[-1].strip() for line in said.stderr.splitlines() if b"import time" in line}
        assert not {b"torch", b"av", b"numpy", b"skimage"} & loaded
    assert min(times) < 1.5
