"""Changed pictures keep to their source's light, contrast and colour."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.ops.color import luma
from streamfx.ops.color_statistics import govern, hold, into_range, soften, traits

PHOTO = torch.nn.functional.interpolate(
    torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(5)), (64, 96), mode="bicubic"
)[0].clamp(0, 1)


def test_what_is_not_changed_stays():
    torch.testing.assert_close(govern(PHOTO, PHOTO), PHOTO, atol=1e-5, rtol=0)


def test_a_small_change_stays_but_for_its_mean():
    source = 0.3 + 0.4 * PHOTO
    change = 0.02 * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    made = govern(source, source + change + torch.tensor([0.1, 0.0, -0.1]).view(3, 1, 1))
    torch.testing.assert_close(made, source + change - change.mean((1, 2), keepdim=True), atol=2e-3, rtol=0)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0, 3), st.floats(0, 1))
def test_contrast_and_colour_are_bounded_and_all_is_in_range(seed, size, level):
    chance = torch.Generator().manual_seed(seed)
    source = level * PHOTO
    made = govern(source, source + size * torch.randn(source.shape, generator=chance))
    assert 0 <= made.min() <= made.max() <= 1
    spread = lambda image: (luma(image) - luma(image).mean()).square().mean()  # noqa: E731
    hue = lambda image: (image - luma(image)).square().mean()  # noqa: E731
    assert spread(made) <= 1.6 * spread(source) + 0.1**2 + 0.01
    assert hue(made) <= 1.6 * hue(source) + 0.06**2 / 3 + 0.02


def test_fed_back_again_and_again_it_comes_to_rest():
    chance = torch.Generator().manual_seed(2)
    push = torch.randn(PHOTO.shape, generator=chance)
    picture, spreads = PHOTO, []
    for _ in range(200):
        picture = govern(PHOTO, picture + 0.05 * push)
        spreads.append(float(luma(picture).std()))
    assert spreads[-1] == pytest.approx(spreads[100], rel=0.02)
    assert abs(float(picture.mean() - PHOTO.mean())) < 0.03


def test_traits_are_what_they_say():
    image = torch.full((3, 32, 32), 0.25)
    image[:, :16] += 0.5
    torch.testing.assert_close(traits(image)[:4], torch.tensor([0.5, 0.5, 0.5, 0.25]), atol=0.003, rtol=0)
    assert traits(image)[4] < 1e-6
    assert traits(PHOTO)[4] > 0.1


def test_holding_draws_light_contrast_and_colour_to_the_aim():
    source = 0.3 + 0.4 * PHOTO
    aim = traits(source)
    astray = 0.2 + 1.3 * (source - 0.5) + torch.tensor([0.4, 0.3, 0.2]).view(3, 1, 1)
    whole = hold(astray, aim, 1.0)
    torch.testing.assert_close(traits(whole), aim, atol=0.01, rtol=0)
    torch.testing.assert_close(whole, source, atol=0.02, rtol=0)
    before = (traits(astray) - aim).abs()
    assert ((traits(hold(astray, aim, 0.2)) - aim).abs() < 0.9 * before).all()
    torch.testing.assert_close(hold(source, aim, 0.5), source, atol=1e-4, rtol=0)


def test_nothing_leaves_the_range_and_what_is_well_inside_stays():
    ramp = torch.linspace(-3, 4, 7001)
    made = into_range(ramp)
    assert made.min() > 0
    assert made.max() < 1
    assert (made[1:] > made[:-1]).all()
    inside = (ramp > 0.05) & (ramp < 0.95)
    torch.testing.assert_close(made[inside], ramp[inside])


def test_softening_takes_from_the_finest_detail_only():
    x = torch.arange(64.0)
    fine, coarse = ((0.5 + 0.3 * torch.cos(torch.pi * x / size)).expand(3, 48, 64) for size in (1, 16))
    assert soften(fine, 0.2).std() < 0.85 * fine.std()
    assert soften(coarse, 0.2).std() > 0.99 * coarse.std()
    torch.testing.assert_close(soften(fine, 0.0), fine)
