"""Contrast at each scale and colors move toward those of another image, a little per call."""

import numpy as np
import pytest
import torch
from skimage import data

from streamfx.ops.appearance import Corrections, band_contrast, hold_appearance, palette
from streamfx.ops.color import luma

CAT, CUP = (
    torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) / 255 for image in (data.chelsea(), data.coffee())
)


def held(image, source, number=0, **shares):
    return hold_appearance(image, band_contrast(source), palette(source), number, Corrections(**shares))


def test_nothing_changes_without_shares():
    torch.testing.assert_close(held(CAT, CUP), CAT)


def test_the_own_appearance_is_kept():
    kept = held(CAT, CAT, balance=1.0, palette=1.0)
    assert (kept - CAT).abs().mean() < 0.004


def test_contrast_moves_toward_the_target_at_each_scale():
    noisy = CAT + 0.1 * torch.randn_like(CAT)
    image = noisy
    for number in range(20):
        image = held(image, CAT, number, balance=0.5)
    before, after = ((band_contrast(x) / band_contrast(CAT)).log().abs() for x in (noisy, image))
    assert after[0] < 0.5 * before[0]
    assert after.max() < 0.3


def test_colors_move_toward_the_palette():
    image = CAT
    for number in range(48):
        image = held(image, CUP, number, palette=0.2)
    before, after = ((palette(x) - palette(CUP)).abs().mean() for x in (CAT, image))
    assert after < 0.35 * before


def test_fine_color_is_softened_and_fine_luma_kept():
    colored = CAT + 0.1 * torch.randn(3, *CAT.shape[1:])
    soft = held(colored, CAT, soften_color=0.8)
    torch.testing.assert_close(luma(soft), luma(colored), atol=1e-4, rtol=0)
    chroma = [(x - luma(x)).diff(dim=2).abs().mean() for x in (soft, colored)]
    assert chroma[0] < 0.6 * chroma[1]


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (33, 47)])
def test_any_size(size):
    image = torch.rand(3, *size)
    assert held(image, image, balance=0.5, palette=0.5, soften_color=0.5).shape == image.shape
    assert held(image, image, balance=0.5, palette=0.5, soften_color=0.5).isfinite().all()
