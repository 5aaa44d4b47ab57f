"""The warping kernels match the reference implementations at any size and border, and read only the image."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.ops import cuda, launch
from streamfx.ops.warp import _warp

SIDES = st.integers(1, 41)
MODES = st.tuples(st.sampled_from(launch.FILTERS), st.sampled_from(launch.BORDERS))
TOLERANCES = {torch.float32: 3e-5, torch.float16: 6e-4}  # of a range of 1; half a float16 step below 2 is 5e-4
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)


def random_images(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def flows(seed, reach, *shape):
    return reach * torch.randn(*shape, generator=torch.Generator().manual_seed(seed + 1))


def sized(side, border):
    """At least 2 for "zeros": the reference ignores the position in images of one pixel, so it shows no zeros."""
    return max(2, side) if border == "zeros" else side


@DTYPES
@settings(max_examples=40)
@given(height=SIDES, width=SIDES, channels=st.integers(1, 4), mode=MODES, seed=st.integers(0, 99))
def test_warp(height, width, channels, mode, seed, dtype, device, fenced, check_error):
    height, width = sized(height, mode[1]), sized(width, mode[1])
    image, flow = random_images(seed, channels, height, width).to(dtype), flows(seed, seed / 4, 2, height, width)
    result = cuda.warp(fenced(image, seed % 3), fenced(flow), *mode)
    assert result.dtype == dtype
    check_error(f"warp {dtype}", result, _warp(image.double(), flow.double(), *mode), TOLERANCES[dtype])


@pytest.mark.parametrize("filter", launch.FILTERS)
@pytest.mark.parametrize("border", launch.BORDERS)
def test_long_flows(filter, border, device, fenced, check_error):
    """Flows are multiples of 1/4, so the coordinates are exact."""
    image = random_images(1, 2, 9, 13)
    flow = (flows(1, 2e4, 2, 9, 13) * 4).round() / 4
    result = cuda.warp(fenced(image), fenced(flow), filter, border)
    check_error("warp, long flows", result, _warp(image.double(), flow.double(), filter, border), 1e-6)


@pytest.mark.parametrize("filter", launch.FILTERS)
@pytest.mark.parametrize("border", launch.BORDERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38, -3e38])
def test_invalid_flows_give_finite_values(value, border, filter, device, fenced):
    result = cuda.warp(fenced(random_images(1, 2, 5, 6)), fenced(torch.full((2, 5, 6), value)), filter, border)
    assert result.isfinite().all()


def test_batches_have_separate_flows(device, fenced, check_error):
    images, flow = random_images(2, 2, 3, 4, 7, 35), flows(2, 3, 2, 3, 2, 7, 35)
    result = cuda.warp(fenced(images), fenced(flow))
    check_error("warp of a batch", result, _warp(images.double(), flow.double(), "bilinear", "replicate"), 3e-5)


def test_non_contiguous_inputs(device, check_error):
    image, flow = random_images(3, 7, 9, 3).permute(2, 0, 1).to(device), flows(3, 2, 2, 7, 1).expand(2, 7, 9).to(device)
    expected = _warp(image.cpu().double(), flow.cpu().double(), "bilinear", "wrap")
    check_error("warp of a view", cuda.warp(image, flow, border="wrap"), expected, 3e-5)


def test_invalid_arguments_are_refused(device):
    image, flow = torch.rand(3, 5, 6, device=device), torch.zeros(2, 5, 6, device=device)
    with pytest.raises(ValueError, match="does not fit"):
        cuda.warp(image, flow[..., :5])
    with pytest.raises(ValueError, match="float32 or float16, not"):
        cuda.warp(image.double(), flow)
    with pytest.raises(ValueError, match="filter must be one of"):
        cuda.warp(image, flow, "nearest")
    with pytest.raises(ValueError, match="with 1 to"):
        cuda.warp(image[:, :0], flow[:, :0])
    with pytest.raises(ValueError, match="not on meta"):
        cuda.warp(image.to("meta"), flow.to("meta"))
    with pytest.raises(ValueError, match="use one device"):
        cuda.warp(image, flow.to("meta"))
