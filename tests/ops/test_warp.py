"""Warping fetches each pixel from where its flow points, and knows four ways beyond the border."""

import pytest
import torch
from torch.nn import functional as F

from streamfx.ops.warp import blend, enlarge, renew, split_trust, warp


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
    for border in ("replicate", "reflect", "wrap", "zeros"):
        assert warp(torch.ones(1, 1, 1), torch.zeros(2, 1, 1), border=border).item() == pytest.approx(1)


@pytest.mark.parametrize("flow", [(2, 7, 8), (3, 7, 9), (1, 2, 7, 9)])
def test_flows_that_do_not_fit(flow):
    with pytest.raises(ValueError, match="does not fit"):
        warp(torch.rand(3, 7, 9), torch.zeros(flow))


def test_blend():
    ground, cover, share = torch.zeros(3, 4, 5), torch.ones(3, 4, 5), torch.rand(1, 4, 5)
    torch.testing.assert_close(blend(ground, cover, share), share.expand(3, 4, 5))


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("border", ["replicate", "reflect"])
def test_a_single_picture_is_moved_as_one_of_a_batch_is(filter, border):
    """OpenCV does the first, torch the second."""
    image, flow = torch.rand(3, 21, 33), 6 * torch.randn(2, 21, 33)
    by_torch = warp(image[None], flow[None], filter, border)[0]
    by_opencv = warp(image, flow, filter, border)
    inner = (slice(None), slice(3, -3), slice(3, -3))
    assert (by_torch - by_opencv).abs()[inner].mean() < 0.02
    assert (by_torch - by_opencv).abs()[inner].max() < 0.25  # 1/32 of a pixel, between neighbours as far apart as noise


def test_what_is_not_learned_from_is_moved_and_mixed_alike_with_and_without_gradients():
    """A film is painted with gradients on, which nothing asks for: that must not choose the slow way."""
    images, flow = torch.rand(2, 3, 21, 33), torch.randn(2, 21, 33)
    share = torch.full((1, 21, 33), 0.5)
    with torch.no_grad():
        plain = warp(images[0], flow, "bicubic"), renew(*images, share)
    assert torch.equal(warp(images[0], flow, "bicubic"), plain[0])
    assert torch.equal(renew(*images, share), plain[1])
    learned = warp(images[0].requires_grad_(), flow, "bicubic")
    assert learned.requires_grad
    assert not torch.equal(learned, plain[0])  # by torch, at more than 1/32 of a pixel


def test_what_stands_still_is_kept_and_what_moves_is_followed():
    flow, trust = torch.zeros(2, 1, 3), torch.tensor([[[1.0, 1.0, 0.0]]])
    flow[0, 0] = torch.tensor([0.0, 5.0, 5.0])
    follow, share = split_trust(flow, trust)
    assert torch.allclose(follow, torch.tensor([[[0.0, 1.0, 0.0]]]))
    assert torch.allclose(share, torch.tensor([[[0.9, 0.62, 0.0]]]))


@pytest.mark.parametrize("batch", [(), (1,), (2,)])
def test_a_mixture_is_as_sharp_as_the_painting(batch):
    generator = torch.Generator().manual_seed(1)
    painted, warped = (torch.rand(*batch, 3, 40, 50, generator=generator) for _ in range(2))
    half = torch.full((*batch, 1, 40, 50), 0.5)

    def contrast(image):
        return (image - image.mean((-2, -1), keepdim=True)).std()

    mixed = renew(painted, warped, half)
    assert contrast(blend(painted, warped, half)) < 0.8 * contrast(painted)
    assert contrast(mixed) > 0.9 * contrast(painted)
    assert 0 <= mixed.min() < mixed.max() <= 1
    assert torch.allclose(mixed.mean(), (painted.mean() + warped.mean()) / 2, atol=0.01)


def test_a_mixture_without_a_share_is_the_painting():
    painted = torch.rand(3, 20, 30)
    assert torch.allclose(renew(painted, torch.rand(3, 20, 30), torch.zeros(1, 20, 30)), painted, atol=1e-6)
    assert torch.allclose(renew(painted, painted, torch.ones(1, 20, 30)), painted, atol=1e-6)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(40, 60), (33, 61), (20, 30)])
def test_planes_are_enlarged_as_torch_does_it(filter, size):
    planes = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(1))
    wanted = F.interpolate(planes[None], size, mode=filter)[0]
    assert torch.allclose(enlarge(planes, size, filter), wanted, atol=1e-4)
    learned = planes.requires_grad_()  # which torch does itself
    assert torch.allclose(enlarge(learned, size, filter), wanted, atol=1e-6)
