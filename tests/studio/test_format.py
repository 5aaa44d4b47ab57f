"""Times and sizes as text."""

import pytest

from streamfx.studio.format import clock, size


@pytest.mark.parametrize(
    ("seconds", "places", "text"),
    [
        (0, 0, "0:00"),
        (59.6, 0, "1:00"),
        (61.26, 2, "1:01.26"),
        (59.999, 2, "1:00.00"),
        (3723, 0, "1:02:03"),
        (-1, 0, "0:00"),
    ],
)
def test_clock(seconds, places, text):
    assert clock(seconds, places) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (512000, "512 kB"), (3.4e9, "3.4 GB")]
)
def test_size(count, text):
    assert size(count) == text
