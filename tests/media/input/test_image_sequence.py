"""Patterns for image sequences."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.errors import StreamfxError
from streamfx.media.input.image_sequence import check_rate, files_of, is_numbered, is_pattern


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/%05d.png", True),
        ("a/%d.jpg", True),
        ("TimeLapse/*.JPG", True),
        ("a/img[0-9]?.tif", True),
        ("a/still.png", False),
        ("100%done.mp4", False),
        ("5%.png", False),
        ("clips/*.mp4", False),
        ("http://host/%d.png", False),
    ],
)
def test_is_pattern(path, expected):
    assert is_pattern(path) == expected


def test_an_existing_file_is_not_a_pattern(tmp_path):
    for name in ("50%d.png", "a[1].png", "what?.jpg"):
        (tmp_path / name).touch()
        assert not is_pattern(str(tmp_path / name))


def test_is_numbered():
    assert is_numbered("out_%03d.png")
    assert not is_numbered("out_%s.png")
    assert not is_numbered("out_%03d.mp4")


@pytest.mark.parametrize("name", ["a [1]", "b*c", "d?e"])
def test_folders_with_glob_characters(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    for n in (1, 2):
        (folder / f"{n}.png").touch()
    assert files_of(f"{folder}/%d.png") == [folder / "1.png", folder / "2.png"]


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=12))
def test_natural_order(tmp_path_factory, numbers):
    folder: Path = tmp_path_factory.mktemp("n")
    for n in numbers:
        (folder / f"shot{n}.jpg").touch()
    expected = [folder / f"shot{n}.jpg" for n in sorted(numbers)]
    assert files_of(f"{folder}/shot%d.jpg") == expected
    assert files_of(f"{folder}/*.jpg") == expected


@pytest.mark.parametrize("rate", [0, -1, 1001])
def test_frame_rates_out_of_range_are_rejected(rate):
    with pytest.raises(StreamfxError, match="out of range"):
        check_rate(Fraction(rate))
