"""Positions in time as frames, and which frames of each section are shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.audio_track import AudioAnalysis
from streamfx.animation.context import Context
from streamfx.animation.timeline.loader import load_timeline
from streamfx.animation.timeline.planner import build_plan
from streamfx.animation.timeline.timing import MAX_FRAMES, find_section_frames, find_shown_frames, frame_at
from streamfx.errors import StreamfxError

CURVE = np.zeros(1000)
SOUNDTRACK = AudioAnalysis(  # 100 s, with a beat every half second
    *(100.0, 10.0, np.arange(200) / 2, np.zeros(0), np.zeros(0), np.zeros(1)),
    *(CURVE, CURVE, CURVE, CURVE, CURVE, CURVE),
)
CONTEXT = SOUNDTRACK.context(30, 3000)


def test_positions_may_be_frames_times_beats_or_bars(load, two_sections):
    def stop(text, audio=None):
        changed = two_sections.replace("to = 10", f"to = {text}").replace('length = "0.5s"', "length = 2900")
        return build_plan(load(changed), audio).section_frames[0].stop

    assert [stop(text) for text in ("7", '"7"', '"2s"', '"0:02.5"', '"fps*3"')] == [7, 7, 60, 75, 90]
    assert [stop(text, SOUNDTRACK) for text in ('"4b"', '"2 bars"', '"1.5bars"', '"max_f/3"')] == [60, 120, 90, 1000]
    whole = two_sections.replace('length = "0.5s"\n', "")
    assert build_plan(load(whole), SOUNDTRACK).stop == 3000


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (18, "'join' joins frames 16 to 21, but 'back' has frames 18 to 39"),
        (30, "join"),
    ],
)
def test_merges_need_both_sections(first, reason, load, two_sections, merge_at):
    with pytest.raises(StreamfxError, match=reason):
        build_plan(load(two_sections + merge_at(first)), None)


@pytest.fixture(scope="module")
def timeline(tmp_path_factory):
    """A timeline of 30 frames per second and 4 beats in a bar."""
    file = tmp_path_factory.mktemp("timing") / "video.toml"
    file.write_text('kind = "timeline"\n[pictures]\na = "a.png"\n[[section]]\nname = "one"\nstart = "a"\nto = 9\n')
    return load_timeline(file)


def position_frame(timeline, position, context=CONTEXT):
    return frame_at(timeline, ("section", 0, "to"), position, context, audio=bool(context.audio))


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 999))
def test_clock_times_are_rounded_to_the_nearest_frame(timeline, minutes, seconds, milliseconds):
    frame = position_frame(timeline, f" {minutes}:{seconds:02}.{milliseconds:03} ")
    assert abs(frame - 30 * (60 * minutes + seconds + milliseconds / 1000)) <= 0.5 + 1e-6


@given(st.integers(0, 49))
def test_bars_are_as_long_as_their_beats(timeline, bars):
    assert position_frame(timeline, f"{bars} bars") == position_frame(timeline, f"{4 * bars}b") == 60 * bars
    assert position_frame(timeline, f"{bars}.5bar") == 60 * bars + 30


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        ("", "incomplete expression|expected a number"),
        ("5:(1), 9", "'5:\\(1\\), 9' is a schedule; give a single position"),
        ("0: (5)", "expected ',' or the end"),
        ("t", "'t' changes from frame to frame"),
        ("1:2:3", "character"),
        ("2 barss", "unknown variable|expected"),
        ("1/0", "division by zero"),
    ],
)
def test_invalid_positions_are_errors_with_their_line(position, reason, timeline):
    with pytest.raises(StreamfxError, match=reason) as error:
        position_frame(timeline, position)
    assert str(error.value).startswith("video.toml, line 7, section[1].to: ")


def test_beats_need_audio(timeline):
    for position in ("4b", "2 bars"):
        with pytest.raises(StreamfxError, match="--audio"):
            position_frame(timeline, position, Context(99))


def test_a_section_starts_where_the_previous_one_ends(plan_of, section):
    text = section("one", stop=7) + section("two", "one", "'1s'") + section("three", "two", 40)
    assert plan_of(text).section_frames == (range(7), range(7, 30), range(30, 40))
    with pytest.raises(StreamfxError, match="no section covers frames 7 to 19; start 'two' at frame 7, after 'one'"):
        plan_of(text.replace('start = "one"\n', 'start = "one"\nfrom = 20\n', 1))


@pytest.mark.parametrize(
    ("start", "stop", "valid"),
    [
        (0, 1, True),
        (0, MAX_FRAMES - 15, True),
        (0, MAX_FRAMES + 1, False),
        (-1, 5, False),
        (5, 5, False),
        (5, 4, False),
    ],
)
def test_limits_of_sections(start, stop, valid, load, two_sections):
    text = two_sections.replace("to = 10", f"from = {start}\nto = {stop}")
    if valid:
        assert find_section_frames(load(text), None)[0] == range(start, stop)
        return
    with pytest.raises(StreamfxError, match=f"'one' goes from frame {start} to {stop}; give at least one frame, below"):
        find_section_frames(load(text), None)


def test_the_first_section_starts_at_frame_0(load, two_sections):
    with pytest.raises(StreamfxError, match=r"no section covers frames 0 to 2; start 'one' at frame 0$"):
        build_plan(load(two_sections.replace("to = 10", "from = 3\nto = 10")), None)


def test_the_soundtrack_sets_the_end_of_the_last_section_only(load, two_sections):
    open_end = two_sections.replace('length = "0.5s"\n', "")
    assert find_section_frames(load(open_end), SOUNDTRACK) == [range(10), range(10, 3000)]
    with pytest.raises(StreamfxError, match=r"section\[1\]: give 'to' or 'length' in frames, seconds"):
        find_section_frames(load(open_end.replace("to = 10\n", "")), SOUNDTRACK)


def test_a_merge_replaces_the_overlap(load, two_sections, merge_at):
    timeline = load(two_sections + merge_at(12))
    ranges = find_section_frames(timeline, None)
    assert ranges == [range(10), range(10, 25), range(12, 40), range(16, 22)]
    shown = find_shown_frames(timeline, ranges)
    assert shown == [(0, range(10)), (1, range(10, 16)), (3, range(16, 22)), (2, range(22, 40))]


def test_merges_of_whole_sections_hide_them(load, two_sections, merge_at):
    text = two_sections.replace("0.5s", "6").replace("length", "from = 10\nlength")
    text = text.replace('length = "6"', "length = 10") + merge_at(10).replace(
        "from = 16\nto = 22", "from = 10\nto = 20"
    )
    timeline = load(text)
    shown = find_shown_frames(timeline, find_section_frames(timeline, None))
    assert shown == [(0, range(10)), (3, range(10, 20)), (2, range(20, 40))]


def test_merges_join_two_different_sections(load, two_sections, merge_at):
    text = two_sections + merge_at(16).replace('["two", "back"]', '["two", "two"]')
    with pytest.raises(StreamfxError, match=r"section\[4\].of: a merge must join two different sections"):
        build_plan(load(text), None)


def test_shown_frames_cover_the_video_once(load, two_sections, merge_at):
    timeline = load(two_sections + merge_at(16))
    shown = find_shown_frames(timeline, find_section_frames(timeline, None))
    assert [frame for _, frames in shown for frame in frames] == list(range(40))
