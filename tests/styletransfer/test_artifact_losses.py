"""Grids, fringes and flicker are penalized, and light and borders compared."""

import pytest
import torch
from torch.nn import functional as F

from streamfx.styletransfer.artifact_losses import (
    border_loss,
    flicker_loss,
    fringe_loss,
    fringes,
    grid_loss,
    light_loss,
    total_variation,
)


def test_a_faint_grid_increases_the_grid_loss():
    torch.manual_seed(0)
    grain = 0.5 + 0.01 * torch.randn(1, 3, 192, 192)
    grid = grain.clone()
    grid[..., ::16, :] += 0.01
    assert grid_loss(grid) > 5 * grid_loss(grain)


def test_spots_of_alternating_hue_are_penalized(cat):
    colored, lit = cat.clone(), cat.clone()
    spot = torch.rand(3, 8, 8)
    colored[..., 20:28, 30:38] = spot
    lit[..., 20:28, 30:38] = spot[:1]
    own = fringes(cat)
    assert fringe_loss(cat, own).item() == 0
    assert fringe_loss(colored, own).item() > 0.2
    assert fringe_loss(lit, own).item() < 0.2 * fringe_loss(colored, own).item()


def test_uniform_images_have_no_fringes_and_a_finite_gradient():
    plain = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    fringe_loss(plain, torch.zeros(2)).backward()
    assert plain.grad.isfinite().all()
    assert fringes(plain).max() < 1e-3


def test_only_visible_unexplained_change_is_flicker():
    still, visible, none = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    assert flicker_loss(still, still, none, visible) == 0
    assert flicker_loss(still + 0.1, still, none, visible) == pytest.approx(0.01)
    assert flicker_loss(still + 0.1, still, none + 0.1, visible) == pytest.approx(0, abs=1e-9)
    assert flicker_loss(still + 0.1, still, none, none) == 0


def test_exposure_and_contrast_of_large_areas_are_compared_without_the_mean(cat):
    assert light_loss(cat, cat) == 0
    assert light_loss(cat + 0.1, cat) == pytest.approx(0, abs=1e-6)
    assert light_loss(1 - cat, cat) > 1


def test_lines_along_a_border_count():
    endless = torch.full((1, 3, 64, 64), 0.5)
    lined = endless.clone()
    lined[..., :2] = 0.7
    assert border_loss(endless, endless) == 0
    assert border_loss(lined, endless) > 10 * F.mse_loss(F.avg_pool2d(lined, 16), F.avg_pool2d(endless, 16))


def test_variation_of_a_ramp_is_its_slope():
    ramp = torch.linspace(0, 1, 11).expand(1, 3, 8, 11)
    assert total_variation(ramp) == pytest.approx(0.1, abs=1e-6)
