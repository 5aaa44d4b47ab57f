"""The parser of schedules: precedence, units, the end of an expression, and the position in errors."""

import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamfx.animation.parser import Parser, error_at
from streamfx.errors import ParseError, StreamfxError

T = np.arange(0.0, 40.0)
VARIABLES = {"t": T, "max_f": np.array([39.0]), "s": np.array([3.0]), "fps": np.array([30.0])}


def parsed(text):
    """The operations of a whole text: numbers, names, and functions with their arity."""
    parser = Parser(text, "zoom")
    expression = parser.expression()
    assert not parser.token
    return [op.value if op.kind != "call" else (op.value, op.arity) for op in expression.ops]


def evaluate(text):
    with np.errstate(all="ignore"):
        return np.broadcast_to(Parser(text, "zoom").expression().evaluate(VARIABLES), T.shape)


def call(name, arity=2):
    return name, arity


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1 + 2*3", "1 + (2*3)"),
        ("9 - 3 - 2", "(9 - 3) - 2"),
        ("8/4/2", "(8/4)/2"),
        ("7 % 4 // 2", "(7 % 4) // 2"),
        ("2**3**2", "2**(3**2)"),
        ("-t**2", "-(t**2)"),
        ("2**-t", "2**(-t)"),
        ("~t**2", "~(t**2)"),
        ("~t == 1", "(~t) == 1"),
        ("not t == 1", "~(t == 1)"),
        ("1 + t < 2*s", "(1 + t) < (2*s)"),
        ("t < 1 and s < 2 or fps < 3", "((t < 1) and (s < 2)) or (fps < 3)"),
        ("t < 1 & s < 2 | fps < 3", "((t < 1) & (s < 2)) | (fps < 3)"),
        ("t && s || !fps", "(t and s) or ~fps"),
        ("not not t", "~(~t)"),
        ("+t", "t"),
        ("4s", "4*fps"),
    ],
)
def test_precedence(text, same):
    assert parsed(text) == parsed(same)


def test_operations_are_in_postfix_order():
    assert parsed("where(t < 3, -t, 2*max(1, s, 4))") == [
        *("t", 3.0, call("<"), "t", call("negative", 1)),
        *(2.0, 1.0, "s", 4.0, call("max", 3), call("*"), call("where", 3)),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("-2.5", -2.5), ("--2", 2), ("+.5", 0.5), ("3.", 3), ("1e3", 1000), ("2E-2", 0.02), ("-(3)", -3), ("007", 7)],
)
def test_plain_numbers_with_signs_are_one_operation(text, value):
    assert parsed(text) == [value]
    assert Parser(text, "zoom").expression().number == value


def test_units_bind_to_the_number_only():
    assert parsed("2**3s") == [2.0, 3.0, "fps", call("*"), call("**")]
    assert parsed("8b") == [8.0, call("beats", 1)]
    for text in ("4sin", "4bass", "4s2"):
        parser = Parser(text, "zoom")
        parser.expression()
        assert parser.token == text[1:]  # a name, not a unit


def test_an_expression_ends_where_it_cannot_continue():
    parser = Parser("t + 1 : (2), hold", "zoom")
    parser.expression()
    assert (parser.token, parser.offset) == (":", 6)
    assert parser.take(",", ";") is None
    assert parser.take(":") == ":"
    assert parser.word() is None
    parser.expression()
    assert parser.take(",") == ","
    assert parser.word() == "hold"
    assert parser.token == ""
    assert parser.word() is None


def test_numbers_are_not_signs():
    parser = Parser("5", "zoom")
    assert parser.take("5") is None
    assert parser.number == "5"


@pytest.mark.parametrize("text", ["(" * 40 + "t" + ")" * 40, "-" * 40 + "t", "2" + "**2" * 40, "+".join("1" * 1000)])
def test_limits_are_inclusive(text):
    parsed(text)


def test_depth_counts_what_is_open_only():
    assert len(parsed("+".join(["(((t)))"] * 300))) == 599


