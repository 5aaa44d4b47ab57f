"""Warping by a matrix."""

import math

import pytest
import torch

from streamfx.ops.affine import affine


def test_shift_and_mirror():
    image = torch.rand(3, 6, 9)
    moved = affine(image, [[1, 0, 2], [0, 1, -1]], border="wrap")
    torch.testing.assert_close(moved, image.roll((1, -2), (1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(affine(image, [[-1, 0, 8], [0, 1, 0]]), image.flip(2), atol=1e-5, rtol=0)


def test_rotation_by_90_degrees():
    image = torch.rand(2, 7, 7)
    rotated = affine(image, [[0, 1, 0], [-1, 0, 6], [0, 0, 1]], "bicubic", "zeros")  # (x, y) shows (y, 6 - x)
    torch.testing.assert_close(rotated, image.rot90(-1, (1, 2)), atol=1e-4, rtol=0)


def test_zoom_about_the_center():
    image = torch.arange(9.0).expand(1, 9, 9)
    zoomed = affine(image, [[0.5, 0, 2], [0, 0.5, 2]])
    torch.testing.assert_close(zoomed[0, 4], 2 + torch.arange(9) / 2, atol=1e-4, rtol=0)


def test_perspective_divides():
    image = torch.arange(20.0).expand(1, 20, 20)
    warped = affine(image, [[1, 0, 0], [0, 1, 0], [0, 0.1, 1]])
    torch.testing.assert_close(warped[0, 5], torch.arange(20) / 1.5, atol=1e-4, rtol=0)


def test_batches():
    images, matrix = torch.rand(2, 3, 8, 9), [[math.cos(1), -math.sin(1), 1], [math.sin(1), math.cos(1), 2]]
    torch.testing.assert_close(affine(images, matrix), torch.stack([affine(image, matrix) for image in images]))


@pytest.mark.parametrize("matrix", [[[1, 0, 0]], [[1, 0], [0, 1]], [[1, 0, 0]] * 4])
def test_invalid_matrices_are_refused(matrix):
    with pytest.raises(ValueError, match="two or three rows of three numbers"):
        affine(torch.rand(3, 4, 5), matrix)
