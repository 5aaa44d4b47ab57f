"""Warping, its border modes, and blending that keeps sharpness."""

import pytest
import torch

from streamfx.ops.warp import blend, blend_sharp, split_confidence, warp


def uniform(across, down, size=(7, 9)):
    return torch.tensor([across, down]).view(2, 1, 1).expand(2, *size).contiguous()


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("border", ["replicate", "reflect", "wrap", "zeros"])
def test_zero_flow_changes_nothing(filter, border):
    image = torch.rand(3, 7, 9)
    torch.testing.assert_close(warp(image, torch.zeros(2, 7, 9), filter, border), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_integer_shifts_with_wrap_match_roll(filter):
    image = torch.rand(3, 7, 9)
    warped = warp(image, uniform(2.0, -3.0), filter, "wrap")
    torch.testing.assert_close(warped, image.roll((3, -2), (1, 2)), atol=1e-5, rtol=0)


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


def test_half_pixel_shift_averages_two_pixels():
    image = torch.rand(3, 7, 9)
    warped = warp(image, uniform(0.5, 0.0))
    torch.testing.assert_close(warped[..., :-1], (image[..., 1:] + image[..., :-1]) / 2, atol=1e-5, rtol=0)
    wrapped = warp(image, uniform(0.5, 0.0), border="wrap")
    torch.testing.assert_close(wrapped[..., -1], (image[..., -1] + image[..., 0]) / 2, atol=1e-5, rtol=0)


def test_batches_have_separate_flows():
    images, flows = torch.rand(2, 3, 4, 7, 9), torch.randn(2, 3, 2, 7, 9)
    rows = [[warp(image, flow) for image, flow in zip(*pair)] for pair in zip(images, flows)]
    torch.testing.assert_close(warp(images, flows), torch.stack([torch.stack(row) for row in rows]))


def test_one_pixel_images():
    for border in ("replicate", "reflect", "wrap", "zeros"):
        assert warp(torch.ones(1, 1, 1), torch.zeros(2, 1, 1), border=border).item() == pytest.approx(1)


@pytest.mark.parametrize("flow", [(2, 7, 8), (3, 7, 9), (1, 2, 7, 9)])
def test_flows_of_wrong_shape_are_refused(flow):
    with pytest.raises(ValueError, match="does not fit"):
        warp(torch.rand(3, 7, 9), torch.zeros(flow))


def test_blend():
    background, foreground, share = torch.zeros(3, 4, 5), torch.ones(3, 4, 5), torch.rand(1, 4, 5)
    torch.testing.assert_close(blend(background, foreground, share), share.expand(3, 4, 5))


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("border", ["replicate", "reflect"])
def test_opencv_and_torch_agree(filter, border):
    """OpenCV warps single images, torch batches."""
    image, flow = torch.rand(3, 21, 33), 6 * torch.randn(2, 21, 33)
    by_torch = warp(image[None], flow[None], filter, border)[0]
    by_opencv = warp(image, flow, filter, border)
    inner = (slice(None), slice(3, -3), slice(3, -3))
    assert (by_torch - by_opencv).abs()[inner].mean() < 0.02
    assert (by_torch - by_opencv).abs()[inner].max() < 0.25  # 1/32 pixel between uncorrelated pixels


def test_grad_mode_alone_does_not_disable_opencv():
    """Videos are processed with grad mode on but without any gradient: this must not select the slow path."""
    images, flow = torch.rand(2, 3, 21, 33), torch.randn(2, 21, 33)
    share = torch.full((1, 21, 33), 0.5)
    with torch.no_grad():
        plain = warp(images[0], flow, "bicubic"), blend_sharp(*images, share)
    assert torch.equal(warp(images[0], flow, "bicubic"), plain[0])
    assert torch.equal(blend_sharp(*images, share), plain[1])
    trainable = warp(images[0].requires_grad_(), flow, "bicubic")
    assert trainable.requires_grad
    assert not torch.equal(trainable, plain[0])  # by torch, more precise than 1/32 pixel


def test_still_and_moving_content_have_different_shares():
    flow, confidence = torch.zeros(2, 1, 3), torch.tensor([[[1.0, 1.0, 0.0]]])
    flow[0, 0] = torch.tensor([0.0, 5.0, 5.0])
    moving, share = split_confidence(flow, confidence)
    assert torch.allclose(moving, torch.tensor([[[0.0, 1.0, 0.0]]]))
    assert torch.allclose(share, torch.tensor([[[0.9, 0.62, 0.0]]]))


@pytest.mark.parametrize("batch", [(), (1,), (2,)])
def test_sharp_blend_keeps_the_contrast_of_the_stylized_frame(batch):
    generator = torch.Generator().manual_seed(1)
    stylized, warped = (torch.rand(*batch, 3, 40, 50, generator=generator) for _ in range(2))
    half = torch.full((*batch, 1, 40, 50), 0.5)

    def contrast(image):
        return (image - image.mean((-2, -1), keepdim=True)).std()

    mixed = blend_sharp(stylized, warped, half)
    assert contrast(blend(stylized, warped, half)) < 0.8 * contrast(stylized)
    assert contrast(mixed) > 0.9 * contrast(stylized)
    assert 0 <= mixed.min() < mixed.max() <= 1
    assert torch.allclose(mixed.mean(), (stylized.mean() + warped.mean()) / 2, atol=0.01)


def test_sharp_blend_without_change_is_the_stylized_frame():
    stylized = torch.rand(3, 20, 30)
    assert torch.allclose(blend_sharp(stylized, torch.rand(3, 20, 30), torch.zeros(1, 20, 30)), stylized, atol=1e-6)
    assert torch.allclose(blend_sharp(stylized, stylized, torch.ones(1, 20, 30)), stylized, atol=1e-6)
