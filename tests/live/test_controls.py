"""What may be changed during a run, and what is refused."""

import pytest

from streamfx.chain import build_chain
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.live.controls import Controls


@pytest.fixture
def controls():
    return Controls([Style()], 1.0)


def test_controls_are_the_numbers_of_the_effects(controls):
    assert sorted(controls.controls) == ["blend_share", "detail", "strength", "stroke"]
    numbers = {"blend_share": 0.5, "detail": 0.0, "strength": 1.0, "stroke": 1.0}
    assert controls.values() == numbers | {"preset": "vangogh", "fade": 1.0}
    strength = next(entry for entry in controls.describe() if entry["name"] == "strength")
    assert (strength["low"], strength["high"]) == (0.0, 1.0)


def test_changes_are_taken_once(controls):
    controls.change({"strength": 0.25, "fade": 3})
    controls.change({"detail": "0.5"})
    change = controls.take()
    assert change.numbers == {(0, "strength"): 0.25, (0, "detail"): 0.5}
    assert not change.preset
    assert change.fade == 3
    assert controls.take() is None
    assert controls.effects() == [Style(strength=0.25, detail=0.5)]


def test_preset_by_name_or_blend(controls):
    controls.change({"preset": "vangogh:0.6,munch:0.4"})
    assert controls.take().preset
    assert controls.values()["preset"] == "vangogh:0.6,munch:0.4"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"strength": 1.5}, "strength is 1.5, but must be a number from 0 to 1"),
        ({"strength": "loud"}, "must be a number"),
        ({"strength": float("nan")}, "must be a number"),
        ({"strength": True}, "must be a number"),
        ({"strength": None}, "must be a number"),
        ({"strenth": 0.5}, "did you mean strength"),
        ({"mask": "/etc/passwd"}, "unknown control 'mask'"),
        ({"preset": "/etc/passwd"}, "unknown preset"),
        ({"preset": "../other.toml"}, "name of a preset"),
        ({"preset": "vangogh:0.5,/tmp/mine.toml:0.5"}, "name of a preset"),
        ({"preset": 7}, "name of a preset"),
        ({"fade": -1}, "fade is -1"),
        ({"detail": 0.3, "strength": 9}, "strength is 9"),
    ],
)
def test_invalid_changes_change_nothing(controls, wanted, message):
    before = controls.values()
    with pytest.raises(StreamfxError, match=message):
        controls.change(wanted)
    assert controls.values() == before
    assert controls.take() is None


def test_names_in_a_chain_with_the_same_setting():
    controls = Controls(build_chain("hue=s=1.1,style=vangogh,trails=0.5,dream"), 1.0)
    assert "trails.decay" in controls.controls or "decay" in controls.controls
    names = [name for name in controls.controls if name.endswith("strength")]
    assert len(set(names)) == len(names)
    for name in controls.controls:
        control = controls.control(name)
        controls.change({name: control.at(0.5)})
        assert control.share(controls.values()[name]) == pytest.approx(0.5)


def test_two_effects_of_a_kind():
    controls = Controls(build_chain("trails=0.5,mirror,trails=0.7"), 1.0)
    first, second = sorted(name for name in controls.controls if name.startswith("trails"))
    controls.change({second: 0.9})
    assert controls.values()[second] == 0.9
    assert controls.values()[first] == 0.5


def test_a_changed_number_leaves_its_schedule():
    controls = Controls(build_chain(r"style=vangogh:strength='0\:(0), 50\:(1)'"), 1.0)
    controls.change({"strength": 0.75})
    (effect,) = controls.effects()
    assert effect.schedules == ()
    assert effect.strength == 0.75


def test_a_chain_without_a_style_has_no_preset():
    controls = Controls(build_chain("trails=0.5"), 1.0)
    assert controls.presets == []
    with pytest.raises(StreamfxError, match="unknown control 'preset'"):
        controls.change({"preset": "vangogh"})
