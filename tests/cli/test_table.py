"""The table of a dry run: a selection of frames at regular steps, and the last one."""

import numpy as np
import pytest

from streamfx.cli._table import build_timetable, print_timetable


def cells(table):
    return {column.header: list(column.cells) for column in table.columns}


def test_regular_steps_and_the_last_frame():
    values = {"zoom": 1 + np.arange(100) / 1000, "angle": -np.arange(100.0)}
    columns = cells(build_timetable(values, 30, every=40))
    assert columns == {
        "frame": ["0", "40", "80", "99"],
        "time": ["0:00.00", "0:01.33", "0:02.67", "0:03.30"],
        "zoom": ["1", "1.04", "1.08", "1.099"],
        "angle": ["0", "-40", "-80", "-99"],
    }


@pytest.mark.parametrize(
    ("count", "step"), [(1, 1), (24, 1), (25, 2), (100, 5), (300, 20), (5446, 500), (2_000_000, 100_000)]
)
def test_steps_that_fill_one_screen(count, step):
    frames = [int(frame) for frame in cells(build_timetable({"x": np.zeros(count)}, 30))["frame"]]
    assert frames[0] == 0
    assert frames[-1] == count - 1
    assert len(frames) <= 25
    assert set(np.diff(frames)[:-1]) <= {step}


def test_times_carry_over():
    assert cells(build_timetable({"x": np.zeros(1801)}, 30, every=1800))["time"] == ["0:00.00", "1:00.00"]
    assert cells(build_timetable({"x": np.zeros(3)}, 1.0000001 / 59.999, every=1))["time"][1] == "1:00.00"


def test_short_and_empty_tables():
    columns = cells(build_timetable({"zoom": np.ones(3), "angle": np.ones(2)}, 30))
    assert columns["angle"] == ["1", "1", "-"]
    assert cells(build_timetable({}, 30)) == {"frame": [], "time": []}


def test_it_is_printed_in_full(capsys):
    print_timetable({f"setting_number_{i}": np.full(2, i + 0.125) for i in range(12)}, 30)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["frame", "time", *(f"setting_number_{i}" for i in range(12))]
    assert lines[2].split()[:3] == ["1", "0:00.03", "0.125"]
