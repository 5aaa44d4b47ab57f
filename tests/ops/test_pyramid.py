"""Pyramid blending and noise masks."""

import pytest
import torch

from streamfx.ops.pyramid import blend_pyramid, clouds


def test_uniform_masks_select_one_image():
    first, second = torch.rand(2, 3, 50, 70)
    assert torch.allclose(blend_pyramid(first, second, torch.zeros(1, 50, 70)), first, atol=1e-5)
    assert torch.allclose(blend_pyramid(first, second, torch.ones(1, 50, 70)), second, atol=1e-5)


def test_brightness_fades_gradually_and_detail_changes_at_the_edge():
    half = torch.zeros(1, 64, 128)
    half[:, :, 64:] = 1
    brightness = blend_pyramid(torch.zeros(3, 64, 128), torch.ones(3, 64, 128), half)[0, 32]
    assert (brightness[1:] >= brightness[:-1] - 0.02).all()
    assert 0.1 < brightness[56] < 0.9  # still mixed eight pixels from the edge
    stripes = torch.arange(128).remainder(2).float().expand(3, 64, 128)
    image = blend_pyramid(stripes, 1 - stripes, half)
    assert (image[:, :, 56] - stripes[:, :, 56]).abs().max() < 0.05  # only detail of the first image


def test_clouds_are_smooth_and_uniformly_distributed():
    noise = clouds((60, 90), 4, seed=1)
    assert noise.shape == (1, 60, 90)
    assert torch.equal(noise, clouds((60, 90), 4, seed=1))
    assert not torch.equal(noise, clouds((60, 90), 4, seed=2))
    assert noise.mean() == pytest.approx(0.5, abs=1e-3)
    assert float((noise < 0.2).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert (noise[:, :, 1:] - noise[:, :, :-1]).abs().mean() < 0.05
