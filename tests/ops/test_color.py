"""Colour functions keep what they say they keep."""

import torch

from streamfx.ops.color import keep_color, luma


def test_luma_of_grey_is_the_grey_and_green_counts_most():
    assert torch.allclose(luma(torch.full((3, 2, 2), 0.3)), torch.tensor(0.3))
    red, green, blue = (luma(torch.eye(3)[i].view(3, 1, 1)).item() for i in range(3))
    assert green > red > blue > 0
    assert luma(torch.rand(5, 3, 4, 6)).shape == (5, 1, 4, 6)


def test_keep_color_takes_light_from_the_painting_and_chroma_from_the_source():
    source = 0.4 + 0.2 * torch.rand(3, 8, 9)
    painted = 0.4 + 0.2 * torch.rand(3, 8, 9)
    mixed = keep_color(source, painted)
    torch.testing.assert_close(luma(mixed), luma(painted))
    torch.testing.assert_close(mixed - luma(mixed), source - luma(source))


def test_keep_color_stays_in_range():
    mixed = keep_color(torch.rand(3, 50, 50), torch.rand(3, 50, 50).round())
    assert mixed.min() >= 0
    assert mixed.max() <= 1
