"""Resizing by OpenCV equals that of torch, which a GPU uses, and means stay."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from streamfx.ops.resize import enlarge, halve, resize

SIDES = st.integers(2, 40)


@given(SIDES, SIDES, st.floats(1, 3), st.floats(1, 3), st.sampled_from(("bilinear", "bicubic")))
def test_enlarged_as_by_torch(height, width, down, across, filter):
    planes = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * width))
    size = round(height * down), round(width * across)
    expected = F.interpolate(planes, size, mode=filter)
    assert torch.allclose(enlarge(planes, size, filter), expected, atol=2e-4)


@given(SIDES, SIDES)
def test_halves_are_means_of_the_pixels_that_exist(height, width):
    planes = torch.rand(3, height, width, generator=torch.Generator().manual_seed(height * width))
    halves = halve(planes)
    assert halves.shape == (3, -(-height // 2), -(-width // 2))
    for row, column in ((0, 0), (halves.shape[1] - 1, halves.shape[2] - 1)):
        area = planes[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert torch.allclose(halves[:, row, column], area.mean((1, 2)), atol=1e-6)


@given(SIDES, SIDES, st.floats(0.2, 1))
def test_smaller_planes_keep_their_mean_and_range(height, width, scale):
    planes = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = resize(planes, size)
    assert small.shape == (1, 3, *size)
    assert torch.allclose(small.mean((2, 3)), planes.mean((2, 3)), atol=0.02)
    assert planes.min() - 1e-6 <= small.min()
    assert small.max() <= planes.max() + 1e-6


def test_a_checkerboard_becomes_gray_without_aliasing():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    small = resize(board[None].float(), (20, 20))
    assert (small - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("function", [lambda x: resize(x, (9, 7)), lambda x: resize(x, (3, 4)), halve])
def test_gradients_pass(function):
    planes = torch.rand(1, 3, 6, 5, requires_grad=True)
    function(planes).sum().backward()
    assert planes.grad is not None
    assert planes.grad.abs().sum() > 0


def test_the_same_size_is_not_copied():
    planes = torch.rand(3, 6, 5)
    assert resize(planes, (6, 5)) is planes
