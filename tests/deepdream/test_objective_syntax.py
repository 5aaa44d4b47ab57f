"""Objective syntax."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.deepdream.objective_syntax import Part, check_channels, parse_objective
from streamfx.errors import StreamfxError

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}([./][a-z0-9_]{1,4}){0,2}", fullmatch=True)
SHARES = st.decimals("0.001", 99, places=3).map(float)
PARTS = st.builds(
    lambda layer, channel, share, sign: Part(layer, channel, share * sign),
    NAMES,
    st.none() | st.integers(0, 4000),
    SHARES,
    st.sampled_from([1, -1]),
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("block10", [Part("block10")]),
        (" mixed4a : 83 ", [Part("mixed4a", 83)]),
        ("a+b", [Part("a"), Part("b")]),
        ("0.7*mixed4c + 0.3*mixed5a:3", [Part("mixed4c", None, 0.7), Part("mixed5a", 3, 0.3)]),
        ("-a - .5 * b:1", [Part("a", None, -1), Part("b", 1, -0.5)]),
        ("features.28-conv2d0_pre_relu/conv", [Part("features.28"), Part("conv2d0_pre_relu/conv", None, -1)]),
    ],
)
def test_valid_objectives(text, parts):
    assert list(parse_objective(text)) == parts


@given(st.lists(PARTS, min_size=1, max_size=5))
def test_all_terms_are_parsed(parts):
    text = "".join(f"{part.share:+.3f} * {part}" for part in parts)
    assert list(parse_objective(text)) == parts


@given(st.text("ab1:*+-. 0", max_size=12))
def test_any_text_parses_or_gives_a_one_line_error(text):
    message = ""
    try:
        assert parse_objective(text)
    except StreamfxError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "a+", "a b", "*a", "a:x", "a:-1", "1", "0.5 a", "a::1", "a,b", "ä", "+-a"])
def test_syntax_errors(text):
    with pytest.raises(StreamfxError, match="syntax error"):
        parse_objective(text)


def test_shares_must_not_all_be_zero():
    with pytest.raises(StreamfxError, match="all shares are 0"):
        parse_objective("0*a - 0*b")


def test_layers_and_channels_are_checked():
    known = {"block1": 24, "block10": 112, "deep": None}
    check_channels([Part("block1", 23), Part("deep", 9999)], known, "net")
    with pytest.raises(StreamfxError, match=r"'block1:24': block1 of net has channels 0 to 23"):
        check_channels([Part("block1", 24)], known, "net")
    with pytest.raises(StreamfxError, match="unknown layer of net 'blok1'; did you mean block1"):
        check_channels([Part("blok1")], known, "net")
