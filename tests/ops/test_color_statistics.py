"""Changed images keep the brightness, contrast and saturation of their source within limits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.ops.color import luma
from streamfx.ops.color_statistics import color_statistics, correct_drift, limit_statistics, soft_clip, soften

PHOTO = torch.nn.functional.interpolate(
    torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(5)), (64, 96), mode="bicubic"
)[0].clamp(0, 1)


def test_unchanged_images_stay_the_same():
    torch.testing.assert_close(limit_statistics(PHOTO, PHOTO), PHOTO, atol=1e-5, rtol=0)


def test_small_changes_are_kept_except_for_their_mean():
    source = 0.3 + 0.4 * PHOTO
    change = 0.02 * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    result = limit_statistics(source, source + change + torch.tensor([0.1, 0.0, -0.1]).view(3, 1, 1))
    torch.testing.assert_close(result, source + change - change.mean((1, 2), keepdim=True), atol=2e-3, rtol=0)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0, 3), st.floats(0, 1))
def test_contrast_and_saturation_are_limited(seed, size, level):
    generator = torch.Generator().manual_seed(seed)
    source = level * PHOTO
    result = limit_statistics(source, source + size * torch.randn(source.shape, generator=generator))
    assert 0 <= result.min() <= result.max() <= 1
    variance = lambda image: (luma(image) - luma(image).mean()).square().mean()  # noqa: E731
    chroma = lambda image: (image - luma(image)).square().mean()  # noqa: E731
    assert variance(result) <= 1.6 * variance(source) + 0.1**2 + 0.01
    assert chroma(result) <= 1.6 * chroma(source) + 0.06**2 / 3 + 0.02


def test_feedback_converges():
    generator = torch.Generator().manual_seed(2)
    push = torch.randn(PHOTO.shape, generator=generator)
    image, spreads = PHOTO, []
    for _ in range(200):
        image = limit_statistics(PHOTO, image + 0.05 * push)
        spreads.append(float(luma(image).std()))
    assert spreads[-1] == pytest.approx(spreads[100], rel=0.02)
    assert abs(float(image.mean() - PHOTO.mean())) < 0.03


def test_color_statistics_of_known_images():
    image = torch.full((3, 32, 32), 0.25)
    image[:, :16] += 0.5
    torch.testing.assert_close(color_statistics(image)[:4], torch.tensor([0.5, 0.5, 0.5, 0.25]), atol=0.003, rtol=0)
    assert color_statistics(image)[4] < 1e-6
    assert color_statistics(PHOTO)[4] > 0.1


def test_drift_is_corrected_toward_the_target():
    source = 0.3 + 0.4 * PHOTO
    target = color_statistics(source)
    drifted = 0.2 + 1.3 * (source - 0.5) + torch.tensor([0.4, 0.3, 0.2]).view(3, 1, 1)
    corrected = correct_drift(drifted, target, 1.0)
    torch.testing.assert_close(color_statistics(corrected), target, atol=0.01, rtol=0)
    torch.testing.assert_close(corrected, source, atol=0.02, rtol=0)
    before = (color_statistics(drifted) - target).abs()
    assert ((color_statistics(correct_drift(drifted, target, 0.2)) - target).abs() < 0.9 * before).all()
    torch.testing.assert_close(correct_drift(source, target, 0.5), source, atol=1e-4, rtol=0)


def test_soft_clip_is_monotonic_and_keeps_inner_values():
    ramp = torch.linspace(-3, 4, 7001)
    clipped = soft_clip(ramp)
    assert clipped.min() > 0
    assert clipped.max() < 1
    assert (clipped[1:] > clipped[:-1]).all()
    inside = (ramp > 0.07) & (ramp < 0.93)
    torch.testing.assert_close(clipped[inside], ramp[inside])


def test_softening_reduces_only_the_finest_detail():
    x = torch.arange(64.0)
    fine, coarse = ((0.5 + 0.3 * torch.cos(torch.pi * x / size)).expand(3, 48, 64) for size in (1, 16))
    assert soften(fine, 0.2).std() < 0.85 * fine.std()
    assert soften(coarse, 0.2).std() > 0.99 * coarse.std()
    torch.testing.assert_close(soften(fine, 0.0), fine)
