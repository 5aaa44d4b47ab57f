"""The kernels for the consistency mask and dense Lucas-Kanade match the reference implementations."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from streamfx.motion.lucas_kanade import KERNELS, REFERENCE, search
from streamfx.motion.occlusion import OUTSIDE, consistency_mask
from streamfx.ops import cuda

SIDES = st.integers(1, 75)


def smooth(seed, channels, height, width, grain=6):
    """Smooth random values in 0..1 with a scale of `grain` pixels."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, channels, height // grain + 2, width // grain + 2, generator=random)
    return F.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 1)


@settings(max_examples=30)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_consistency_mask(height, width, seed, device, fenced):
    reach = 1 + seed % 5
    backward = reach * (smooth(seed, 2, height, width, 25) - 0.5)
    forward = -backward + 0.7 * (smooth(seed + 1, 2, height, width, 9) - 0.3)
    result = cuda.consistency_mask(fenced(backward), fenced(forward), OUTSIDE).cpu()
    expected = consistency_mask(backward[None].double(), forward[None].double())[0]
    assert result.shape == (1, height, width)
    assert set(result.unique().tolist()) <= {0.0, 1.0}
    assert (result != expected).float().mean() <= 0.002 + 1 / expected.numel()  # pixels at a threshold


def test_consistency_mask_is_not_constant(device, fenced):
    """The comparison above would not notice that."""
    backward = 6 * (smooth(3, 2, 60, 75, 25) - 0.5)
    mask = cuda.consistency_mask(fenced(backward), fenced(-backward + smooth(4, 2, 60, 75, 9) - 0.4), OUTSIDE)
    assert 0.1 < mask.mean() < 0.9
    pair = torch.stack([backward, -backward]).to(device)
    batch = cuda.consistency_mask(pair, torch.zeros_like(pair), OUTSIDE)
    assert batch.shape == (2, 1, 60, 75)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@settings(max_examples=15)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_luma(height, width, seed, dtype, device, fenced, check_error):
    image = smooth(seed, 3, height, width, 1).to(dtype)
    check_error("luma", KERNELS.luma(fenced(image)), REFERENCE.luma(image), 1e-4)  # of 255


@settings(max_examples=20)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_halve_and_enlarge(height, width, seed, device, fenced, check_error):
    plane = 255 * smooth(seed, 1, height, width, 1)
    check_error("halve", KERNELS.halve(fenced(plane)), REFERENCE.halve(plane), 1e-4)  # of 255
    flow = 20 * smooth(seed, 2, (height + 1) // 2, (width + 1) // 2, 2) - 10
    check_error("enlarge", KERNELS.enlarge(fenced(flow), height, width), REFERENCE.enlarge(flow, height, width), 2e-5)


@example(height=40, width=73, radius=1, seed=4)  # a point on the border
@settings(max_examples=15)
@given(height=SIDES, width=SIDES, radius=st.integers(1, cuda.MAX_RADIUS), seed=st.integers(0, 99))
def test_lucas_kanade_iteration(height, width, radius, seed, device, fenced, check_error):
    image, other = 255 * smooth(seed, 1, height, width), 255 * smooth(seed + 1, 1, height, width)
    flow = 4 * smooth(seed, 2, height, width, 20) - 2 + 30 * (seed % 3)
    result = KERNELS.iterate(fenced(image), fenced(other), fenced(flow), radius, 1.0, 2.0)
    expected = REFERENCE.iterate(*(x.double() for x in (image, other, flow)), radius, 1.0, 2.0)
    off = (result.double().cpu() - expected).abs().amax(0) > 5e-3  # [H, W]
    # a point within rounding error of the border may be inside for only one of them, which affects all its windows
    assert off.sum() <= (2 * radius + 1) ** 2
    check_error("lucas_kanade", result.cpu()[:, ~off], expected[:, ~off], 5e-3)  # pixels


@pytest.mark.parametrize("finest", [0, 1])
def test_search(finest, device, fenced, check_error):
    photo = smooth(7, 3, 70, 110, 5)
    image, other = photo[:, 3:63, 4:100].contiguous(), photo[:, 1:61, 7:103].contiguous()
    flow = search(fenced(image), fenced(other), finest, KERNELS)
    check_error("lucas_kanade, whole", flow, search(image, other, finest, REFERENCE), 5e-3)  # pixels
    inner = flow.cpu()[:, 10:-10, 10:-10]
    assert (inner - torch.tensor([-3.0, 2.0]).view(2, 1, 1)).norm(dim=0).median() < 0.1


def test_invalid_arguments_are_refused(device):
    plane, flow = torch.rand(1, 5, 6, device=device), torch.zeros(2, 5, 6, device=device)
    with pytest.raises(ValueError, match="radius must be from 1 to 5"):
        cuda.lucas_kanade(plane, plane, flow, 6, 1.0, 1.0)
    with pytest.raises(ValueError, match="is not half of"):
        cuda.enlarge(flow, 5, 6)
    with pytest.raises(ValueError, match="backward must be"):
        cuda.consistency_mask(plane, flow, 0.25)
    with pytest.raises(ValueError, match=r"\[3, H, W\]"):
        cuda.luma(plane)
