"""Mixing kernels do what their twins do, at every size and alignment."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.ops import cuda
from streamfx.ops.mix import _fade, _moments, _recolor, _ring
from streamfx.ops.warp import blend

SIDES = st.integers(1, 60)
SHIFTS = st.integers(0, 4)  # elements from where memory is aligned
MOST = {torch.float32: 3e-7, torch.float16: 5e-4}
DTYPES = pytest.mark.parametrize("dtype", MOST, ids=str)


def pictures(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@DTYPES
@settings(max_examples=25)
@given(height=SIDES, width=SIDES, channels=st.integers(1, 4), shift=SHIFTS, seed=st.integers(0, 99))
def test_blend(height, width, channels, shift, seed, dtype, device, fenced, furthest):
    ground, cover = pictures(seed, 2, 2, channels, height, width).to(dtype)
    share = (1.5 * pictures(seed + 1, 2, 1, height, width) - 0.25).clamp(0, 1)
    made = cuda.blend(fenced(ground, shift), fenced(cover, shift), fenced(share, shift))
    furthest(f"blend {dtype}", made, blend(ground.double(), cover.double(), share.double()), MOST[dtype])


@DTYPES
@settings(max_examples=15)
@given(height=SIDES, width=SIDES, share=st.floats(0, 1, width=32), shift=SHIFTS, seed=st.integers(0, 99))
def test_fade(height, width, share, shift, seed, dtype, device, fenced, furthest):
    image, color = pictures(seed, 3, height, width).to(dtype), (0.9, 0.0, 0.3)
    made = cuda.fade(fenced(image, shift), color, share)
    furthest(f"fade {dtype}", made, _fade(image.double(), color, share), MOST[dtype])


@settings(max_examples=40)
@given(
    height=SIDES,
    width=SIDES,
    centre=st.tuples(st.floats(-20, 80, width=32), st.floats(-20, 80, width=32)),
    inner=st.floats(-30, 60, width=32),
    wide=st.floats(0, 60, width=32, allow_subnormal=False),  # which a GPU takes for nothing
    soft=st.just(0.0) | st.floats(0.5, 30, width=32),
)
def test_ring(height, width, centre, inner, wide, soft, device, furthest):
    made = cuda.ring((height, width), centre, inner, inner + wide, soft, device)
    furthest("ring", made, _ring((height, width), centre, inner, inner + wide, soft, torch.device("cpu")), 1e-5)


@DTYPES
@settings(max_examples=15)
@given(height=SIDES, width=SIDES, channels=st.integers(1, 4), shift=SHIFTS, seed=st.integers(0, 99))
def test_colours(height, width, channels, shift, seed, dtype, device, fenced, furthest):
    image = (0.2 + 0.5 * pictures(seed, channels, height, width)).to(dtype)
    held = fenced(image, shift)
    (mean, spread), (true_mean, true_spread) = cuda.moments(held), _moments(image)
    furthest("mean", mean, true_mean, 1e-6)
    furthest("variance", spread**2, true_spread**2, 1e-6)
    gain, plus = 3 * pictures(seed, channels), pictures(seed + 1, channels) - 0.7
    made = cuda.recolor(held, gain.to(device), plus.to(device))
    wanted = _recolor(image.double().float(), gain, plus)
    furthest(f"recolor {dtype}", made, wanted, MOST[dtype])


def test_sums_of_many_blocks(device, furthest):
    image = 0.01 * pictures(1, 2, 613, 917) + 0.9  # more than one round of all blocks; nearly flat
    (mean, spread), (true_mean, true_spread) = cuda.moments(image.to(device)), _moments(image)
    furthest("mean of many", mean, true_mean, 1e-6)
    furthest("variance of many", spread**2, true_spread**2, 1e-6)


def test_what_does_not_fit_is_said(device):
    image = torch.rand(3, 5, 6, device=device)
    with pytest.raises(ValueError, match="a share"):
        cuda.blend(image, image, image)
    with pytest.raises(ValueError, match="one number a channel"):
        cuda.recolor(image, image[0, 0], image[0, 0])
    with pytest.raises(ValueError, match=r"\[3, H, W\]"):
        cuda.fade(image[:2], (0, 0, 0), 0.5)
    with pytest.raises(ValueError, match=r"\[C, H, W\]"):
        cuda.moments(image[None])
