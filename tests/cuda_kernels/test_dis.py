"""The kernels of dense inverse search match the reference implementations."""

import re

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from streamfx.motion import assessment, occlusion, patch_search, variational
from streamfx.motion.inverse_search import KERNELS, REFERENCE, _level_count, inverse_search
from streamfx.ops import cuda, cuda_dis

SIDES = st.integers(16, 45)
SEEDS = st.integers(0, 99)


def smooth(seed, channels, height, width, grain=5):
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, channels, height // grain + 2, width // grain + 2, generator=random)
    return F.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 1)


def moved_pair(seed, height, width, channels=1):
    """Two images [channels, height, width] in 0..1, shifted by a few pixels, the second a little brighter."""
    large = 0.9 * smooth(seed, channels, height + 8, width + 8)
    x, y = 1 + seed % 5, 2 + seed % 3
    return large[:, 4:-4, 4:-4].contiguous(), large[:, y : y + height, x : x + width] + 0.02


def lumas_of(seed, height, width):
    return 255 * torch.cat(moved_pair(seed, height, width))


def share_above(result, expected, limit):
    """The share of pixels [..., H, W] at which any value differs by more than `limit`."""
    off = (result.double().cpu() - expected.double()).abs() > limit
    return off.reshape(-1, *off.shape[-2:]).any(0).double().mean()


@pytest.mark.parametrize("family", ["assessment", "dis", "variational"])
def test_constants_match_python(family):
    modules = {"assessment": assessment, "dis": patch_search, "variational": variational}
    text = cuda.source(family)
    values = dict(re.findall(r"(\w+) = ([\d.e-]+)f?[,; ]", text))
    names = [name for name in values if name.isupper() and hasattr(modules[family], name)]
    assert len(names) >= 5
    for name in names:
        assert float(values[name]) == pytest.approx(getattr(modules[family], name)), name
    if family == "assessment":
        assert float(values["SIGMA"]) == occlusion.SIGMA


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@settings(max_examples=12)
@given(height=st.integers(1, 75), width=st.integers(1, 75), factor=st.sampled_from([1, 2, 4]), seed=SEEDS)
def test_small_lumas(height, width, factor, seed, dtype, device, fenced, check_error):
    current, previous = smooth(seed, 6, height, width, 1).to(dtype).split(3)
    size = -(-height // factor), -(-width // factor)
    result = KERNELS.lumas(fenced(current), fenced(previous), size)
    check_error("small_lumas", result, REFERENCE.lumas(current, previous, size), 2e-4)  # of 255


@settings(max_examples=8)
@given(height=st.integers(1, 75), width=st.integers(1, 75), seed=SEEDS)
def test_pyramid_and_median_difference(height, width, seed, device, fenced, check_error):
    lumas = 255 * smooth(seed, 2, height, width, 3) - 40 * (seed % 2)
    levels, brightness = KERNELS.pyramid(fenced(lumas), 3)
    expected_levels, expected_brightness = REFERENCE.pyramid(lumas, 3)
    assert brightness.item() == expected_brightness.item()
    for level, expected in zip(levels, expected_levels, strict=True):
        check_error("pyramid", level, expected, 1e-4)


@example(height=16, width=23, seed=5)
@settings(max_examples=5)
@given(height=SIDES, width=SIDES, seed=SEEDS)
def test_search_and_densify(height, width, seed, device, fenced):
    lumas = lumas_of(seed, height, width)
    coarse = None
    if seed % 2:
        coarse = 2 * smooth(seed, 4, (height + 1) // 2, (width + 1) // 2).view(2, 2, (height + 1) // 2, -1) - 1
    patches = cuda_dis.search(fenced(lumas), None if coarse is None else fenced(coarse), patch_search.ROUNDS)
    expected = patch_search.search(lumas, coarse)
    # two candidates that match about as well may change places
    assert share_above(patches[:, :2], expected, 0.02) <= 0.05
    exact = torch.cat([expected, torch.zeros_like(expected[:, :1])], 1)
    dense = cuda_dis.densify(fenced(lumas), fenced(exact)).cpu()
    assert share_above(dense, patch_search.densify(lumas, expected), 1e-3) == 0


@example(height=34, width=33, seed=1)
@settings(max_examples=4)
@given(height=st.integers(1, 50), width=st.integers(1, 50), seed=SEEDS)
def test_refine(height, width, seed, device, fenced, check_error):
    lumas = lumas_of(seed, height, width)
    motion = 3 * smooth(seed, 4, height, width, 9).view(2, 2, height, width) - 1
    result = cuda_dis.refine(fenced(lumas), fenced(motion), 2)
    expected = motion.double()
    expected = expected + _change(lumas.double(), expected, 2)
    check_error("refine", result, expected, 5e-3)  # pixels


def _change(lumas, motion, iterations):
    terms, change = variational._derivatives(lumas, motion), torch.zeros_like(motion)
    for _ in range(iterations):
        change = variational._solve(variational._data_term(terms, change), motion, change)
    return change


@settings(max_examples=10)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=SEEDS)
def test_median(height, width, seed, device, fenced):
    motion = torch.randn(2, 2, height, width, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(cuda_dis.median(fenced(motion)).cpu(), assessment.median(motion))


@settings(max_examples=10)
@given(height=SIDES, width=st.integers(16, 70), seed=SEEDS)
def test_assess(height, width, seed, device, fenced):
    """In the right half, the images move; the forward flow is inconsistent in some areas."""
    after, other = lumas_of(seed, height, width)
    before = torch.where(torch.arange(width) < width // 2, after + smooth(seed, 1, height, width, 1)[0], other)
    motion = 4 * smooth(seed, 4, height, width, 20).view(2, 2, height, width) - 2
    motion[1] = -motion[0] + 0.8 * (smooth(seed + 1, 1, height, width, 12) > 0.6)
    lumas, brightness = torch.stack([after, before]), torch.tensor([3.0 * (seed % 3)])
    arguments = (occlusion.OUTSIDE, (4.0, 3.0))
    result = cuda_dis.assess(fenced(lumas), fenced(motion), fenced(brightness), *arguments).cpu()
    expected = assessment.assess(lumas, motion, brightness[0], *arguments)
    assert share_above(result[:2], expected[:2], 1e-3) == 0
    assert share_above(result[2:], expected[2:], 1e-3) <= 0.01  # pixels at a threshold


@pytest.mark.parametrize("size", [(47, 81), (66, 35)])
def test_whole_search(size, device, fenced):
    current, previous = moved_pair(3, *size, channels=3)
    planes = inverse_search(fenced(previous), fenced(current), KERNELS).cpu()
    expected = inverse_search(previous, current, REFERENCE)
    assert share_above(planes[:2], expected[:2], 0.1) <= 0.005  # pixels; see test_search_and_densify
    assert (planes[2] - expected[2]).abs().mean() < 0.01
    assert expected[:2].abs().mean() > 0.5
    assert expected[2].mean() > 0.3


@pytest.mark.parametrize(("size", "levels"), [((16, 16), 1), ((31, 90), 2), ((180, 320), 4), ((17, 700), 1)])
def test_level_count(size, levels):
    assert _level_count(size) == levels
