"""Patches find known shifts, cover every pixel, and are averaged."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from streamfx.motion.patch_search import PATCH, _covering, densify, patch_positions, search

CPU = torch.device("cpu")


def texture(height, width, seed=0, grain=3):
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, height // grain + 2, width // grain + 2, generator=random)
    return 255 * F.interpolate(coarse, (height, width), mode="bicubic")[0, 0].clamp(0, 1)


@given(side=st.integers(PATCH, 90))
def test_patches_cover_every_pixel_once_in_the_table(side):
    starts = patch_positions(side, CPU).tolist()
    assert starts[0] == 0
    assert starts[-1] == side - PATCH
    for pixel in range(side):
        expected = [index for index, start in enumerate(starts) if start <= pixel < start + PATCH]
        found = [int(index[pixel]) for index, valid in _covering(side, CPU) if valid[pixel]]
        assert sorted(found) == expected
        assert expected


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 3)])
def test_a_shift_and_its_reverse(shift):
    across, down = shift
    large = texture(70, 90)
    lumas = torch.stack([large[10:58, 10:74], large[10 - down : 58 - down, 10 - across : 74 - across]])
    motion = search(lumas, None)
    expected = torch.tensor([[across, down], [-across, -down]]).view(2, 2, 1, 1)
    assert (motion - expected)[..., 1:-1, 1:-1].norm(dim=1).median() < 0.1
    assert (densify(lumas, motion) - expected)[..., 9:-9, 9:-9].norm(dim=1).median() < 0.1


def test_half_a_pixel():
    large = texture(40, 61)
    lumas = torch.stack([large[:, :-1], (large[:, 1:] + large[:, :-1]) / 2])
    assert (search(lumas, None)[0] - torch.tensor([-0.5, 0]).view(2, 1, 1)).norm(dim=0).median() < 0.05


def test_brightness_is_not_motion():
    image = texture(40, 50)
    motion = search(torch.stack([image, image + 20]), None)
    assert motion.abs().max() < 1e-3


def test_motion_spreads_to_flat_patches_and_starts_from_the_coarse_level():
    """A plain image cannot tell its motion, so it keeps the one of the coarse level."""
    coarse = torch.full((2, 2, 12, 15), 1.25)
    motion = search(torch.full((2, 24, 30), 100.0), coarse)
    torch.testing.assert_close(motion, torch.full_like(motion, 2.5))
