"""Schedules hold, interpolate and evaluate like Deforum's; errors state the position and the frame."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamfx.animation.context import Context
from streamfx.animation.easing import EASINGS, noise
from streamfx.animation.expression import FUNCTIONS
from streamfx.animation.schedule import Schedule, parse_schedule
from streamfx.errors import StreamfxError

NO_AUDIO = Context(last=120, fps=30, seed=3)
WITH_AUDIO = Context(
    last=120,
    audio={"bass": np.linspace(0, 1, 121), "bpm": np.full(121, 120.0)},
    beats=np.arange(6.0, 121.0, 15.0),
)


def values(text, context=NO_AUDIO, count=121):
    return parse_schedule(text).values(count, context)


@pytest.mark.parametrize("text", ["1.5", " 1.5 ", "0:(1.5)", "(+1.5)", "10:(1.5)", "0: 1.5,", "3:(1.5), 9:(1.5)", 1.5])
def test_a_number_is_constant(text):
    np.testing.assert_array_equal(values(text), np.full(121, 1.5))


def test_constant_is_none_unless_a_single_number():
    assert parse_schedule("0:(-1.5)").constant == -1.5
    assert parse_schedule(3).constant == 3
    assert parse_schedule("1+1").constant is None
    assert parse_schedule("0:(1), 9:(1)").constant is None


def test_example_from_deforum():
    result = values("0:(1.0), 30:(1+0.02*sin(t/5)), max_f/2:(3)")
    t = np.arange(121)
    np.testing.assert_allclose(result[:31], 1 + 0.02 * np.sin(6) * t[:31] / 30)  # linear to the next key's value
    np.testing.assert_allclose(result[31:60], 1 + 0.02 * np.sin(t[31:60] / 5))
    np.testing.assert_array_equal(result[60:], 3)


def test_constant_expressions_are_not_interpolated():
    """As in Deforum, (1/2) is an expression, which holds until the next key."""
    np.testing.assert_allclose(values("0:(1/2), 10:(2)", count=12), [0.5] * 10 + [2, 2])


def test_commas_inside_parentheses_do_not_separate_keys():
    result = values("0:(where(t<10, min(t, 4, 9), -1)), 20:(clip(t, 0, 5))")
    np.testing.assert_array_equal(result[[0, 3, 9, 10, 19, 20]], [0, 3, 4, -1, -1, 5])


def test_keys_may_be_in_any_order_repeated_and_quoted():
    """As in Deforum, which reads the keys into a dictionary of frames."""
    expected = values("0:(0), 30:(5), 90:(-1)")
    np.testing.assert_array_equal(values("90:(-1), 0:(0), 30:(5)"), expected)
    np.testing.assert_array_equal(values("30:(7), 0:(0), 30:(5), 90:(-1)"), expected)
    np.testing.assert_array_equal(values("""'0':(0), "30":(5), "max_f-30":(-1)"""), expected)
    np.testing.assert_array_equal(values("max_f-30:(-1), 0:(3), 30:(5), 0:(0)"), expected)
    assert values('0:(1), "max_f-2":(-1)')[118] == -1


def test_the_first_key_applies_to_earlier_frames():
    np.testing.assert_array_equal(values("10:(5), 20:(6)")[:11], 5)
    np.testing.assert_array_equal(values("10:(t)", count=12)[[0, 9, 10, 11]], [10, 10, 10, 11])


def test_keys_may_be_seconds_beats_or_expressions():
    np.testing.assert_array_equal(values("0:(0) hold, 2s:(1) hold, max_f-.5s:(2)")[[59, 60, 104, 105]], [0, 1, 1, 2])
    result = values("0b:(1) hold, 2b:(2) hold, 3.5b:(3)", WITH_AUDIO)
    np.testing.assert_array_equal(result[[0, 6, 35, 36, 58, 59]], [1, 1, 1, 2, 2, 3])  # at 36 and 58.5
    np.testing.assert_array_equal(values("0:(0) hold, bpm/2:(1) hold, s+100:(2)", WITH_AUDIO)[[59, 60, 100]], [0, 1, 2])


def test_audio_variables():
    np.testing.assert_allclose(values("1+bass", WITH_AUDIO), 1 + np.arange(121) / 120)
    assert values("bass", WITH_AUDIO, count=200)[-1] == 1  # the last value is held
    assert parse_schedule("0:(bass*t), 4b:(s)").names == {"bass", "t", "beats", "s"}


@pytest.mark.parametrize("easing", EASINGS)
def test_easings_between_keys(easing):
    result = values(f"0:(1) {easing}, 100:(3)")
    np.testing.assert_allclose(result[:100], 1 + 2 * EASINGS[easing](np.arange(100) / 100), atol=1e-12)
    np.testing.assert_array_equal(result[100:], 3)


def test_at_equals_values():
    schedule = parse_schedule("0:(1) smooth, 30:(1+bass*sin(t/5)), 3b:(3), max_f:(noise(t))")
    assert [schedule.at(frame, WITH_AUDIO) for frame in range(121)] == schedule.values(121, WITH_AUDIO).tolist()
    assert schedule.at(0.5, WITH_AUDIO) > schedule.at(0, WITH_AUDIO) or schedule.at(0.5, WITH_AUDIO) < schedule.at(
        0, WITH_AUDIO
    )


def test_seeds_give_different_noise():
    one, other = (parse_schedule("noise(t/9)").values(50, Context(49, seed=seed)) for seed in (1, 2))
    assert not np.allclose(one, other)


def test_schedules_compare_and_hash_by_text():
    text = "0:(1), 30:(2)"
    assert parse_schedule(text) == parse_schedule(text, "zoom") != parse_schedule("0:(1), 30:(3)")
    assert len({parse_schedule(text), parse_schedule(text)}) == 1
    assert str(parse_schedule(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "zoom is empty"),
        (" \n", "zoom is empty"),
        ('0:(1), "9:(2)', "this quote is not closed"),
        ("0:(1), 30(2)", "character 10, .*expected ':'"),
        ("0:(1) 30:(2)", "character 7, .*expected ',' or the end"),
        ("0:(1);", "expected ','"),
        ("1.5, 30:(2)", "character 4, .*keys like"),
        ("0:(1.0, 30:(2)", r"character 7, .*expected '\)' to match the '\(' at character 3"),
        ("0:(1.0", "character 3, .*not closed"),
        ("0:(1) eas_out, 9:(2)", "unknown easing 'eas_out'; did you mean ease_out"),
        ("0:(t) ease_out, 9:(2)", "ease_out can follow a number only, not an expression"),
        ("t:(1)", "'t' changes from frame to frame"),
        ("0:(1), 10*bass:(2)", "'bass' changes"),
        ("0:(basss)", "unknown variable 'basss'"),
        ("0:", "incomplete expression"),
        (float("nan"), "unknown variable 'nan'"),
        ("1" * 1_000_001, "has 1000001 characters"),
    ],
)
def test_syntax_errors_are_raised_when_parsing(text, reason):
    with pytest.raises(StreamfxError, match=reason) as caught:
        parse_schedule(text, "zoom")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("zoom")


@pytest.mark.parametrize(
    ("text", "context", "reason"),
    [
        ("0:(bass)", NO_AUDIO, "character 4, .*'bass' needs audio"),
        ("0:(1), 4b:(2)", NO_AUDIO, "a position in beats needs audio"),
        ("0:(mid)", WITH_AUDIO, "the audio does not provide 'mid'"),
        ("0:(1), 4b:(2)", Context(9, audio=WITH_AUDIO.audio), "no beats"),
        ("0:(1), 1/(s-3):(2)", NO_AUDIO, "character 9, .*division by zero"),
    ],
)
def test_check_reports_missing_audio_and_invalid_keys(text, context, reason):
    with pytest.raises(StreamfxError, match=reason):
        parse_schedule(text).check(context)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0:(1), 10:(1/(t-15))", "character 13, at '/.*': division by zero at frame 15"),
        ("sqrt(40-t)", "character 1, .*not a number at frame 41"),
        ("0:(1), 10:(10**(t*10))", "character 14, .*number too large at frame 31"),
        ("0:(1), 60:(1/(t-60))", "division by zero at frame 60"),  # raised while interpolating toward it
    ],
)
def test_errors_name_the_frame_without_a_finite_value(text, reason):
    with pytest.raises(StreamfxError, match=reason):
        values(text)


def test_unused_branches_may_divide_by_zero():
    np.testing.assert_array_equal(values("where(t==5, 0, 1/(t-5))", count=8)[4:7], [-1, 0, 1])


words = [
    "0",
    "30",
    ":",
    "(",
    ")",
    ",",
    "1.5",
    "t",
    "max_f",
    "+",
    "-",
    "*",
    "/",
    "**",
    " ",
    "sin",
    "where",
    "bass",
    "4s",
]
words += ["8b", "ease_out", "hold", "<", "&", "not ", "\n", "noise", "'", ".", "e", "s", "x", "9**9", "^"]


@settings(max_examples=400)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(words), max_size=25).map("".join)))
@example("0:(1)\x00")
@example("0:(1)\u2028,")
@example("\ud800")
def test_any_text_is_a_schedule_or_a_one_line_error(text):
    for context in (NO_AUDIO, WITH_AUDIO):
        try:
            schedule = parse_schedule(text)
            result = schedule.values(121, context)
        except StreamfxError as error:
            message = str(error)
            assert message.isprintable(), message
            continue
        assert isinstance(schedule, Schedule)
        assert np.isfinite(result).all()
        assert parse_schedule(str(schedule)) == schedule
        assert schedule.at(60, context) == result[60]


keyframes = st.dictionaries(st.integers(0, 150), st.floats(-1e6, 1e6), min_size=1, max_size=8)


@given(keyframes, st.data())
def test_random_keyframes_equal_a_simple_reference(keys, data):
    space = data.draw(st.sampled_from(["", " ", "\n  "]))
    text = ",".join(f"{space}{frame}{space}:{space}({value!r})" for frame, value in sorted(keys.items()))
    expected = []
    for t in range(121):
        before = [frame for frame in keys if frame <= t]
        after = [frame for frame in keys if frame > t]
        if not before or not after:
            expected.append(keys[max(before) if before else min(after)])
            continue
        (a, b) = max(before), min(after)
        expected.append(keys[a] + (keys[b] - keys[a]) * (t - a) / (b - a))
    np.testing.assert_allclose(values(text), expected, rtol=1e-9, atol=1e-6)


def test_one_key_per_frame_is_fast_enough():
    text = ", ".join(f"{t}:({t % 7}.5)" for t in range(3000))
    np.testing.assert_allclose(values(text, count=3000), np.arange(3000) % 7 + 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch x')",
        "open('/etc/passwd')",
        "().__class__.__bases__[0].__subclasses__()",
        "t.__class__",
        "t.tofile(1)",
        "t.dtype",
        "sin.__globals__",
        "np.load(1)",
        "eval(1)",
        "exec(1)",
        "getattr(t, s)",
        "lambda: 1",
        "[t for t in t]",
        "t[0]",
        "{1: 2}",
        "f'{t}'",
        "'a' * 10",
        "(t := 1)",
        "`id`",
        "$HOME",
        "fromfile(1)",
        "memmap(1)",
        "0:(1), __class__:(2)",
        "0:(1) __class__, 9:(2)",
        "sin(t, out=t)",
        "sin(*t)",
        "t if t else s",
        "import os",
        "\uff4f\uff50\uff45\uff4e(1)",
    ],
)
def test_code_cannot_be_executed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StreamfxError, match=r"zoom, character \d+"):
        parse_schedule(text, "zoom")
    assert list(tmp_path.iterdir()) == []


def test_every_function_maps_arrays_to_float_arrays():
    """Schedules can call only arithmetic functions, none that reads, writes or keeps state."""
    for least, most, function in FUNCTIONS.values():
        arguments = [np.array([0.5, 0.25])] * min(most, least + 1)
        with np.errstate(all="ignore"):
            result = function(np.array([1.0]), *arguments) if function is noise else function(*arguments[:least])
        assert result.dtype == np.float64
        assert np.shape(result) == (2,)
