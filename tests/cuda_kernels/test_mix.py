"""The mixing kernels match the reference implementations, at any size and alignment."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.ops import cuda
from streamfx.ops.mix import _fade, _moments, _recolor, _ring
from streamfx.ops.warp import blend

SIDES = st.integers(1, 60)
SHIFTS = st.integers(0, 4)  # elements from where memory is aligned
TOLERANCES = {torch.float32: 3e-7, torch.float16: 5e-4}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)


def random_images(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@DTYPES
@settings(max_examples=25)
@given(height=SIDES, width=SIDES, channels=st.integers(1, 4), shift=SHIFTS, seed=st.integers(0, 99))
def test_blend(height, width, channels, shift, seed, dtype, device, fenced, check_error):
    background, foreground = random_images(seed, 2, 2, channels, height, width).to(dtype)
    share = (1.5 * random_images(seed + 1, 2, 1, height, width) - 0.25).clamp(0, 1)
    result = cuda.blend(fenced(background, shift), fenced(foreground, shift), fenced(share, shift))
    expected = blend(background.double(), foreground.double(), share.double())
    check_error(f"blend {dtype}", result, expected, TOLERANCES[dtype])


@DTYPES
@settings(max_examples=15)
@given(height=SIDES, width=SIDES, share=st.floats(0, 1, width=32), shift=SHIFTS, seed=st.integers(0, 99))
def test_fade(height, width, share, shift, seed, dtype, device, fenced, check_error):
    image, color = random_images(seed, 3, height, width).to(dtype), (0.9, 0.0, 0.3)
    result = cuda.fade(fenced(image, shift), color, share)
    check_error(f"fade {dtype}", result, _fade(image.double(), color, share), TOLERANCES[dtype])


@settings(max_examples=40)
@given(
    height=SIDES,
    width=SIDES,
    center=st.tuples(st.floats(-20, 80, width=32), st.floats(-20, 80, width=32)),
    inner=st.floats(-30, 60, width=32),
    wide=st.floats(0, 60, width=32, allow_subnormal=False),  # GPUs flush them to zero
    soft=st.just(0.0) | st.floats(0.5, 30, width=32),
)
def test_ring(height, width, center, inner, wide, soft, device, check_error):
    result = cuda.ring((height, width), center, inner, inner + wide, soft, device)
    check_error("ring", result, _ring((height, width), center, inner, inner + wide, soft, torch.device("cpu")), 1e-5)


@DTYPES
@settings(max_examples=15)
@given(height=SIDES, width=SIDES, channels=st.integers(1, 4), shift=SHIFTS, seed=st.integers(0, 99))
def test_moments_and_recolor(height, width, channels, shift, seed, dtype, device, fenced, check_error):
    image = (0.2 + 0.5 * random_images(seed, channels, height, width)).to(dtype)
    copy = fenced(image, shift)
    (mean, spread), (true_mean, true_spread) = cuda.moments(copy), _moments(image)
    check_error("mean", mean, true_mean, 1e-6)
    check_error("variance", spread**2, true_spread**2, 1e-6)
    gain, offset = 3 * random_images(seed, channels), random_images(seed + 1, channels) - 0.7
    result = cuda.recolor(copy, gain.to(device), offset.to(device))
    expected = _recolor(image.double().float(), gain, offset)
    check_error(f"recolor {dtype}", result, expected, TOLERANCES[dtype])


def test_moments_of_many_blocks(device, check_error):
    image = 0.01 * random_images(1, 2, 613, 917) + 0.9  # more pixels than one pass of all blocks; nearly uniform
    (mean, spread), (true_mean, true_spread) = cuda.moments(image.to(device)), _moments(image)
    check_error("mean of many", mean, true_mean, 1e-6)
    check_error("variance of many", spread**2, true_spread**2, 1e-6)


def test_invalid_arguments_are_refused(device):
    image = torch.rand(3, 5, 6, device=device)
    with pytest.raises(ValueError, match=r"share .* does not fit"):
        cuda.blend(image, image, image)
    with pytest.raises(ValueError, match="one number per channel"):
        cuda.recolor(image, image[0, 0], image[0, 0])
    with pytest.raises(ValueError, match=r"\[3, H, W\]"):
        cuda.fade(image[:2], (0, 0, 0), 0.5)
    with pytest.raises(ValueError, match=r"\[C, H, W\]"):
        cuda.moments(image[None])
