"""`streamfx dream --look`: ready-made settings for images and for videos made from one image."""

from pathlib import Path

import pytest

from streamfx.animation.context import Context
from streamfx.animation.feedback_schedules import MAX_SCENE
from streamfx.cli._looks import look_settings
from streamfx.effects.dream import Dream
from streamfx.effects.feedback import Feedback
from streamfx.errors import StreamfxError
from streamfx.presets import load_look, preset_files

LOOKS = list(preset_files("dream"))


def test_twelve_looks_are_shipped():
    assert len(LOOKS) == 12
    assert "animals" in LOOKS


@pytest.mark.parametrize("name", LOOKS)
def test_shipped_looks_are_valid(name):
    assert load_look(name).title
    still, moving = look_settings(name)
    assert Dream(**still).with_network().layer == still["layer"]
    Feedback(Context(10), (64, 96), **moving).with_network().tracks()


def test_layers_palettes_and_schedules_of_several_looks_take_turns():
    _, moving = look_settings("coral, waves, spirals")
    assert moving["layer"].split(", ") == [load_look(name).settings["layer"] for name in ("coral", "waves", "spirals")]
    assert [Path(name).name for name in moving["palette"].split(", ")] == ["start", "hokusai.jpg", "vangogh.jpg"]
    tracks = Feedback(Context(3 * 30 * MAX_SCENE), (64, 96), **moving).with_network().tracks()
    alone = [
        Feedback(Context(3 * 30 * MAX_SCENE), (64, 96), **look_settings(name)[1]).with_network().tracks()
        for name in ("coral", "waves", "spirals")
    ]
    for number in (0, 1, 2):
        frame = 30 * MAX_SCENE * number + 5
        assert tracks["layer"][frame] == number
        for name in ("zoom", "angle", "shift_x"):
            assert tracks[name][frame] == alone[number][name][frame]


def test_a_look_of_several_layers_keeps_its_settings_for_all_of_them(tmp_path):
    for name, text in (("two", 'layer = "block2, block4"\nzoom = "1.1"'), ("one", 'layer = "block7"')):
        (tmp_path / f"{name}.toml").write_text(f'kind = "dream"\n[settings]\n{text}\n')
    _, moving = look_settings(", ".join(str(tmp_path / f"{name}.toml") for name in ("two", "one")))
    tracks = Feedback(Context(3 * 30 * MAX_SCENE), (64, 96), **moving).with_network().tracks()
    assert [tracks["zoom"][30 * MAX_SCENE * number + 5] == 1.1 for number in (0, 1, 2)] == [True, True, False]


def test_music_changes_settings_where_there_is_audio():
    silent, music = (look_settings("waves", audio=audio)[1]["shift_x"] for audio in (False, True))
    assert silent == load_look("waves").settings["shift_x"]
    assert music == load_look("waves").music["shift_x"]


def test_palettes_are_beside_the_file_of_the_look(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(
        'kind = "dream"\n[settings]\npalette = "red.png, start, /blue.png"\n[music]\npalette = "gold.png"\n'
    )
    assert look_settings(str(file))[1]["palette"] == f"{tmp_path / 'red.png'}, start, /blue.png"
    assert look_settings(str(file), audio=True)[1]["palette"] == str(tmp_path / "gold.png")


def test_own_looks_and_errors(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text('kind = "dream"\n[settings]\nlayer = "block4"\nstep = "0.02"\n')
    still, moving = look_settings(str(file))
    assert (still, moving) == ({"layer": "block4"}, {"layer": "block4", "step": "0.02"})
    for text, reason in (
        ('[settings]\nlayr = "block4"', "unknown setting 'layr'; did you mean layer"),
        ('name = "x"\n[settings]\nlayer = "block4"', "unknown key 'name'; known: kind, title, settings, music"),
    ):
        file.write_text(f'kind = "dream"\n{text}\n')
        with pytest.raises(StreamfxError, match=reason):
            look_settings(str(file))
    with pytest.raises(StreamfxError, match="unknown look 'corals'; did you mean coral"):
        look_settings("corals")


def test_options_replace_those_of_the_look(command, clip, moving, video_stream):
    image = clip("look.png", *moving("96x96"), "-frames:v", "1")
    done = command("dream", "--start", image, "out.png", "--look", "mosaic", "--octaves", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert '"layer": "block7:16' in done.stdout
    size = ("--size", "64x48", "--duration", "0.1", "--json")
    done = command("dream", "--start", image, "a.mkv", "--look", "waves,coral", "--layer", "block2", *size)
    assert done.returncode == 0, done.stderr
    assert '"layer": "block2"' in done.stdout
