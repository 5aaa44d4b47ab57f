"""Presets: shipped, the user's own, files; and what is said about wrong ones."""

import logging

import pytest

from streamfx.errors import StreamfxError
from streamfx.preset import load_preset, presets, user_presets
from streamfx.shipped import shipped

GOOD = """
kind = "style"
title = "Mine"
painting = "A picture"
licence = "CC0"
weights = "mine.safetensors"
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's folder of presets, empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = user_presets()
    assert tmp_path in folder.parents
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("file", sorted(shipped("presets").glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_preset_is_whole(file):
    preset = load_preset(str(file))
    assert preset.weights.is_file()
    assert preset.weights.stat().st_size < 2e6
    assert preset.style.title
    assert preset.style.licence


@pytest.mark.usefixtures("own")
def test_vangogh_is_shipped():
    preset = load_preset("vangogh")
    assert (preset.name, preset.style.painter) == ("vangogh", "Vincent van Gogh")
    assert "vangogh" in [p.name for p in presets()]


def test_own_presets_stand_beside_the_shipped_ones_and_win(own):
    (own / "mine.toml").write_text(GOOD)
    assert load_preset("mine").weights == own / "mine.safetensors"
    assert [p.name for p in presets()] == sorted(p.name for p in presets())
    assert {"mine", "vangogh"} <= {p.name for p in presets()}
    (own / "vangogh.toml").write_text(GOOD)
    assert load_preset("vangogh").style.title == "Mine"


@pytest.mark.usefixtures("own")
def test_a_file_is_a_preset_too(tmp_path):
    file = tmp_path / "else.toml"
    file.write_text(GOOD + "[training]\nminutes = 3\n")
    assert load_preset(str(file)).style.training.minutes == 3


@pytest.mark.usefixtures("own")
def test_unknown_names_list_near_ones():
    with pytest.raises(StreamfxError, match="unknown preset 'vangoh'; did you mean vangogh"):
        load_preset("vangoh")


def test_a_broken_own_preset_is_skipped_with_a_warning(own, caplog):
    (own / "broken.toml").write_text("kind = ")
    with caplog.at_level(logging.WARNING, "streamfx"):
        assert "broken" not in [p.name for p in presets()]
    assert "broken.toml is not TOML" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = ", "is not TOML"),
        (GOOD + "wieghts = 1", "unknown key 'wieghts'; known: kind, title, painting"),
        (GOOD + "[training]\nminuts = 1", "unknown key 'training.minuts'; known: painting_height"),
        (GOOD + "[training]\nminutes = -1", "'training.minutes': input should be greater than 0"),
        (GOOD.replace('"style"', '"film"'), "'kind': input should be 'style'"),
        (GOOD.replace('title = "Mine"', ""), "the key 'title' is missing"),
        (GOOD.replace('"Mine"', "[1]"), "'title': input should be a valid string"),
        (GOOD.replace('"mine.', '"../mine.'), "'weights': "),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path, text, message):
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(StreamfxError) as error:
        load_preset(str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(StreamfxError, match="cannot read the preset"):
        load_preset(str(tmp_path / "none.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StreamfxError, match="is not TOML"):
        load_preset(str(tmp_path / "bytes.toml"))
