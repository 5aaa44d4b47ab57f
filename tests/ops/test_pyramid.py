"""Blending by octaves, and clouds to blend by."""

import pytest
import torch

from streamfx.ops.pyramid import blend_pyramid, clouds


def test_where_the_mask_is_even_one_picture_is_shown():
    first, second = torch.rand(2, 3, 50, 70)
    assert torch.allclose(blend_pyramid(first, second, torch.zeros(1, 50, 70)), first, atol=1e-5)
    assert torch.allclose(blend_pyramid(first, second, torch.ones(1, 50, 70)), second, atol=1e-5)


def test_light_goes_over_softly_and_detail_at_an_edge():
    half = torch.zeros(1, 64, 128)
    half[:, :, 64:] = 1
    light = blend_pyramid(torch.zeros(3, 64, 128), torch.ones(3, 64, 128), half)[0, 32]
    assert (light[1:] >= light[:-1] - 0.02).all()
    assert 0.1 < light[56] < 0.9  # eight pixels from the edge both are still mixed
    stripes = torch.arange(128).remainder(2).float().expand(3, 64, 128)
    made = blend_pyramid(stripes, 1 - stripes, half)
    assert (made[:, :, 56] - stripes[:, :, 56]).abs().max() < 0.05  # there detail is the first one's alone


def test_clouds_are_smooth_chance_with_all_values_alike():
    made = clouds((60, 90), 4, seed=1)
    assert made.shape == (1, 60, 90)
    assert torch.equal(made, clouds((60, 90), 4, seed=1))
    assert not torch.equal(made, clouds((60, 90), 4, seed=2))
    assert made.mean() == pytest.approx(0.5, abs=1e-3)
    assert float((made < 0.2).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert (made[:, :, 1:] - made[:, :, :-1]).abs().mean() < 0.05
