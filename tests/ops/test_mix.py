"""Mixtures keep what they say they keep."""

import pytest
import torch

from streamfx.ops.mix import circle, fade, ring, warp_blend, with_colors_of
from streamfx.ops.warp import blend

CPU = torch.device("cpu")


def test_warp_blend_moves_only_the_cover():
    ground, image = torch.rand(2, 3, 6, 9)
    flow = torch.tensor([2.0, 1.0]).view(2, 1, 1).expand(2, 6, 9)
    share = torch.rand(1, 6, 9)
    wanted = blend(ground, image.roll((-1, -2), (1, 2)), share)
    torch.testing.assert_close(warp_blend(ground, image, flow, share, border="wrap"), wanted, atol=1e-5, rtol=0)


def test_fade():
    image = torch.rand(3, 4, 5)
    assert torch.equal(fade(image, (0, 0, 0), 0.0), image)
    assert torch.equal(fade(image, (0.1, 0.2, 0.3), 1.0)[:, 2, 3], torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(fade(image, (1, 1, 1), 0.25), 0.75 * image + 0.25)


@pytest.mark.parametrize("soft", [0.0, 3.0])
def test_circles_and_rings(soft):
    disc = circle((80, 100), (45, 35), 20, soft, CPU)
    assert disc.shape == (1, 80, 100)
    assert disc[0, 35, 45] == pytest.approx(1)
    assert disc[0, 35, 65] == pytest.approx(0.5, abs=1e-5)
    assert disc[0, 75, 5] == pytest.approx(0, abs=1e-6)
    assert disc.sum() == pytest.approx(torch.pi * (20**2 + soft**2), rel=0.005)
    hole = ring((80, 100), (45, 35), 10, 20, soft, CPU)
    torch.testing.assert_close(hole, disc - circle((80, 100), (45, 35), 10, soft, CPU), atol=1e-6, rtol=0)


def test_no_radius_is_no_circle():
    assert circle((8, 9), (4, 4), 0, 5, CPU).max() == 0
    assert ring((8, 9), (4, 4), -10, -3, 5, CPU).max() == 0
    assert ring((8, 9), (4, 4), 5, 3, 1, CPU).max() == 0


def test_colours_of_another_picture():
    image, reference = 0.4 + 0.2 * torch.rand(3, 40, 50), torch.tensor([0.2, 0.5, 0.7]).view(3, 1, 1)
    reference = reference + 0.2 * (torch.rand(3, 30, 20) - 0.5)
    made = with_colors_of(image, reference)
    torch.testing.assert_close(made.mean((1, 2)), reference.mean((1, 2)), atol=1e-4, rtol=0)
    torch.testing.assert_close(made.std((1, 2)), reference.std((1, 2)), atol=1e-3, rtol=0)
    half = with_colors_of(image, reference, share=0.5)
    torch.testing.assert_close(half, (image + made) / 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(with_colors_of(image, reference, share=0.0), image)


def test_contrast_grows_within_bounds_and_flat_stays_flat():
    faint = 0.5 + 0.01 * (torch.rand(3, 40, 50) - 0.5)
    strong = torch.rand(3, 40, 50)
    grown = with_colors_of(faint, strong, most=2.0)
    torch.testing.assert_close(grown.std((1, 2)), 2 * faint.std((1, 2)), atol=0, rtol=0.05)
    flat = with_colors_of(torch.full((3, 6, 7), 0.2), strong)
    torch.testing.assert_close(flat, strong.mean((1, 2), keepdim=True).expand(3, 6, 7))
    with pytest.raises(ValueError, match="as many channels"):
        with_colors_of(strong, strong[:1])
