"""Gradient ascent: octaves, tiles, step size, reproducible random numbers."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.deepdream.ascent import (
    Ascent,
    _equalized,
    _spans,
    _split,
    ascend,
    octave_sizes,
    tiled_gradient,
    with_natural_colors,
)
from streamfx.ops.resize import resize

PHOTO = torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(1))


def ones(image):
    return torch.ones_like(image)


def noise(image):
    """A gradient that depends on the image only."""
    return torch.sin(image * 100)


@given(st.integers(1, 4000), st.integers(1, 900))
def test_equal_tiles_cover_every_pixel(side, limit):
    spans = _spans(side, limit)
    assert spans[0].start == 0
    assert spans[-1].stop == side
    assert {span.stop - span.start for span in spans} == {spans[0].stop}
    assert spans[0].stop <= limit
    for one, following in pairwise(spans):
        assert one.start < following.start <= one.stop


@settings(max_examples=20)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(96, 200), st.data())
def test_tiled_gradient_is_correct_at_every_pixel(height, width, tile, data):
    roll = [data.draw(st.integers(0, side - 1)) for side in (height, width)]
    image = torch.rand(1, 3, height, width)
    torch.testing.assert_close(tiled_gradient(image, lambda x: 2 * x, tile, roll), 2 * image)


def test_tile_sizes_stay_within_limits():
    sizes = []

    def gradient(image):
        sizes.append(tuple(image.shape[2:]))
        return image

    tiled_gradient(torch.rand(1, 3, 700, 500), gradient, 256, [3, 5])
    tiled_gradient(torch.rand(1, 3, 5, 300), gradient, 512, [1, 1])
    assert max(max(size) for size in sizes) <= 512
    assert all(max(size) <= 256 for size in sizes[:-1])
    assert min(min(size) for size in sizes) >= 96


def test_octaves_add_up_to_the_image():
    sizes = octave_sizes(90, 120, Ascent(octaves=3))
    assert sizes == [(46, 61), (64, 86), (90, 120)]
    details, _ = _split(PHOTO[None], sizes)
    base = details[0]
    for size, detail in zip(sizes[1:], details[1:]):
        base = resize(base, size) + detail
    torch.testing.assert_close(base[0], PHOTO)
    unchanged = ascend(PHOTO, noise, Ascent(octaves=3, steps=2, step=0.0))
    torch.testing.assert_close(unchanged, PHOTO)


def test_octaves_that_would_be_too_small_are_omitted():
    assert octave_sizes(40, 300, Ascent(octaves=12)) == [(40, 300)]
    assert octave_sizes(1, 1, Ascent()) == [(1, 1)]


def test_step_size_does_not_depend_on_gradient_magnitude():
    gray = torch.full((3, 96, 96), 0.5)
    for strength in (1e-6, 1.0, 1e6):
        image = ascend(
            gray, lambda x, s=strength: s * ones(x), Ascent(octaves=1, steps=4, step=0.02, natural_colors=False)
        )
        torch.testing.assert_close(image, torch.full_like(gray, 0.58))


def test_natural_colors_turn_opposing_channels_into_common_brightness():
    torch.manual_seed(0)
    slope = torch.randn(1, 3, 64, 64)
    natural = with_natural_colors(slope)
    spread = [float((x - x.mean(1, keepdim=True)).std() / x.mean(1).std()) for x in (slope, natural)]
    assert spread[1] < 0.5 * spread[0]
    gray = torch.ones(1, 3, 4, 4)
    assert torch.allclose(with_natural_colors(gray), gray * with_natural_colors(gray).mean(), rtol=0.1)
    free, bound = (ascend(PHOTO, noise, Ascent(natural_colors=natural)) - PHOTO for natural in (False, True))
    assert not torch.equal(free, bound)


def test_zero_gradient_changes_nothing():
    assert torch.equal(ascend(PHOTO, torch.zeros_like, Ascent(octaves=1)), PHOTO)


def test_step_share_scales_the_step_per_pixel():
    gray, share = torch.full((3, 96, 96), 0.5), torch.zeros(1, 96, 96)
    share[..., 48:] = 0.5
    image = ascend(gray, ones, Ascent(octaves=1, steps=4, step=0.02, natural_colors=False), step_share=share)
    assert torch.equal(image[..., :48], gray[..., :48])
    torch.testing.assert_close(image[..., 48:], torch.full((3, 96, 48), 0.54))


def test_seed_and_number_determine_the_result():
    def climb(seed, number=0):
        return ascend(
            PHOTO, lambda x: x.roll(1, 3) * torch.linspace(0, 1, x.shape[3]), Ascent(seed=seed), number=number
        )

    assert torch.equal(climb(3), climb(3))
    assert not torch.equal(climb(3), climb(4))
    assert not torch.equal(climb(3), climb(3, 1))


def test_smoothing_amplifies_coarse_scales():
    fine = torch.rand(1, 3, 64, 64) - 0.5
    coarse = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6) - 0.5, (64, 64), mode="bilinear")
    slope = fine + 0.2 * coarse

    def low(x):
        return torch.nn.functional.avg_pool2d(x, 8).abs().mean()

    smooth = _equalized(slope)
    assert smooth.abs().mean() == pytest.approx(float(slope.abs().mean()), rel=1e-4)
    assert low(smooth) > 2 * low(slope)


def test_pixels_stay_near_the_range_during_ascent():
    image = ascend(PHOTO, noise, Ascent(steps=50, step=0.1))
    assert image.min() >= -0.1
    assert image.max() <= 1.1


def test_progress_is_reported():
    reports = []
    ascend(PHOTO, noise, Ascent(octaves=2, steps=3), report=lambda done, total: reports.append((done, total)))
    assert reports == [(n, 6) for n in range(1, 7)]


def test_global_random_generator_is_not_used():
    before = torch.random.get_rng_state()
    ascend(PHOTO, noise, Ascent(steps=1))
    assert torch.equal(before, torch.random.get_rng_state())
