"""The crossfade from the end of a loop into its start."""

import pytest

from streamfx.animation.loop import crossfade_frames, crossfade_weight


def test_total_weight_follows_a_smoothstep_and_ends_at_1():
    remaining, totals = 1.0, []
    for from_end in range(10, 0, -1):
        remaining *= 1 - crossfade_weight(from_end, 10)
        totals.append(1 - remaining)
    assert totals[-1] == 1
    assert totals == pytest.approx([x * x * (3 - 2 * x) for x in (index / 10 for index in range(1, 11))])
    assert crossfade_weight(11, 10) == crossfade_weight(0, 10) == 0


def test_short_videos_crossfade_over_a_third_of_their_frames():
    assert [crossfade_frames(30, count) for count in (900, 30, 2, 1)] == [45, 10, 1, 1]
