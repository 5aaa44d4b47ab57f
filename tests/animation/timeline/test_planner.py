"""Render plans: the frames, the order and the caches of the passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.timeline.planner import build_plan, rendered_frames, schedule_tracks
from streamfx.errors import StreamfxError


def test_sections_are_planned_in_order(load, two_sections):
    plan = build_plan(load(two_sections), None)
    assert plan.section_frames == (range(10), range(10, 25))
    assert plan.shown == ((0, range(10)), (1, range(10, 25)))
    assert [(work.kind, work.frames, work.shown) for work in plan.passes] == [
        ("dream", range(10), range(10)),
        ("dream", range(10, 25), range(10, 25)),
    ]
    assert (plan.units, plan.count) == (25, 25)
    assert [plan.find(unit)[1] for unit in (0, 9, 10, 24)] == [0, 9, 0, 14]
    assert load(two_sections).sections[0].octaves == 2
    assert schedule_tracks(plan)["zoom"][[0, 9, 10]].tolist() == [1, 1.09, 1]


def test_a_merge_joins_overlapping_sections(load, two_sections, merge_at):
    plan = build_plan(load(two_sections + merge_at(16)), None)
    assert plan.shown == ((0, range(10)), (1, range(10, 16)), (3, range(16, 22)), (2, range(22, 40)))
    passes = [(work.kind, work.round, work.frames) for work in plan.passes]
    forward, backward = range(16, 22), range(21, 15, -1)
    assert passes[:3] == [("dream", 0, range(10)), ("dream", 0, range(10, 25)), ("dream", 0, range(39, 15, -1))]
    assert passes[3:6] == [("forward", 1, forward), ("backward", 1, backward), ("forward", 2, forward)]
    assert passes[-3:] == [("backward", 7, backward), ("replay", 0, forward), ("replay", 0, range(22, 40))]
    assert plan.passes[1].shown == range(10, 16)
    assert plan.passes[1].cached == range(15, 23)
    assert plan.passes[2].cached == range(16, 40)


def test_one_section_is_planned_with_its_dependencies(load, two_sections):
    plan = build_plan(load(two_sections), None, only="two")
    assert [(work.section, len(work.shown)) for work in plan.passes] == [(0, 0), (1, 15)]
    assert (plan.first, plan.count) == (10, 15)


def test_a_section_rendered_before_it_is_shown_is_cached(load, two_sections):
    text = two_sections.replace('start = "begin"', 'start = "later"').replace(
        '"one"\nlength', '"one"\nfrom = 10\nlength'
    )
    text += '[[section]]\nname = "later"\nstart = "begin"\nfrom = 25\nto = 30\n'
    plan = build_plan(load(text), None)
    assert [(work.kind, work.section) for work in plan.passes] == [
        ("dream", 2),
        ("dream", 0),
        ("dream", 1),
        ("replay", 2),
    ]
    assert plan.passes[0].cached == range(25, 30)


def test_only_multiples_of_the_stride_are_rendered():
    assert list(rendered_frames(range(10, 25), 4)) == [12, 16, 20, 24]
    assert list(rendered_frames(range(3), 4)) == [0]


def test_backward_sections_cannot_be_looped(effect, section):
    with pytest.raises(StreamfxError, match=r"line \d+, section.1.: 'one' cannot be looped"):
        effect(section("one", direction='"backward"'), loop=True)


def test_every_unit_belongs_to_one_pass(load, two_sections, merge_at):
    plan = build_plan(load(two_sections + merge_at(16)), None)
    found = [plan.find(unit) for unit in range(plan.units)]
    assert found == [(work, index) for work in plan.passes for index in range(len(work.frames))]
    assert plan.ends[-1] == plan.units == len(found)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 40))
def test_rendered_frames_are_the_multiples_of_the_stride(start, count, stride):
    frames = rendered_frames(range(start, start + count), stride)
    assert list(frames) == [frame for frame in range(start, start + count) if frame % stride == 0]


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
def test_strides_divide_the_work_of_all_passes(stride, load, two_sections, merge_at):
    plan = build_plan(load(two_sections + merge_at(16)), None, stride=stride)
    whole = build_plan(load(two_sections + merge_at(16)), None)
    assert [(work.kind, work.section, work.round) for work in plan.passes] == [
        (work.kind, work.section, work.round) for work in whole.passes
    ]
    for work, complete in zip(plan.passes, whole.passes):
        assert list(work.frames) == [frame for frame in complete.frames if frame % stride == 0]
    assert plan.count == len(range(0, 40, stride))
    shown = [frame for work in plan.passes for frame in work.frames if frame in work.shown]
    assert shown == list(range(0, 40, stride))  # each once, in order


def test_replays_read_what_an_earlier_pass_has_written(load, two_sections, merge_at):
    plan = build_plan(load(two_sections + merge_at(16)), None, stride=3)
    replays = [work for work in plan.passes if work.kind == "replay"]
    assert [work.section for work in replays] == [3, 2]
    for replay in replays:
        writer = plan.writer_of(replay.cache)
        assert plan.passes.index(writer) < plan.passes.index(replay)
        assert set(replay.frames) <= {frame for frame in writer.frames if frame in writer.cached}


def test_other_merges_need_no_passes(load, two_sections, merge_at):
    plan = build_plan(load(two_sections + merge_at(16) + 'method = "fade"\n'), None)
    assert [work.kind for work in plan.passes] == ["dream", "dream", "dream", "blend", "replay"]
    assert plan.passes[3].shown == range(16, 22)
    assert plan.passes[1].cached == range(15, 23)


def test_sections_without_rendered_frames_are_skipped(plan_of, section):
    text = section("one", stop=5) + section("two", "one", 7) + section("three", "two", 12)
    plan = plan_of(text, stride=4)
    assert [(work.section, list(work.frames)) for work in plan.passes] == [(0, [0, 4]), (2, [8])]
    assert plan.start_of(plan.timeline.sections[2]) == "one"
    assert plan_of(text, stride=1).start_of(plan.timeline.sections[2]) == "two"
    from_picture = plan_of(text.replace('"one"\nto = 7', '"other"\nto = 7'), stride=4)
    assert from_picture.start_of(plan.timeline.sections[2]) == "other"


def test_a_loop_begins_with_frames_before_the_first(plan_of, section):
    text = section("one", stop=30) + section("two", "one", 90)
    preroll, *passes = plan_of(text, loop=True).passes
    assert (preroll.kind, preroll.section, preroll.cache) == ("preroll", 1, "loop")
    assert preroll.frames == range(89, 69, -1)  # a third of the last section
    assert preroll.cached == range(70, 90)
    assert passes == list(plan_of(text).passes)


@pytest.mark.parametrize(
    ("stop", "only", "reason"),
    [
        (3, "", "'video.toml' has no frames left to render; use more frames, or no --preview"),
        (9, "three", "unknown section 'three'; did you mean one|unknown section 'three'"),
    ],
)
def test_plans_without_frames_are_errors(stop, only, reason, plan_of, section):
    text = section("one", stop=1) + section("two", "one", stop)
    with pytest.raises(StreamfxError, match=reason):
        plan_of(text, stride=1 if only else 4, only=only or "two")


def test_loops_without_frames_at_the_end_are_errors(plan_of, section):
    with pytest.raises(StreamfxError, match=r"line \d+, section.2.: 'two' has no frames left to loop"):
        plan_of(section("one", stop=5) + section("two", "one", 7), stride=4, loop=True)


def test_circular_starts_are_errors_only_where_they_are_needed(plan_of, section):
    cycle = section("two", "three", 6) + section("three", "two", 8)
    with pytest.raises(StreamfxError, match=r"section.2..start: .*: two -> three -> two; start one of them from a"):
        plan_of(section("one") + cycle)
    assert plan_of(section("one") + cycle, only="one").count == 4


def test_schedule_tracks_cover_the_shown_frames(load, two_sections, merge_at):
    plan = build_plan(load(two_sections + merge_at(16) + "angle = 2\n"), None)
    tracks = schedule_tracks(plan)
    assert {len(track) for track in tracks.values()} == {40}
    assert tracks["angle"][15:23].tolist() == [0, 2, 2, 2, 2, 2, 2, 0]
    with pytest.raises(StreamfxError, match=r"section\[1\].zoom: zoom, .*division by zero at frame 3"):
        schedule_tracks(build_plan(load(two_sections.replace("1 + t/100", "1/(t - 3)")), None))
