"""Timecodes move with the start of a video."""

from fractions import Fraction

import pytest

from streamfx.media.output.timecode import shifted

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("timecode", "start", "rate", "expected"),
    [
        ("01:02:03:04", Fraction(0), Fraction(25), "01:02:03:04"),
        ("01:02:03:04", Fraction(1), Fraction(25), "01:02:04:04"),
        ("01:02:03:24", Fraction(1, 25), Fraction(25), "01:02:04:00"),
        ("23:59:59:24", Fraction(1, 25), Fraction(25), "00:00:00:00"),
        ("00:00:00:00", Fraction(1001, 1), NTSC, "00:16:40:00"),
        ("00:00:59;29", 1 / NTSC, NTSC, "00:01:00;02"),  # two numbers are dropped
        ("00:09:59;29", 1 / NTSC, NTSC, "00:10:00;00"),  # but not every tenth minute
        ("00:00:00;00", 17982 / NTSC, NTSC, "00:10:00;00"),
        ("00:00:59;59", 1 / (2 * NTSC), 2 * NTSC, "00:01:00;04"),
        ("no timecode", Fraction(1), Fraction(25), "no timecode"),
    ],
)
def test_shifted(timecode, start, rate, expected):
    assert shifted(timecode, start, rate) == expected


def test_shifting_by_single_frames_counts_every_number():
    timecode, numbers = "00:58:50;00", []
    for _ in range(18000):
        numbers.append(timecode)
        timecode = shifted(timecode, 1 / NTSC, NTSC)
    assert len(set(numbers)) == 18000
    assert sorted(numbers) == numbers
    assert not [text for text in numbers if text[6:] in ("00;00", "00;01") and text[4] != "0"]
