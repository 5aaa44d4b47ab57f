"""Changes to chains as text, and where errors are."""

import pytest

from streamfx.chain import build_chain
from streamfx.errors import StreamfxError
from streamfx.studio import chain_edit
from streamfx.studio.chain_edit import find_problem, parts_of, search_filters


def test_parts():
    parts = parts_of("fps=24,scale=64:48,style=munch:detail=0.5,mirror")
    assert [(part.name, part.label) for part in parts] == [
        ("", "fps=24,scale=64:48"),
        ("style", "style · munch"),
        ("mirror", "mirror"),
    ]
    values = {setting.name: parts[1].value(setting) for setting in parts[1].settings}
    assert (values["preset"], values["detail"], values["strength"]) == ("munch", 0.5, 1.0)
    assert parts[0].settings == ()
    assert parts_of("") == []


def test_settings_are_changed():
    assert chain_edit.with_setting("hue=s=2,style=munch", 1, "detail", 0.5) == "hue=s=2,style=preset=munch:detail=0.5"
    with pytest.raises(StreamfxError, match="detail"):
        chain_edit.with_setting("style", 0, "detail", 2.0)


def test_a_new_value_replaces_a_schedule_and_keeps_the_others():
    chain = r"style='munch:detail=0\:(0), 9\:(1):strength=0\:(1), 9\:(0.5)'"
    parts = parts_of(chain)
    assert "9" in parts[0].value(next(setting for setting in parts[0].settings if setting.name == "detail"))
    changed = chain_edit.with_setting(chain, 0, "detail", 0.25)
    assert "detail=0.25" in changed
    assert dict(build_chain(changed)[0].schedules).keys() == {"strength"}


def test_parts_are_added_and_removed():
    chain = chain_edit.with_part("", "mirror")
    chain = chain_edit.with_part(chain, "hue")
    chain = chain_edit.with_part(chain, "trails")
    chain = chain_edit.with_part(chain, "vignette")
    assert chain == "mirror,hue,trails,vignette"
    assert chain_edit.without_part(chain, 2) == "mirror,hue,vignette"
    assert len(parts_of(chain_edit.without_part(chain, 2))) == 2  # the filters are joined
    assert chain_edit.without_part("mirror", 0) == ""
    with pytest.raises(StreamfxError):
        chain_edit.with_part("mirror", "no_such_filter")


def test_presets_are_chosen():
    assert chain_edit.with_preset("", "munch") == "style=munch"
    assert chain_edit.with_preset("hue=s=0", "munch") == "style=munch,hue=s=0"
    changed = chain_edit.with_preset("mirror,style=vangogh:detail=0.5", "munch")
    assert changed == "mirror,style=preset=munch:detail=0.5"
    assert chain_edit.find_style(changed)[0] == 1
    assert chain_edit.find_style("mirror") is None


@pytest.mark.parametrize(
    ("chain", "offset"), [("mirror,style=vangog:detail=2", 7), ("mirro", 0), ("mirror,lut3d=x", 7), ("hue=s=0,", 8)]
)
def test_problems_have_a_place(library, chain, offset):
    assert find_problem(chain, library).offset == offset


def test_valid_chains_have_no_problem(library):
    assert find_problem("mirror,hue=s=0", library) is None
    assert find_problem("", library) is None
    assert "outside" in find_problem("style=mask=/etc/hostname", library).message


def test_filters_are_searched_by_name_and_description():
    names = [name for name, _ in search_filters("blur")]
    assert names[:1] == [next(name for name in names if "blur" in name)]
    assert "gblur" in names
    assert [name for name, _ in search_filters("hue saturation")][:1]
    assert "movie" not in dict(search_filters("movie", 1000))
    assert all(text for _, text in search_filters("", 1000))
    assert len(search_filters("")) == 40
