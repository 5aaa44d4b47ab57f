"""Damaged and malicious .flo files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.errors import StreamfxError
from streamfx.evaluation.flow_files import find_flows, load_flow

GOOD = b"PIEH" + np.array([2, 3], "<i4").tobytes() + np.arange(12, dtype="<f4").tobytes()


def test_valid_file(tmp_path):
    (tmp_path / "a.flo").write_bytes(GOOD)
    (file,) = find_flows(tmp_path, 3, 2)
    assert load_flow(file)[:, 2, 1].tolist() == [10, 11]


def test_natural_order(tmp_path):
    for number in (9, 10, 100):
        (tmp_path / f"frame_{number}.flo").write_bytes(GOOD)
    assert [file.stem for file in find_flows(tmp_path, 3, 2)] == ["frame_9", "frame_10", "frame_100"]


@pytest.mark.parametrize(
    ("height", "width"), [(-1, -1), (0, 0), (100_000, 100_000), (2**31 - 1, 2**31 - 1), (-3, -2), (3, 4)]
)
def test_sizes_that_do_not_match_the_data_are_refused(tmp_path, height, width):
    (tmp_path / "a.flo").write_bytes(GOOD[:4] + np.array([width, height], "<i4").tobytes() + GOOD[12:])
    with pytest.raises(StreamfxError, match="not a complete"):
        load_flow(tmp_path / "a.flo")


@given(st.binary(max_size=40) | st.integers(0, len(GOOD) - 1).map(lambda end: GOOD[:end]))
def test_arbitrary_bytes_are_refused(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any.flo"
    file.write_bytes(data)
    with pytest.raises(StreamfxError, match="not a complete"):
        load_flow(file)
