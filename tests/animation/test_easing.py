"""Easings go from 0 to 1; noise is smooth, bounded, and reproducible."""

import numpy as np
import pytest

from streamfx.animation.easing import EASINGS, lerp, noise, smoothstep

SEED = np.zeros(1)


@pytest.mark.parametrize("name", EASINGS)
def test_easings_go_from_0_to_1_and_clip_their_input(name):
    values = EASINGS[name](np.array([-1.0, 0.0, 1.0, 2.0]))
    np.testing.assert_allclose(values, [0, 0, 1, 1], atol=2e-3)  # expo starts at 2^-10, like Penner's


@pytest.mark.parametrize("name", [name for name in EASINGS if name.startswith("ease_out")])
def test_ease_out_is_ease_in_reversed(name):
    x = np.linspace(0, 1, 101)
    ease_in = EASINGS[name.replace("out", "in")](x)
    np.testing.assert_allclose(EASINGS[name](x), 1 - ease_in[::-1], atol=1e-12)
    in_out = EASINGS[name.replace("out", "in_out")](x)
    np.testing.assert_allclose(in_out[:51], ease_in[::2] / 2, atol=1e-12)
    np.testing.assert_allclose(in_out, 1 - in_out[::-1], atol=1e-12)


@pytest.mark.parametrize("name", [name for name in EASINGS if name != "hold"])
def test_easings_are_continuous(name):
    values = EASINGS[name](np.linspace(0, 1, 10_001))
    assert np.abs(np.diff(values)).max() < 2e-3


def test_known_values():
    x = np.array([0.25, 0.5, 0.75])
    np.testing.assert_allclose(EASINGS["ease_in_quad"](x), x**2)
    np.testing.assert_allclose(EASINGS["ease_out"](x), 1 - (1 - x) ** 3)
    np.testing.assert_allclose(EASINGS["hold"](x), 0)
    np.testing.assert_allclose(EASINGS["smooth"](x), [0.15625, 0.5, 0.84375])
    np.testing.assert_allclose(EASINGS["ease_out_bounce"](np.array([1 / 2.75, 2 / 2.75, 2.5 / 2.75])), 1, atol=1e-12)
    np.testing.assert_allclose(smoothstep(2.0, 4.0, np.array([1.0, 2.0, 3.0, 5.0])), [0, 0, 0.5, 1])
    np.testing.assert_allclose(lerp(2.0, 4.0, np.array([0.0, 0.5, 2.0])), [2, 3, 6])


def test_noise_is_smooth_and_spans_its_range():
    x = np.linspace(-50, 50, 100_001)
    values = noise(SEED, x)
    assert -1 <= values.min() < -0.8
    assert 0.8 < values.max() <= 1
    assert abs(values.mean()) < 0.15
    assert np.abs(np.diff(values)).max() < 2 * 1.875 * 1e-3 + 1e-9  # the fade curve's steepest slope is 1.875
    np.testing.assert_array_equal(values, noise(SEED, x))


def test_seeds_and_curves_are_uncorrelated():
    x = np.arange(200.0)
    curves = [noise(np.full(1, seed), x, np.full(1, curve)) for seed in (0.0, 1.0, -3.0) for curve in (0.0, 1.0, 0.5)]
    correlation = np.abs(np.corrcoef(curves) - np.eye(len(curves)))
    assert correlation.max() < 0.35
    np.testing.assert_array_equal(noise(SEED, x), noise(SEED, x, 0.0))


def test_noise_values_are_stable_across_versions():
    values = noise(np.full(1, 7.0), np.array([0.0, 0.5, 1.0, -2.25]), np.full(1, 3.0))
    expected = [-0.07021822765799057, -0.257325508507522, -0.44443278935705344, 0.8233181506345102]
    np.testing.assert_allclose(values, expected, atol=1e-12)
