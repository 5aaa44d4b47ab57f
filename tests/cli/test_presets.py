"""`streamfx presets`."""

import json

import pytest
import typer
from typer.testing import CliRunner

from streamfx.cli.presets import presets
from streamfx.presets import load_preset, user_presets
from streamfx.resources import resource

app = typer.Typer()
app.command()(presets)

MASTERS = ["cezanne", "hokusai", "monet", "munch", "renoir", "seurat", "turner", "vangogh"]  # tabea is a timeline
OWN = """
kind = "style"
title = "[mine]"
license = "CC0"
weights = { fine = "mine.safetensors" }

[[painting]]
file = "mine.jpg"
"""


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """listed(*options): what the command prints for a user with one preset, whose weights are missing."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    user_presets().mkdir(parents=True)
    (user_presets() / "mine.toml").write_text(OWN)

    def listed(*options):
        result = CliRunner().invoke(app, options)
        assert result.exit_code == 0, result.output
        return result.stdout

    return listed


def test_the_table_has_names_artists_paintings_qualities_and_origins(listed):
    text = listed()
    line = next(line for line in text.splitlines() if line.startswith("vangogh"))
    for word in ("Vincent van Gogh", "The Starry Night, 1889", "fine fast", "shipped"):
        assert word in line
    assert "Woman with a Parasol" in text
    assert "streamfx sheet" in text
    assert "NAME.jpg" in text
    assert str(user_presets()) in text


def test_own_presets_are_yours_and_missing_weights_are_marked(listed):
    line = next(line for line in listed().splitlines() if line.startswith("mine"))
    for word in ("[mine]", "weights missing", "yours"):
        assert word in line


def test_json_has_all_facts(listed):
    facts = json.loads(listed("--json"))
    assert list(facts) == sorted([*MASTERS, "mine"])
    munch = facts["munch"]
    assert munch["painting"][0]["file"] == "munch_scream_1893.jpg"
    assert munch["weights"] == load_preset("munch").style.weights
    assert munch["training"]["crop"] == load_preset("munch").style.training.crop
    assert munch["file"] == str(resource("presets") / "munch.toml")
    assert munch["thumbnail"] == str(resource("presets") / "munch.jpg")
    assert (munch["qualities"], munch["whose"]) == (["fine", "fast"], "shipped")
    mine = facts["mine"]
    assert (mine["thumbnail"], mine["qualities"], mine["whose"]) == (None, [], "yours")
