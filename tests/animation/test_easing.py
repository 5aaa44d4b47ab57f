"""Easings begin at 0 and end at 1; noise is smooth, bounded, and the same for the same seed."""

import numpy as np
import pytest

from streamfx.animation.easing import EASINGS, lerp, noise, smoothstep

SEED = np.zeros(1)


@pytest.mark.parametrize("name", EASINGS)
def test_easings_lead_from_0_to_1(name):
    made = EASINGS[name](np.array([-1.0, 0.0, 1.0, 2.0]))
    np.testing.assert_allclose(made, [0, 0, 1, 1], atol=2e-3)  # expo starts at 2^-10, as Penner's does


@pytest.mark.parametrize("name", [name for name in EASINGS if name.startswith("ease_out")])
def test_the_way_out_is_the_way_in_backwards(name):
    x = np.linspace(0, 1, 101)
    into = EASINGS[name.replace("out", "in")](x)
    np.testing.assert_allclose(EASINGS[name](x), 1 - into[::-1], atol=1e-12)
    both = EASINGS[name.replace("out", "in_out")](x)
    np.testing.assert_allclose(both[:51], into[::2] / 2, atol=1e-12)
    np.testing.assert_allclose(both, 1 - both[::-1], atol=1e-12)


@pytest.mark.parametrize("name", [name for name in EASINGS if name != "hold"])
def test_easings_make_no_jumps(name):
    made = EASINGS[name](np.linspace(0, 1, 10_001))
    assert np.abs(np.diff(made)).max() < 2e-3


def test_known_values():
    x = np.array([0.25, 0.5, 0.75])
    np.testing.assert_allclose(EASINGS["ease_in_quad"](x), x**2)
    np.testing.assert_allclose(EASINGS["ease_out"](x), 1 - (1 - x) ** 3)
    np.testing.assert_allclose(EASINGS["hold"](x), 0)
    np.testing.assert_allclose(EASINGS["smooth"](x), [0.15625, 0.5, 0.84375])
    np.testing.assert_allclose(EASINGS["ease_out_bounce"](np.array([1 / 2.75, 2 / 2.75, 2.5 / 2.75])), 1, atol=1e-12)
    np.testing.assert_allclose(smoothstep(2.0, 4.0, np.array([1.0, 2.0, 3.0, 5.0])), [0, 0, 0.5, 1])
    np.testing.assert_allclose(lerp(2.0, 4.0, np.array([0.0, 0.5, 2.0])), [2, 3, 6])


def test_noise_is_smooth_bounded_and_spread():
    x = np.linspace(-50, 50, 100_001)
    made = noise(SEED, x)
    assert -1 <= made.min() < -0.8
    assert 0.8 < made.max() <= 1
    assert abs(made.mean()) < 0.15
    assert np.abs(np.diff(made)).max() < 2 * 1.875 * 1e-3 + 1e-9  # the fade's steepest slope is 1.875
    np.testing.assert_array_equal(made, noise(SEED, x))


def test_each_seed_and_each_curve_is_another():
    x = np.arange(200.0)
    curves = [noise(np.full(1, seed), x, np.full(1, which)) for seed in (0.0, 1.0, -3.0) for which in (0.0, 1.0, 0.5)]
    likeness = np.abs(np.corrcoef(curves) - np.eye(len(curves)))
    assert likeness.max() < 0.35
    np.testing.assert_array_equal(noise(SEED, x), noise(SEED, x, 0.0))


def test_values_of_noise_stay_what_they_are():
    """Films are to look the same tomorrow."""
    made = noise(np.full(1, 7.0), np.array([0.0, 0.5, 1.0, -2.25]), np.full(1, 3.0))
    kept = [-0.07021822765799057, -0.257325508507522, -0.44443278935705344, 0.8233181506345102]
    np.testing.assert_allclose(made, kept, atol=1e-12)
