"""Expressions agree with Python and NumPy, and find their first failing operation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.expression import FUNCTIONS
from streamfx.animation.parser import Parser

T = np.arange(0.0, 40.0)
VARIABLES = {"t": T, "max_f": np.array([39.0]), "s": np.array([3.0]), "fps": np.array([30.0])}
NAMES = {name: getattr(np, name) for name in ("sin", "cos", "sqrt", "exp", "arctan2", "floor", "where", "clip")}


def evaluate(text):
    parser = Parser(text, "zoom")
    expression = parser.expression()
    assert not parser.token
    with np.errstate(all="ignore"):
        return np.broadcast_to(expression.evaluate(VARIABLES), T.shape)


@pytest.mark.parametrize(
    "text",
    [
        "1+2*3-4/5",
        "-2**2 + 2**-1 + 2**3**0.5",
        "- - t + + 3",
        "(t+1)*(t-1)%7//2",
        "1.02+0.02*sin(t/5)",
        "where(t<10, t, 2*max_f)",
        "where((t>5)&(t<=9)|(t==20), 1, -1)",
        "~(t>5)*1.0",
        "arctan2(sin(t), cos(t)) ",
        "clip(t, 3, max_f/2)",
        "(sqrt(t)\n+\texp(-t)) ",
        "floor(.5*t) + 1e-3 + 2.5E2 + 3.",
        "(t!=3)*1+(t>=s)-2*(t<s)",
    ],
)
def test_values_equal_python(text):
    expected = eval(text, {"__builtins__": {}}, {**VARIABLES, **NAMES})  # only the texts above
    np.testing.assert_allclose(evaluate(text), np.broadcast_to(expected, T.shape).astype(float), rtol=1e-12)


def test_logical_operators_units_and_constants():
    np.testing.assert_array_equal(evaluate("t > 3 and not t > 5 or t == 9"), (T > 3) & (T <= 5) | (T == 9))
    np.testing.assert_array_equal(evaluate("t > 3 & t < 6"), (T > 3) & (T < 6))
    np.testing.assert_array_equal(evaluate("4s + .5s"), np.full(40, 135.0))
    np.testing.assert_array_equal(evaluate("4*s"), np.full(40, 12.0))
    np.testing.assert_allclose(evaluate("sin(pi) + tau/pi + log(e)"), np.full(40, 3.0), atol=1e-12)


def test_additional_functions():
    np.testing.assert_allclose(evaluate("lerp(1, 3, t/40)"), 1 + T / 20)
    np.testing.assert_allclose(evaluate("ease_in_quad(t/40)"), (T / 40) ** 2)
    np.testing.assert_array_equal(evaluate("max(t, 5, 9)"), np.maximum(T, 9))
    assert np.abs(np.diff(evaluate("noise(t/10)"))).max() < 0.4
    assert not np.allclose(evaluate("noise(t/10)"), evaluate("noise(t/10, 1)"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_accepts_arrays(name):
    count = FUNCTIONS[name][0]
    first = "1.5" if name == "arccosh" else "0.5"  # not defined below 1
    values = evaluate(f"{name}({', '.join([first, '1+t/80', '3'][:count])})")
    assert values.dtype == np.float64
    assert np.isfinite(values).all()


def test_beats_are_converted_to_frames():
    variables = {"beats": np.array([10.0, 20.0, 30.0, 50.0])}
    for text, frame in [("0b", 10), ("2.5b", 40), ("3b", 50), ("4b", 50 + 40 / 3)]:
        assert Parser(text, "zoom").expression().evaluate(variables) == pytest.approx(frame)


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        ("1 + 2/(t-7)", "division by zero", 5),
        ("t % 0", "division by zero", 2),
        ("sqrt(t-8)", "not a number", 0),
        ("exp(80*(1+t))*exp(700)", "number too large", 13),
        ("9**9**9", "number too large", 1),
        ("0*log(t-t)", "number too large", 2),
    ],
)
def test_find_error_returns_the_first_failing_operation(text, reason, offset):
    variables = {**VARIABLES, "t": np.array([7.0])}
    expression = Parser(text, "zoom").expression()
    assert not np.isfinite(expression.evaluate(variables)).all()
    assert expression.find_error(variables) == (reason, offset)


numbers = st.floats(-100, 100).map(repr)
trees = st.recursive(
    numbers | st.sampled_from(["t", "s", "max_f"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "<", ">="]), inner).map(
            lambda parts: f"(1.0*({' '.join(parts)}))"
        ),
        inner.map(lambda operand: f"(-{operand})"),
        inner.map(lambda operand: f"sin({operand})"),
        st.tuples(inner, inner, inner).map(lambda operands: f"where({', '.join(operands)})"),
    ),
    max_leaves=12,
)


@given(trees)
def test_random_expressions_equal_python(text):
    with np.errstate(all="ignore"):
        scope = {"t": T, "s": np.full(40, 3.0), "max_f": np.full(40, 39.0), "sin": np.sin, "where": np.where}
        try:
            expected = eval(text, {"__builtins__": {}}, scope)
        except (ZeroDivisionError, TypeError):  # from Python's own numbers
            return
    np.testing.assert_allclose(evaluate(text), np.broadcast_to(expected, T.shape).astype(float), rtol=1e-9, atol=1e-9)
