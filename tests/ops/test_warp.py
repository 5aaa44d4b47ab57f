"""Warping fetches each pixel from where its flow points, and knows four ways beyond the border."""

import pytest
import torch

from streamfx.ops.warp import blend, warp


def uniform(across, down, size=(7, 9)):
    return torch.tensor([across, down]).view(2, 1, 1).expand(2, *size).contiguous()


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("border", ["replicate", "reflect", "wrap", "zeros"])
def test_no_motion_changes_nothing(filter, border):
    image = torch.rand(3, 7, 9)
    torch.testing.assert_close(warp(image, torch.zeros(2, 7, 9), filter, border), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_whole_pixels_wrap_as_roll_does(filter):
    image = torch.rand(3, 7, 9)
    moved = warp(image, uniform(2.0, -3.0), filter, "wrap")
    torch.testing.assert_close(moved, image.roll((3, -2), (1, 2)), atol=1e-5, rtol=0)


def test_borders():
    image = torch.arange(5.0).expand(1, 3, 5).contiguous()
    flow = torch.zeros(2, 3, 5)
    flow[0] = 2
    expected = {
        "replicate": [2, 3, 4, 4, 4],
        "reflect": [2, 3, 4, 3, 2],
        "wrap": [2, 3, 4, 0, 1],
        "zeros": [2, 3, 4, 0, 0],
    }
    for border, row in expected.items():
        torch.testing.assert_close(warp(image, flow, border=border)[0, 0], torch.tensor(row).float(), atol=1e-4, rtol=0)


def test_half_a_pixel_is_the_mean_of_two():
    image = torch.rand(3, 7, 9)
    moved = warp(image, uniform(0.5, 0.0))
    torch.testing.assert_close(moved[..., :-1], (image[..., 1:] + image[..., :-1]) / 2, atol=1e-5, rtol=0)
    around = warp(image, uniform(0.5, 0.0), border="wrap")
    torch.testing.assert_close(around[..., -1], (image[..., -1] + image[..., 0]) / 2, atol=1e-5, rtol=0)


def test_batches_are_warped_each_by_its_own_flow():
    images, flows = torch.rand(2, 3, 4, 7, 9), torch.randn(2, 3, 2, 7, 9)
    each = [[warp(image, flow) for image, flow in zip(*pair)] for pair in zip(images, flows)]
    torch.testing.assert_close(warp(images, flows), torch.stack([torch.stack(row) for row in each]))


def test_one_pixel_pictures():
    for border in ("replicate", "reflect", "zeros"):
        assert warp(torch.ones(1, 1, 1), torch.zeros(2, 1, 1), border=border).item() == pytest.approx(1)


@pytest.mark.parametrize("flow", [(2, 7, 8), (3, 7, 9), (1, 2, 7, 9)])
def test_flows_that_do_not_fit(flow):
    with pytest.raises(ValueError, match="does not fit"):
        warp(torch.rand(3, 7, 9), torch.zeros(flow))


def test_blend():
    ground, cover, share = torch.zeros(3, 4, 5), torch.ones(3, 4, 5), torch.rand(1, 4, 5)
    torch.testing.assert_close(blend(ground, cover, share), share.expand(3, 4, 5))
