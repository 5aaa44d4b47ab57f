"""Regions cover the area asked for, have soft edges, and drift slowly."""

import pytest
import torch

from streamfx.ops.regions import region_mask


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
@pytest.mark.parametrize("time", [0.0, 7.3, 100.0])
def test_regions_cover_their_share(share, time):
    mask = region_mask(90, 160, share, time, seed=3)
    assert mask.shape == (1, 90, 160)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert abs(float(mask.mean()) - share) < 0.1


def test_edges_are_soft_at_any_size():
    for height, width in ((90, 160), (720, 1280)):
        mask = region_mask(height, width, 0.4, 2.0, seed=0)
        steps = max(float(mask.diff(dim=dim).abs().max()) for dim in (1, 2))
        assert steps * height < 20  # no edge is narrower than a twentieth of the height


def test_regions_drift_slowly_and_become_others():
    first, soon, later = (region_mask(90, 160, 0.4, time, seed=0) for time in (0, 1 / 30, 20))
    assert 0 < (first - soon).abs().mean() < 0.01
    assert (first - later).abs().mean() > 0.1


def test_the_seed_decides():
    first, same, other = (region_mask(32, 48, 0.4, 1.0, seed) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