def test_each_expression_of_a_text_may_have_the_largest_size():
    parser = Parser(",".join(["+".join("1" * 1000)] * 3), "zoom")
    for _ in range(3):
        assert len(parser.expression().ops) == 1999
        parser.take(",")
    assert parser.token == ""


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("1 + bad", 4, "zoom, character 5, at 'bad': no"),
        ("a\nb\x00c" + "d" * 50, 1, "zoom, character 2, at ' b c" + "d" * 16 + "': no"),
        ("1 +", 3, "zoom, character 4, at the end: no"),
        ("", 0, "zoom, character 1, at the end: no"),
    ],
)
def test_errors_quote_the_text_at_their_offset(text, offset, message):
    error = error_at(text, "zoom", "no", offset)
    assert (str(error), error.text, error.offset) == (message, text, offset)


@given(st.text("0123456789.esb+-*/%()<>=!&|~,: twherminax\n", max_size=40) | st.text(max_size=20))
@example("where(" * 50)
@example("not " * 50)
@example("2**" * 50 + "2")
@example("1e400")
def test_any_text_gives_an_expression_or_a_one_line_error(text):
    try:
        parser = Parser(text, "zoom")
        expression = parser.expression()
    except ParseError as error:
        parser, expression, message, offset = None, None, str(error), error.offset
    if parser is None:
        assert "\n" not in message
        assert 0 <= offset <= len(text)
        return
    depth = 0
    for op in expression.ops:
        depth += 1 - op.arity
        assert depth >= 1  # no operation lacks operands
    assert depth == 1
    assert all(0 <= op.offset < len(text) for op in expression.ops)
    assert parser.offset <= len(text)


@given(st.lists(st.sampled_from(["t", "1.5", "+", "-", "*", "(", ")", "<", "and", "not", "4s", "~"]), max_size=20))
def test_spaces_do_not_matter(tokens):
    results = []
    for space in (" ", "\n  ", "\t"):
        try:
            results.append(parsed(space.join(tokens)))
        except (StreamfxError, AssertionError) as error:
            results.append(type(error))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sinn(t)", "character 1, at 'sinn.*': unknown function 'sinn'; did you mean sin"),
        ("1 + bas", "character 5, at 'bas': unknown variable 'bas'; did you mean bass"),
        ("(1 + 2", r"character 1, at '\(1 \+ 2': this parenthesis is not closed"),
        ("sin((t)", "character 4, .*not closed"),
        ("(1 2)", r"character 4, at '2\)': expected '\)' to match the '\(' at character 1"),
        ("1 +", "at the end: incomplete expression"),
        ("", "at the end: incomplete expression"),
        ("*3", "character 1, .*expected a number"),
        ("(t^2)", r"character 3, .*write \*\* for powers"),
        ("(t=2)", "character 3, .*write == to compare"),
        ("1 < t < 3", r"write \(a < b\) & \(b < c\)"),
        ("sin", r"sin is a function; write sin\(...\)"),
        ("t(3)", "t is not a function"),
        ("lerp(1, 2)", "lerp takes 3 arguments, not 2"),
        ("noise()", "noise takes 1 or 2 arguments, not 0"),
        ("max(1)", "max takes 2 or more arguments, not 1"),
        ("sin(1, 2)", "sin takes 1 argument, not 2"),
        ("1e999", "number too large"),
        ("(" * 41 + "1" + ")" * 41, "more than 40 levels"),
        ("-" * 5000 + "1", "more than 40 levels"),
        ("+".join("1" * 2000), "has 3999 operations; use at most 2000"),
        ("__import__('os').system('ls')", "unknown function '__import__'"),
        ("(t.__class__)", r"character 3, at '\.__class__\)'"),
        ("'a'*9", "character 1"),
        ("lambda: 1", "unknown variable 'lambda'"),
        ("[1][0]", "character 1"),
        ("\u0663 + \uff54", "character 1"),  # digits and letters outside ASCII
        ("(1\n2)", "zoom, character 4"),
    ],
)
def test_errors_state_their_position(text, reason):
    with pytest.raises(StreamfxError, match=reason) as caught:
        Parser(text, "zoom").expression()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("zoom, character ")


def test_huge_expressions_are_fast():
    start = time.perf_counter()
    for text in ("9**9**9**9", "(9**9)**(9**9)", "2**" * 30 + "2", "9" * 5000 + "%7" * 300):
        try:
            evaluate(text)
        except StreamfxError:
            continue
    assert time.perf_counter() - start < 1
