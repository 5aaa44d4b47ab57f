"""The working resolution follows the speed, without going up and down."""

from itertools import pairwise

import pytest

from streamfx.live.adaptation import SHARES, Adaptation, Level, levels_for

PERIOD = 0.04


def simulate(cost, seconds=120, levels=None):
    """The levels over time, on a machine that needs `cost(level)` seconds per frame."""
    adaptation = Adaptation(levels or levels_for("fast", 1.0), PERIOD)
    now, seen = 0.0, [adaptation.level]
    while now < seconds:
        now += max(PERIOD, cost(adaptation.level))
        if level := adaptation.measured(cost(adaptation.level), now):
            seen.append(level)
    return seen


def per_pixel(seconds):
    return lambda level: seconds * level.working + 0.004


def test_fast_machine_goes_up_to_the_largest_size():
    assert simulate(per_pixel(0.02))[-1] == Level("fast", 1.0)


def test_slow_machine_goes_down_until_the_rate_holds():
    seen = simulate(per_pixel(0.3))
    cost = per_pixel(0.3)
    assert cost(seen[-1]) <= 0.9 * PERIOD
    assert cost(seen[-2]) > 0.9 * PERIOD


def test_very_slow_machine_ends_at_the_smallest_size():
    assert simulate(lambda level: 1.0)[-1].working == SHARES[-1]


def test_no_oscillation():
    for seconds in (0.05, 0.08, 0.11, 0.15, 0.2, 0.25):
        seen = simulate(per_pixel(seconds), 300)
        turns = sum(one.working < two.working > three.working for one, two, three in zip(seen, seen[1:], seen[2:]))
        assert turns <= 1, seen


def test_a_failed_step_up_is_not_repeated_at_once():
    """A level that is slower than expected is tried again only after a minute."""
    seen = simulate(lambda level: 0.01 if level.working <= 0.25 else 0.05, seconds=60)
    assert sum(level.working > 0.25 for level in seen) == 1


def test_one_slow_frame_changes_nothing():
    adaptation = Adaptation(levels_for("fast", 1.0), PERIOD)
    changes = [adaptation.measured(0.5 if number % 40 == 0 else 0.03, number * PERIOD) for number in range(200)]
    assert not any(changes)


def test_fine_goes_down_to_the_fast_network():
    levels = levels_for("fine", 1.0)
    assert levels[0] == Level("fine", 1.0)
    assert levels[-1].quality == "fast"
    assert all(one.working > other.working for one, other in pairwise(levels))


@pytest.mark.parametrize("largest", [0.03, 0.3, 1.0])
def test_levels_do_not_exceed_the_requested_size(largest):
    assert all(level.working <= largest for level in levels_for("fast", largest))
    assert levels_for("fast", largest)
