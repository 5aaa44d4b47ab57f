"""Timelines as lanes, and their errors."""

import pytest
from PIL import Image

from streamfx.studio.chain_edit import Problem
from streamfx.studio.lanes import read_lanes, save_text

TEXT = """kind = "timeline"
size = [64, 48]
fps = 10
[pictures]
begin = "begin.png"
[[section]]
name = "title"
kind = "still"
picture = "begin"
length = "1s"

[[section]]
name = "in"
start = "begin"
layer = "block1"
length = 20
"""


@pytest.fixture
def file(library):
    Image.new("RGB", (64, 48), "red").save(library.folder / "begin.png")
    file = library.folder / "film.toml"
    file.write_text(TEXT)
    return file


def test_sections_are_blocks(file):
    lanes = read_lanes(file)
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
def test_errors_of_a_draft_have_a_line(file, old, new, line):
    text = TEXT.replace(old, new)
    problem = read_lanes(file, text)
    assert isinstance(problem, Problem)
    assert ".draft" not in problem.message
    assert text.count("\n", 0, problem.offset) + 1 == line
    assert file.read_text() == TEXT
    assert [path.name for path in file.parent.glob(".film*")] == []


def test_a_file_outside_of_the_folder_is_a_problem(file):
    assert "outside" in read_lanes(file, TEXT.replace("begin.png", "../begin.png")).message


def test_texts_are_saved(file):
    save_text(file, TEXT + "\n# edited\n")
    assert "# edited" in file.read_text()
    assert isinstance(read_lanes(file.with_name("missing.toml")), Problem)
