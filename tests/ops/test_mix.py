"""Blending, fading, masks and color transfer."""

import pytest
import torch

from streamfx.ops.mix import circle, fade, match_colors, ring, warp_blend
from streamfx.ops.warp import blend

CPU = torch.device("cpu")


def test_warp_blend_warps_only_the_foreground():
    background, image = torch.rand(2, 3, 6, 9)
    flow = torch.tensor([2.0, 1.0]).view(2, 1, 1).expand(2, 6, 9)
    share = torch.rand(1, 6, 9)
    expected = blend(background, image.roll((-1, -2), (1, 2)), share)
    torch.testing.assert_close(warp_blend(background, image, flow, share, border="wrap"), expected, atol=1e-5, rtol=0)


def test_fade():
    image = torch.rand(3, 4, 5)
    assert torch.equal(fade(image, (0, 0, 0), 0.0), image)
    assert torch.equal(fade(image, (0.1, 0.2, 0.3), 1.0)[:, 2, 3], torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(fade(image, (1, 1, 1), 0.25), 0.75 * image + 0.25)


@pytest.mark.parametrize("soft", [0.0, 3.0])
def test_circles_and_rings(soft):
    disk = circle((80, 100), (45, 35), 20, soft, CPU)
    assert disk.shape == (1, 80, 100)
    assert disk[0, 35, 45] == pytest.approx(1)
    assert disk[0, 35, 65] == pytest.approx(0.5, abs=1e-5)
    assert disk[0, 75, 5] == pytest.approx(0, abs=1e-6)
    assert disk.sum() == pytest.approx(torch.pi * (20**2 + soft**2), rel=0.005)
    hole = ring((80, 100), (45, 35), 10, 20, soft, CPU)
    torch.testing.assert_close(hole, disk - circle((80, 100), (45, 35), 10, soft, CPU), atol=1e-6, rtol=0)


def test_zero_or_negative_radius_is_empty():
    assert circle((8, 9), (4, 4), 0, 5, CPU).max() == 0
    assert ring((8, 9), (4, 4), -10, -3, 5, CPU).max() == 0
    assert ring((8, 9), (4, 4), 5, 3, 1, CPU).max() == 0


def test_match_colors():
    image, reference = 0.4 + 0.2 * torch.rand(3, 40, 50), torch.tensor([0.2, 0.5, 0.7]).view(3, 1, 1)
    reference = reference + 0.2 * (torch.rand(3, 30, 20) - 0.5)
    matched = match_colors(image, reference)
    torch.testing.assert_close(matched.mean((1, 2)), reference.mean((1, 2)), atol=1e-4, rtol=0)
    torch.testing.assert_close(matched.std((1, 2)), reference.std((1, 2)), atol=1e-3, rtol=0)
    half = match_colors(image, reference, share=0.5)
    torch.testing.assert_close(half, (image + matched) / 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(match_colors(image, reference, share=0.0), image)


def test_contrast_gain_is_limited_and_uniform_images_stay_uniform():
    faint = 0.5 + 0.01 * (torch.rand(3, 40, 50) - 0.5)
    strong = torch.rand(3, 40, 50)
    amplified = match_colors(faint, strong, max_gain=2.0)
    torch.testing.assert_close(amplified.std((1, 2)), 2 * faint.std((1, 2)), atol=0, rtol=0.05)
    flat = match_colors(torch.full((3, 6, 7), 0.2), strong)
    torch.testing.assert_close(flat, strong.mean((1, 2), keepdim=True).expand(3, 6, 7))
    with pytest.raises(ValueError, match="same number of channels"):
        match_colors(strong, strong[:1])
