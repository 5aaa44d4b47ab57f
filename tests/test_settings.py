"""Settings: ranges, help, parsing, command-line options and messages come from one declaration."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

import pytest
import typer
from annotated_types import Ge, Le
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Doc

from streamfx.cli import app
from streamfx.effects import EFFECTS
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.settings import SCHEDULABLE, check, settings


@dataclass(frozen=True)
class Sample:
    mode: Annotated[Literal["a", "b"], Doc("One of two")]
    share: Annotated[float, Ge(0), Le(1), Doc("A share")] = 0.5
    count: Annotated[int, Ge(1), Le(9), SCHEDULABLE, Doc("A count")] = 3
    fixed: Annotated[int, Doc("A whole number")] = 3
    on: bool = False
    name: str = ""
    start: Annotated[Fraction, Ge(0), Le(10)] = Fraction(0)

    def __post_init__(self):
        check(self)


def test_declarations_are_read():
    mode, share, count, fixed, *_ = settings(Sample)
    assert (mode.required, mode.choices, mode.range, mode.help) == (True, ("a", "b"), "a, b", "One of two")
    assert (share.type, share.default, share.low, share.high, share.range) == (float, 0.5, 0, 1, "0..1")
    assert [s.name for s in settings(Sample) if s.schedulable] == ["share", "count"]
    assert (count.range, fixed.range) == ("1..9", "")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "c"}, "unknown mode of sample 'c'; known: a, b"),
        ({"share": 2}, "sample: share is 2, but must be a number from 0 to 1"),
        ({"share": True}, "sample: share is True, but must be a number from 0 to 1"),
        ({"share": float("nan")}, "sample: share is nan, but must be a number from 0 to 1"),
        ({"count": 2.5}, "sample: count is 2.5, but must be a whole number from 1 to 9"),
        ({"fixed": "x"}, "sample: fixed is 'x', but must be a whole number"),
        ({"on": 1}, "sample: on is 1, but must be true or false"),
        ({"name": None}, "sample: name is None, but must be text"),
        ({"start": Fraction(-1, 2)}, "sample: start is -1/2, but must be a fraction from 0 to 10"),
    ],
)
def test_messages_name_the_value_and_the_allowed_values(values, message):
    with pytest.raises(StreamfxError) as error:
        Sample(**{"mode": "a", **values})
    assert str(error.value) == message


@given(st.floats(0, 1), st.integers(1, 9), st.booleans(), st.text(), st.fractions(0, 10))
def test_values_survive_a_round_trip_through_text(share, count, on, name, start):
    values = {"mode": "b", "share": share, "count": count, "on": on, "name": name, "start": start}
    by_name = {setting.name: setting for setting in settings(Sample)}
    assert {key: by_name[key].read("sample", str(value)) for key, value in values.items()} == values
    Sample(**values)


@given(st.text())
def test_any_text_is_a_value_or_an_error(text):
    for setting in settings(Sample):
        with suppress(StreamfxError):  # nothing else may be raised
            setting.read("sample", text)


@pytest.mark.parametrize("name", EFFECTS)
def test_every_setting_has_help_and_numbers_have_ranges(name):
    for setting in settings(EFFECTS[name]):
        assert setting.help
        assert not setting.help.endswith(".")
        if setting.type in (int, float):
            assert setting.range
            assert setting.low <= setting.default <= setting.high


def test_command_line_options_match_the_settings():
    options = {parameter.name: parameter for parameter in typer.main.get_command(app).commands["style"].params}
    for setting in settings(Style):
        if setting.name not in ("preset", "mask_start", "mask_rate"):
            option = options[setting.name]
            assert option.default == setting.default
            assert option.help.startswith(setting.help)
            if setting.type in (int, float):
                assert f"{setting.low:g}..{setting.high:g}" in option.help
