"""Timelines as lanes, and their errors."""

import pytest

from streamfx.studio.chain_edit import Problem
from streamfx.studio.lanes import read_lanes, save_text


def test_sections_are_blocks(timeline_file):
    lanes = read_lanes(timeline_file)
    assert (lanes.seconds, lanes.fps, lanes.audio) == (3.0, 10, "")
    assert [(block.name, block.lane, block.start, block.seconds) for block in lanes.blocks] == [
        ("title", "still", 0.0, 1.0),
        ("in", "dream", 1.0, 2.0),
    ]
    assert lanes.blocks[0].picture.endswith("begin.png")
    assert lanes.blocks[1].text.startswith("[[section]]")
    assert "length = 20" in lanes.blocks[1].text


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("length = 20", "lenght = 20", 16), ('"begin"\nlayer', '"other"\nlayer', 14), ("fps = 10", "fps =", 3)],
)
def test_errors_of_a_draft_have_a_line(timeline_file, old, new, line):
    before = timeline_file.read_text()
    text = before.replace(old, new)
    problem = read_lanes(timeline_file, text)
    assert isinstance(problem, Problem)
    assert ".draft" not in problem.message
    assert text.count("\n", 0, problem.offset) + 1 == line
    assert timeline_file.read_text() == before
    assert [path.name for path in timeline_file.parent.glob(".film*")] == []


def test_a_file_outside_of_the_folder_is_a_problem(timeline_file):
    assert (
        "outside" in read_lanes(timeline_file, timeline_file.read_text().replace("begin.png", "../begin.png")).message
    )


def test_texts_are_saved(timeline_file):
    save_text(timeline_file, timeline_file.read_text() + "\n# edited\n")
    assert "# edited" in timeline_file.read_text()
    assert isinstance(read_lanes(timeline_file.with_name("missing.toml")), Problem)
