"""`streamfx effects`."""

import json
import re

import pytest
from typer.testing import CliRunner

from streamfx.chain import build_chain
from streamfx.cli import app
from streamfx.effects import EFFECTS
from streamfx.errors import StreamfxError
from streamfx.settings import settings


def output_of(*words):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_lists_every_effect():
    text = output_of("effects")
    assert all(re.search(rf"^{name} ", text, re.MULTILINE) for name in EFFECTS)


@pytest.mark.parametrize("name", EFFECTS)
def test_shows_the_settings_of_an_effect(name):
    text = output_of("effects", name)
    for setting in settings(EFFECTS[name]):
        assert re.search(rf"^{setting.name} +{setting.type.__name__} ", text, re.MULTILINE)
    schedulable = [setting.name for setting in settings(EFFECTS[name]) if setting.schedulable]
    assert ("Settings that accept a schedule: " + ", ".join(schedulable) in text) == bool(schedulable)
    example = re.search(r'--chain "(.*)"', text)[1]
    assert build_chain(example) == [EFFECTS[name]()]


def test_as_json():
    effects = json.loads(output_of("effects", "--json"))
    assert effects.keys() == EFFECTS.keys()
    assert effects["trails"]["settings"][0]["default"] == 0.9
    assert json.loads(output_of("effects", "trails", "--json")) == {"trails": effects["trails"]}


@pytest.mark.parametrize(
    ("name", "reason"),
    [("trials", "did you mean trails"), ("hue", "is an FFmpeg filter"), ("xyzzy", "known: .*trails")],
)
def test_unknown_effects_are_errors(name, reason):
    result = CliRunner().invoke(app, ["effects", name])
    assert isinstance(result.exception, StreamfxError)
    assert re.search(reason, str(result.exception))


def test_lists_presets():
    assert "vangogh" in output_of("presets")
    presets = json.loads(output_of("presets", "--json"))
    assert presets["vangogh"]["artist"] == "Vincent van Gogh"
