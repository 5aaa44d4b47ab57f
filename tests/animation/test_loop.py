"""How the end of a loop runs into its start."""

import pytest

from streamfx.animation.loop import pull, turning_frames


def test_all_is_taken_over_by_the_end_smoothly():
    left, way = 1.0, []
    for back in range(10, 0, -1):
        left *= 1 - pull(back, 10)
        way.append(1 - left)
    assert way[-1] == 1
    assert way == pytest.approx([x * x * (3 - 2 * x) for x in (number / 10 for number in range(1, 11))])
    assert pull(11, 10) == pull(0, 10) == 0


def test_short_films_turn_in_a_third_of_their_frames():
    assert [turning_frames(30, count) for count in (900, 30, 2, 1)] == [45, 10, 1, 1]
