"""The mixing kernels match the reference implementations, at any size and alignment."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.ops import cuda
from streamfx.ops.mix import _ring
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


def test_invalid_arguments_are_refused(device):
    image = torch.rand(3, 5, 6, device=device)
    with pytest.raises(ValueError, match=r"share .* does not fit"):
        cuda.blend(image, image, image)
    with pytest.raises(ValueError, match="must match the other image"):
        cuda.blend(image, image[:2], image[:1])
