"""Warping kernels do what their twins do, at every size and border, and read nothing beyond the picture."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.ops import cuda, launch
from streamfx.ops.affine import _affine
from streamfx.ops.mix import _warp_blend
from streamfx.ops.warp import _warp

SIDES = st.integers(1, 41)
WAYS = st.tuples(st.sampled_from(launch.FILTERS), st.sampled_from(launch.BORDERS))
MOST = {torch.float32: 3e-5, torch.float16: 6e-4}  # of a range of 1; half the steps of float16 below 2 are 5e-4
DTYPES = pytest.mark.parametrize("dtype", MOST, ids=str)


def pictures(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def flows(seed, reach, *shape):
    return reach * torch.randn(*shape, generator=torch.Generator().manual_seed(seed + 1))


def sized(side, border):
    """A twin of one pixel takes no notice of where it is looked at, so it knows no zeros beside it."""
    return max(2, side) if border == "zeros" else side


@DTYPES
@settings(max_examples=40)
@given(height=SIDES, width=SIDES, channels=st.integers(1, 4), ways=WAYS, seed=st.integers(0, 99))
def test_warp(height, width, channels, ways, seed, dtype, device, fenced, furthest):
    height, width = sized(height, ways[1]), sized(width, ways[1])
    image, flow = pictures(seed, channels, height, width).to(dtype), flows(seed, seed / 4, 2, height, width)
    made = cuda.warp(fenced(image, seed % 3), fenced(flow), *ways)
    assert made.dtype == dtype
    furthest(f"warp {dtype}", made, _warp(image.double(), flow.double(), *ways), MOST[dtype])


@pytest.mark.parametrize("filter", launch.FILTERS)
@pytest.mark.parametrize("border", launch.BORDERS)
def test_far_away(filter, border, device, fenced, furthest):
    """Flows of quarters, so that the point itself is exact."""
    image = pictures(1, 2, 9, 13)
    flow = (flows(1, 2e4, 2, 9, 13) * 4).round() / 4
    made = cuda.warp(fenced(image), fenced(flow), filter, border)
    furthest("warp from afar", made, _warp(image.double(), flow.double(), filter, border), 1e-6)


@pytest.mark.parametrize("filter", launch.FILTERS)
@pytest.mark.parametrize("border", launch.BORDERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38, -3e38])
def test_flows_that_lead_nowhere_still_give_numbers(value, border, filter, device, fenced):
    made = cuda.warp(fenced(pictures(1, 2, 5, 6)), fenced(torch.full((2, 5, 6), value)), filter, border)
    assert made.isfinite().all()


def test_each_of_a_batch_by_its_own_flow(device, fenced, furthest):
    images, flow = pictures(2, 2, 3, 4, 7, 35), flows(2, 3, 2, 3, 2, 7, 35)
    made = cuda.warp(fenced(images), fenced(flow))
    furthest("warp of a batch", made, _warp(images.double(), flow.double(), "bilinear", "replicate"), 3e-5)


def test_views_are_taken_as_they_look(device, furthest):
    image, flow = pictures(3, 7, 9, 3).permute(2, 0, 1).to(device), flows(3, 2, 2, 7, 1).expand(2, 7, 9).to(device)
    wanted = _warp(image.cpu().double(), flow.cpu().double(), "bilinear", "wrap")
    furthest("warp of a view", cuda.warp(image, flow, border="wrap"), wanted, 3e-5)


@DTYPES
@settings(max_examples=30)
@given(height=SIDES, width=SIDES, ways=WAYS, seed=st.integers(0, 99))
def test_warp_blend(height, width, ways, seed, dtype, device, fenced, furthest):
    height, width = sized(height, ways[1]), sized(width, ways[1])
    ground, image = pictures(seed, 2, 3, height, width).to(dtype)
    flow, share = flows(seed, 5, 2, height, width), 1.5 * pictures(seed + 2, 1, height, width) - 0.25
    share = share.clamp(0, 1)  # many of exactly 0 and 1
    made = cuda.warp_blend(fenced(ground), fenced(image), fenced(flow), fenced(share), *ways)
    wanted = _warp_blend(ground.double(), image.double(), flow.double(), share.double(), *ways)
    furthest(f"warp_blend {dtype}", made, wanted, MOST[dtype])


def moves(zoom, degrees, across, down, tilt=None):
    cosine, sine = zoom * math.cos(math.radians(degrees)), zoom * math.sin(math.radians(degrees))
    rows = [[cosine, -sine, across], [sine, cosine, down]]
    return rows if tilt is None else [*rows, [tilt, -tilt / 2, 1.0]]


@DTYPES
@settings(max_examples=30)
@given(
    height=SIDES,
    width=SIDES,
    ways=WAYS,
    matrix=st.builds(
        moves,
        st.floats(0.3, 3),
        st.floats(-180, 180),
        st.floats(-20, 20),
        st.floats(-20, 20),
        st.none() | st.floats(-0.005, 0.005),
    ),
    seed=st.integers(0, 99),
)
def test_affine(height, width, ways, matrix, seed, dtype, device, fenced, furthest):
    height, width = sized(height, ways[1]), sized(width, ways[1])
    image = pictures(seed, 3, height, width).to(dtype)
    made = cuda.affine(fenced(image), matrix, *ways)
    furthest(f"affine {dtype}", made, _affine(image.double(), matrix, *ways), 4 * MOST[dtype])


def test_affine_without_a_move_is_the_picture(device, fenced):
    image = pictures(5, 3, 20, 31)
    for filter in launch.FILTERS:
        for border in launch.BORDERS:
            assert torch.equal(cuda.affine(fenced(image), moves(1, 0, 0, 0), filter, border).cpu(), image)


def test_what_does_not_fit_is_said(device):
    image, flow = torch.rand(3, 5, 6, device=device), torch.zeros(2, 5, 6, device=device)
    with pytest.raises(ValueError, match="does not fit"):
        cuda.warp(image, flow[..., :5])
    with pytest.raises(ValueError, match="float32 or float16, not"):
        cuda.warp(image.double(), flow)
    with pytest.raises(ValueError, match="filter is one of"):
        cuda.warp(image, flow, "nearest")
    with pytest.raises(ValueError, match="is not like the other"):
        cuda.warp_blend(image, image[:2], flow, flow[:1])
    with pytest.raises(ValueError, match="two or three rows"):
        cuda.affine(image, [[1, 0, 0]] * 4)
    with pytest.raises(ValueError, match="with 1 to"):
        cuda.warp(image[:, :0], flow[:, :0])
    with pytest.raises(ValueError, match="not on meta"):
        cuda.warp(image.to("meta"), flow.to("meta"))
    with pytest.raises(ValueError, match="bring them together"):
        cuda.warp(image, flow.to("meta"))
