"""The climb: octaves, tiles that cover all, steps of one size, chance that repeats."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.deepdream.ascent import Ascent, _smoothed, _spans, _split, ascend, octave_sizes, resized, tiled_gradient

PHOTO = torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(1))


def ones(image):
    return torch.ones_like(image)


def noise(image):
    """A slope that looks at the picture, and is the same for the same picture."""
    return torch.sin(image * 100)


@given(st.integers(1, 4000), st.integers(1, 900))
def test_tiles_cover_every_pixel_in_one_size(side, most):
    spans = _spans(side, most)
    assert spans[0].start == 0
    assert spans[-1].stop == side
    assert {span.stop - span.start for span in spans} == {spans[0].stop}
    assert spans[0].stop <= most
    for one, following in pairwise(spans):
        assert one.start < following.start <= one.stop


@settings(max_examples=20)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(96, 200), st.data())
def test_every_pixel_has_its_gradient(height, width, tile, data):
    roll = [data.draw(st.integers(0, side - 1)) for side in (height, width)]
    image = torch.rand(1, 3, height, width)
    torch.testing.assert_close(tiled_gradient(image, lambda x: 2 * x, tile, roll), 2 * image)


def test_no_tile_is_larger_than_allowed_or_too_small_for_a_network():
    seen = []

    def gradient(image):
        seen.append(tuple(image.shape[2:]))
        return image

    tiled_gradient(torch.rand(1, 3, 700, 500), gradient, 256, [3, 5])
    tiled_gradient(torch.rand(1, 3, 5, 300), gradient, 512, [1, 1])
    assert max(max(size) for size in seen) <= 512
    assert all(max(size) <= 256 for size in seen[:-1])
    assert min(min(size) for size in seen) >= 96


def test_no_detail_is_lost_between_octaves():
    sizes = octave_sizes(90, 120, Ascent(octaves=3))
    assert sizes == [(46, 61), (64, 86), (90, 120)]
    details, _ = _split(PHOTO[None], sizes)
    base = details[0]
    for size, detail in zip(sizes[1:], details[1:]):
        base = resized(base, size) + detail
    torch.testing.assert_close(base[0], PHOTO)
    still = ascend(PHOTO, noise, Ascent(octaves=3, steps=2, step=0.0))
    torch.testing.assert_close(still, PHOTO)


def test_octaves_that_would_be_too_small_are_left_out():
    assert octave_sizes(40, 300, Ascent(octaves=12)) == [(40, 300)]
    assert octave_sizes(1, 1, Ascent()) == [(1, 1)]


def test_a_step_is_as_large_as_it_says_whatever_the_gradient():
    grey = torch.full((3, 96, 96), 0.5)
    for strength in (1e-6, 1.0, 1e6):
        made = ascend(grey, lambda x, s=strength: s * ones(x), Ascent(octaves=1, steps=4, step=0.02))
        torch.testing.assert_close(made, torch.full_like(grey, 0.58))


def test_a_flat_gradient_moves_nothing():
    assert torch.equal(ascend(PHOTO, torch.zeros_like, Ascent(octaves=1)), PHOTO)


def test_room_holds_back_pixel_by_pixel():
    grey, room = torch.full((3, 96, 96), 0.5), torch.zeros(1, 96, 96)
    room[..., 48:] = 0.5
    made = ascend(grey, ones, Ascent(octaves=1, steps=4, step=0.02), room=room)
    assert torch.equal(made[..., :48], grey[..., :48])
    torch.testing.assert_close(made[..., 48:], torch.full((3, 96, 48), 0.54))


def test_chance_is_the_seed_s():
    def climb(seed, number=0):
        return ascend(
            PHOTO, lambda x: x.roll(1, 3) * torch.linspace(0, 1, x.shape[3]), Ascent(seed=seed), number=number
        )

    assert torch.equal(climb(3), climb(3))
    assert not torch.equal(climb(3), climb(4))
    assert not torch.equal(climb(3), climb(3, 1))


def test_smoothing_makes_all_sizes_of_detail_pull_alike():
    fine = torch.rand(1, 3, 64, 64) - 0.5
    coarse = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6) - 0.5, (64, 64), mode="bilinear")
    slope = fine + 0.2 * coarse

    def low(x):
        return torch.nn.functional.avg_pool2d(x, 8).abs().mean()

    smooth = _smoothed(slope)
    assert smooth.abs().mean() == pytest.approx(float(slope.abs().mean()), rel=1e-4)
    assert low(smooth) > 2 * low(slope)


def test_pixels_hardly_leave_the_range_while_they_climb():
    made = ascend(PHOTO, noise, Ascent(steps=50, step=0.1))
    assert made.min() >= -0.1
    assert made.max() <= 1.1


def test_it_tells_how_far_it_is():
    told = []
    ascend(PHOTO, noise, Ascent(octaves=2, steps=3), report=lambda done, whole: told.append((done, whole)))
    assert told == [(n, 6) for n in range(1, 7)]


def test_settings_are_those_of_one_picture_only():
    """Nothing is kept between two climbs, nor drawn from torch's own generator."""
    before = torch.random.get_rng_state()
    ascend(PHOTO, noise, Ascent(steps=1))
    assert torch.equal(before, torch.random.get_rng_state())
