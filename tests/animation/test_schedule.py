"""Schedules hold, interpolate and evaluate as Deforum's do, and tell their mistakes with place and frame."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamfx.animation.easing import EASINGS, noise
from streamfx.animation.expression import FUNCTIONS
from streamfx.animation.schedule import Context, Schedule, parse_schedule
from streamfx.errors import StreamfxError

FILM = Context(last=120, fps=30, seed=3)
SONG = Context(
    last=120,
    music={"bass": np.linspace(0, 1, 121), "bpm": np.full(121, 120.0)},
    beats=np.arange(6.0, 121.0, 15.0),
)


def values(text, context=FILM, count=121):
    return parse_schedule(text).values(count, context)


@pytest.mark.parametrize("text", ["1.5", " 1.5 ", "0:(1.5)", "(+1.5)", "10:(1.5)", "0: 1.5,", "3:(1.5), 9:(1.5)", 1.5])
def test_one_number(text):
    np.testing.assert_array_equal(values(text), np.full(121, 1.5))


def test_constant_is_told():
    assert parse_schedule("0:(-1.5)").constant == -1.5
    assert parse_schedule(3).constant == 3
    assert parse_schedule("1+1").constant is None
    assert parse_schedule("0:(1), 9:(1)").constant is None


def test_the_sample_of_deforum():
    made = values("0:(1.0), 30:(1+0.02*sin(t/5)), max_f/2:(3)")
    t = np.arange(121)
    np.testing.assert_allclose(made[:31], 1 + 0.02 * np.sin(6) * t[:31] / 30)  # a straight line to the next key's value
    np.testing.assert_allclose(made[31:60], 1 + 0.02 * np.sin(t[31:60] / 5))
    np.testing.assert_array_equal(made[60:], 3)


def test_an_expression_is_no_number_to_draw_from():
    """As in Deforum: (1/2) is evaluated, and so stays until the next key."""
    np.testing.assert_allclose(values("0:(1/2), 10:(2)", count=12), [0.5] * 10 + [2, 2])


def test_commas_inside_parentheses_separate_no_keys():
    made = values("0:(where(t<10, min(t, 4, 9), -1)), 20:(clip(t, 0, 5))")
    np.testing.assert_array_equal(made[[0, 3, 9, 10, 19, 20]], [0, 3, 4, -1, -1, 5])


def test_the_first_key_holds_before_it():
    np.testing.assert_array_equal(values("10:(5), 20:(6)")[:11], 5)
    np.testing.assert_array_equal(values("10:(t)", count=12)[[0, 9, 10, 11]], [10, 10, 10, 11])


def test_keys_in_seconds_and_beats_and_expressions():
    np.testing.assert_array_equal(values("0:(0) hold, 2s:(1) hold, max_f-.5s:(2)")[[59, 60, 104, 105]], [0, 1, 1, 2])
    made = values("0b:(1) hold, 2b:(2) hold, 3.5b:(3)", SONG)
    np.testing.assert_array_equal(made[[0, 6, 35, 36, 58, 59]], [1, 1, 1, 2, 2, 3])  # at 36 and 58.5
    np.testing.assert_array_equal(values("0:(0) hold, bpm/2:(1) hold, s+100:(2)", SONG)[[59, 60, 100]], [0, 1, 2])


def test_music_is_a_variable():
    np.testing.assert_allclose(values("1+bass", SONG), 1 + np.arange(121) / 120)
    assert values("bass", SONG, count=200)[-1] == 1  # its last value stays
    assert parse_schedule("0:(bass*t), 4b:(s)").names == {"bass", "t", "beats", "s"}


@pytest.mark.parametrize("easing", EASINGS)
def test_easings(easing):
    made = values(f"0:(1) {easing}, 100:(3)")
    np.testing.assert_allclose(made[:100], 1 + 2 * EASINGS[easing](np.arange(100) / 100), atol=1e-12)
    np.testing.assert_array_equal(made[100:], 3)


def test_one_frame_is_as_all():
    schedule = parse_schedule("0:(1) smooth, 30:(1+bass*sin(t/5)), 3b:(3), max_f:(noise(t))")
    assert [schedule.at(frame, SONG) for frame in range(121)] == schedule.values(121, SONG).tolist()
    assert schedule.at(0.5, SONG) > schedule.at(0, SONG) or schedule.at(0.5, SONG) < schedule.at(0, SONG)


def test_seeds_differ():
    one, other = (parse_schedule("noise(t/9)").values(50, Context(49, seed=seed)) for seed in (1, 2))
    assert not np.allclose(one, other)


def test_schedules_are_values():
    text = "0:(1), 30:(2)"
    assert parse_schedule(text) == parse_schedule(text, "zoom") != parse_schedule("0:(1), 30:(3)")
    assert len({parse_schedule(text), parse_schedule(text)}) == 1
    assert str(parse_schedule(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "zoom is empty"),
        (" \n", "zoom is empty"),
        ("0:(1), 30:(2), 20:(3)", "character 16, at '20:.*frame 20, must come behind the one before it, at 30"),
        ("0:(1), 0:(2)", "must come behind"),
        ("0:(1), 30(2)", "character 10, .*expected ':'"),
        ("0:(1) 30:(2)", "character 7, .*expected ',' or the end"),
        ("0:(1);", "expected ','"),
        ("1.5, 30:(2)", "character 4, .*keys as in"),
        ("0:(1.0, 30:(2)", r"character 7, .*expected '\)' for the '\(' of character 3"),
        ("0:(1.0", "character 3, .*not closed"),
        ("0:(1) eas_out, 9:(2)", "unknown easing 'eas_out'; did you mean ease_out"),
        ("0:(t) ease_out, 9:(2)", "this is an expression"),
        ("t:(1)", "'t' differs from frame to frame"),
        ("0:(1), 10*bass:(2)", "'bass' differs"),
        ("0:(basss)", "unknown variable 'basss'"),
        ("0:", "something is missing"),
        (float("nan"), "unknown variable 'nan'"),
        ("1" * 1_000_001, "too many"),
    ],
)
def test_mistakes_are_found_before_the_first_frame(text, reason):
    with pytest.raises(StreamfxError, match=reason) as caught:
        parse_schedule(text, "zoom")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("zoom")


@pytest.mark.parametrize(
    ("text", "context", "reason"),
    [
        ("0:(bass)", FILM, "character 4, .*'bass' needs a song"),
        ("0:(1), 4b:(2)", FILM, "counting in beats needs a song"),
        ("0:(mid)", SONG, "'mid' is not known of this song"),
        ("0:(1), 4b:(2)", Context(9, music=SONG.music), "no beats"),
        ("0:(1), max_f/2:(2), 50:(3)", FILM, "character 21, .*frame 50, must come behind the one before it, at 60"),
        ("0:(1), 1/(s-3):(2)", FILM, "character 9, .*division by zero"),
    ],
)
def test_what_a_film_lacks_is_found_by_check(text, context, reason):
    with pytest.raises(StreamfxError, match=reason):
        parse_schedule(text).check(context)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0:(1), 10:(1/(t-15))", "character 13, at '/.*': division by zero at frame 15"),
        ("sqrt(40-t)", "character 1, .*not a number at frame 41"),
        ("0:(1), 10:(10**(t*10))", "character 14, .*too large a number at frame 31"),
        ("0:(1), 60:(1/(t-60))", "division by zero at frame 60"),  # already the way there leads to it
    ],
)
def test_frames_without_a_value_are_named(text, reason):
    with pytest.raises(StreamfxError, match=reason):
        values(text)


def test_a_branch_that_is_not_taken_may_divide_by_zero():
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
def test_any_text_is_a_schedule_or_a_told_mistake(text):
    for context in (FILM, SONG):
        try:
            schedule = parse_schedule(text)
            made = schedule.values(121, context)
        except StreamfxError as error:
            told = str(error)
            assert told.isprintable(), told
            continue
        assert isinstance(schedule, Schedule)
        assert np.isfinite(made).all()
        assert parse_schedule(str(schedule)) == schedule
        assert schedule.at(60, context) == made[60]


keyframes = st.dictionaries(st.integers(0, 150), st.floats(-1e6, 1e6), min_size=1, max_size=8)


@given(keyframes, st.data())
def test_equals_a_naive_reference_on_any_keyframes(keys, data):
    space = data.draw(st.sampled_from(["", " ", "\n  "]))
    text = ",".join(f"{space}{frame}{space}:{space}({value!r})" for frame, value in sorted(keys.items()))
    wanted = []
    for t in range(121):
        before = [frame for frame in keys if frame <= t]
        behind = [frame for frame in keys if frame > t]
        if not before or not behind:
            wanted.append(keys[max(before) if before else min(behind)])
            continue
        (a, b) = max(before), min(behind)
        wanted.append(keys[a] + (keys[b] - keys[a]) * (t - a) / (b - a))
    np.testing.assert_allclose(values(text), wanted, rtol=1e-9, atol=1e-6)


def test_a_key_for_each_frame_is_quick_enough():
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
def test_nothing_but_numbers_can_be_reached(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StreamfxError, match=r"zoom, character \d+"):
        parse_schedule(text, "zoom")
    assert list(tmp_path.iterdir()) == []


def test_every_function_takes_and_gives_numbers_alone():
    """What schedules can call is arithmetic: nothing of numpy that reads, writes or keeps anything."""
    for fewest, most, function in FUNCTIONS.values():
        given = [np.array([0.5, 0.25])] * min(most, fewest + 1)
        with np.errstate(all="ignore"):
            made = function(np.array([1.0]), *given) if function is noise else function(*given[:fewest])
        assert made.dtype == np.float64
        assert np.shape(made) == (2,)
