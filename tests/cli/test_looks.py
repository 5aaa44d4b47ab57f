"""`streamfx dream --look`: ready-made settings for images and for videos made from one image."""

import pytest

from streamfx.animation.context import Context
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


def test_layers_of_several_looks_take_turns():
    _, moving = look_settings("coral, waves")
    assert moving["layer"].split(", ") == [load_look(name).settings["layer"] for name in ("coral", "waves")]
    assert "shift_x" not in moving  # the camera is that of the first


def test_own_looks_and_mistakes(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text('kind = "dream"\n[settings]\nlayer = "block4"\nstep = "0.02"\n')
    still, moving = look_settings(str(file))
    assert (still, moving) == ({"layer": "block4"}, {"layer": "block4", "step": "0.02"})
    for text, reason in (
        ('[settings]\nlayr = "block4"', "unknown setting 'layr'; did you mean layer"),
        ('name = "x"\n[settings]\nlayer = "block4"', "unknown key 'name'; known: kind, title, settings"),
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
