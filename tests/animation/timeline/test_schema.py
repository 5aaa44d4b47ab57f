"""The schema of timelines: ranges of numbers, schedules in place of numbers, and unknown keys."""

from typing import get_args

import pytest
from pydantic import ValidationError

from streamfx.animation.timeline.schema import (
    ASCENT_RANGES,
    CAMERA_KEYS,
    KINDS,
    RENAMED,
    AscentTable,
    Camera,
    Clear,
    Document,
    DreamSection,
    Fade,
    Guide,
    MergeSection,
    Picture,
    Ring,
    StillSection,
)

DREAM = {"name": "one", "start": "begin"}
MERGE = {"name": "join", "kind": "merge", "of": ["one", "two"], "layer": "block1"}
DOCUMENT = {"kind": "timeline", "section": [DREAM]}


def dream(**keys):
    return DreamSection.model_validate(DREAM | keys)


def error_of(model, values):
    with pytest.raises(ValidationError) as error:
        model.model_validate(values)
    return error.value.errors()[0]


@pytest.mark.parametrize("key", [key for key in ASCENT_RANGES if key != "smooth"])  # which is checked per frame
def test_plain_numbers_have_the_range_of_schedules(key):
    low, high = ASCENT_RANGES[key]
    for value in (low, high):
        assert getattr(dream(**{key: value}), key) == value
    step = 0.01 if key == "octave_scale" else 1
    for value in (low - step, high + step):
        assert error_of(DreamSection, DREAM | {key: value})["loc"][:1] == (key,)
    assert getattr(dream(**{key: "0:(1), 9:(2)"}), key) == "0:(1), 9:(2)"


@pytest.mark.parametrize("key", [*CAMERA_KEYS, "smooth", "step", "hold", "soften", "view"])
def test_numbers_may_be_schedules(key):
    for value in (0, 0.5, "1 + t"):
        stored = getattr(dream(**{key: value}), key)
        assert (stored, type(stored)) == (value, type(value))
    for value in (True, [1], None):
        error_of(DreamSection, DREAM | {key: value})


@pytest.mark.parametrize("value", [10, "4s", "max_f/2"])
def test_positions_are_frames_or_texts(value):
    section = DreamSection.model_validate(DREAM | {"from": value, "to": value, "length": value})
    assert (section.start_at, section.end_at, section.length) == (value, value, value)
    for invalid in (1.5, True):
        error_of(DreamSection, DREAM | {"to": invalid})


def test_only_the_names_in_files_are_documented_but_both_are_accepted():
    assert DreamSection.model_validate(DREAM | {"start_at": 3}).start_at == 3
    assert DreamSection.model_fields["start_at"].alias == "from"
    assert DreamSection.model_fields["end_at"].alias == "to"


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Camera, {}),
        (AscentTable, {}),
        (Picture, {"file": "a.png"}),
        (Guide, {"pictures": ["a"]}),
        (Ring, {"at": 0}),
        (Clear, {"at": 0}),
        (Fade, {"to": "black", "share": 1}),
        (DreamSection, DREAM),
        (StillSection, {"name": "one", "kind": "still", "picture": "a"}),
        (MergeSection, MERGE),
        (Document, DOCUMENT),
    ],
)
def test_tables_reject_unknown_keys_and_cannot_be_changed(model, values):
    table = model.model_validate(values)
    assert error_of(model, values | {"zooom": 1})["type"] == "extra_forbidden"
    with pytest.raises(ValidationError, match="frozen"):
        setattr(table, next(iter(model.model_fields)), 1)
    for key, field in model.model_fields.items():
        if field.is_required():
            missing = error_of(model, {name: value for name, value in values.items() if name != key})
            assert (missing["type"], missing["loc"]) == ("missing", (key,))


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (DreamSection, DREAM | {"name": ""}),
        (DreamSection, DREAM | {"name": "n" * 101}),
        (DreamSection, DREAM | {"direction": "up"}),
        (DreamSection, DREAM | {"border": "black"}),
        (DreamSection, DREAM | {"octave_scale": float("nan")}),
        (Guide, {"pictures": []}),
        (Ring, {"at": 0, "radius": [1]}),
        (Ring, {"at": 0, "radius": [1, 2, 3]}),
        (MergeSection, MERGE | {"of": ["one"]}),
        (MergeSection, MERGE | {"passes": []}),
        (MergeSection, MERGE | {"passes": [1.01]}),
        (MergeSection, MERGE | {"passes": [float("nan")]}),
        (MergeSection, MERGE | {"layer": ""}),
        (Document, DOCUMENT | {"size": [31, 64]}),
        (Document, DOCUMENT | {"size": [64.5, 64]}),
        (Document, DOCUMENT | {"fps": 0}),
        (Document, DOCUMENT | {"fps": 29.97}),
        (Document, DOCUMENT | {"margin": -1}),
        (Document, DOCUMENT | {"bar": 0}),
        (Document, DOCUMENT | {"section": []}),
        (Document, DOCUMENT | {"pictures": {"a": {"layer": "block1"}}}),
    ],
)
def test_invalid_values_are_errors(model, values):
    error_of(model, values)


def test_limits_are_valid():
    document = Document.model_validate(DOCUMENT | {"size": [32, 16384], "fps": 1000, "margin": 0, "bar": 32})
    assert (document.size, document.fps, document.margin, document.bar) == ((32, 16384), 1000, 0, 32)
    assert MergeSection.model_validate(MERGE | {"passes": [1, 0.0]}).passes == (1, 0)


def test_pictures_with_a_layer_have_more_steps_by_default():
    assert Picture(file="a.png").steps > AscentTable().steps
    assert MergeSection.model_validate(MERGE).steps == 2


def test_kinds_and_renamed_keys_match_the_tables():
    for kind, model in KINDS.items():
        assert get_args(model.model_fields["kind"].annotation) == (kind,)
    assert DreamSection.model_validate(DREAM).kind == "dream"
    assert set(RENAMED.values()) <= Camera.model_fields.keys()
    assert not RENAMED.keys() & Camera.model_fields.keys()
    assert {*CAMERA_KEYS, "border"} == Camera.model_fields.keys()
    assert ASCENT_RANGES.keys() == AscentTable.model_fields.keys() - {"step"}
