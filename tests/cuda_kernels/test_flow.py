"""The trust mask and dense Lucas-Kanade on the GPU find what their twins find."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from streamfx.motion.flow import OUTSIDE, trust_mask
from streamfx.motion.lucas_kanade import KERNELS, TWINS, search
from streamfx.ops import cuda

SIDES = st.integers(1, 75)


def smooth(seed, channels, height, width, grain=6):
    """Random values in 0..1 that change over `grain` pixels."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, channels, height // grain + 2, width // grain + 2, generator=random)
    return F.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 1)


@settings(max_examples=30)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_trust_mask(height, width, seed, device, fenced):
    reach = 1 + seed % 5
    backward = reach * (smooth(seed, 2, height, width, 25) - 0.5)
    forward = -backward + 0.7 * (smooth(seed + 1, 2, height, width, 9) - 0.3)
    made = cuda.trust_mask(fenced(backward), fenced(forward), OUTSIDE).cpu()
    wanted = trust_mask(backward[None].double(), forward[None].double())[0]
    assert made.shape == (1, height, width)
    assert set(made.unique().tolist()) <= {0.0, 1.0}
    assert (made != wanted).float().mean() <= 0.002 + 1 / wanted.numel()  # what is just at a threshold


def test_trust_is_neither_all_nor_nothing(device, fenced):
    """Which the comparison above would not notice."""
    backward = 6 * (smooth(3, 2, 60, 75, 25) - 0.5)
    mask = cuda.trust_mask(fenced(backward), fenced(-backward + smooth(4, 2, 60, 75, 9) - 0.4), OUTSIDE)
    assert 0.1 < mask.mean() < 0.9
    pair = torch.stack([backward, -backward]).to(device)
    batch = cuda.trust_mask(pair, torch.zeros_like(pair), OUTSIDE)
    assert batch.shape == (2, 1, 60, 75)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@settings(max_examples=15)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_luma(height, width, seed, dtype, device, fenced, furthest):
    image = smooth(seed, 3, height, width, 1).to(dtype)
    furthest("luma", KERNELS.luma(fenced(image)), TWINS.luma(image), 1e-4)  # of 255


@settings(max_examples=20)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_halving_and_enlarging(height, width, seed, device, fenced, furthest):
    plane = 255 * smooth(seed, 1, height, width, 1)
    furthest("halve", KERNELS.halve(fenced(plane)), TWINS.halve(plane), 1e-4)  # of 255
    flow = 20 * smooth(seed, 2, (height + 1) // 2, (width + 1) // 2, 2) - 10
    furthest("enlarge", KERNELS.enlarge(fenced(flow), height, width), TWINS.enlarge(flow, height, width), 2e-5)


@example(height=40, width=73, radius=1, seed=4)  # a point on the border
@settings(max_examples=15)
@given(height=SIDES, width=SIDES, radius=st.integers(1, cuda.LARGEST_RADIUS), seed=st.integers(0, 99))
def test_a_round_of_lucas_kanade(height, width, radius, seed, device, fenced, furthest):
    image, other = 255 * smooth(seed, 1, height, width), 255 * smooth(seed + 1, 1, height, width)
    flow = 4 * smooth(seed, 2, height, width, 20) - 2 + 30 * (seed % 3)
    made = KERNELS.round(fenced(image), fenced(other), fenced(flow), radius, 1.0, 2.0)
    wanted = TWINS.round(*(each.double() for each in (image, other, flow)), radius, 1.0, 2.0)
    off = (made.double().cpu() - wanted).abs().amax(0) > 5e-3  # [H, W]
    # a point within rounding of the border is in or out for either: all windows that it is in may differ
    assert off.sum() <= (2 * radius + 1) ** 2
    furthest("lucas_kanade", made.cpu()[:, ~off], wanted[:, ~off], 5e-3)  # pixels


@pytest.mark.parametrize("finest", [0, 1])
def test_a_whole_search(finest, device, fenced, furthest):
    ground = smooth(7, 3, 70, 110, 5)
    image, other = ground[:, 3:63, 4:100].contiguous(), ground[:, 1:61, 7:103].contiguous()
    found = search(fenced(image), fenced(other), finest, KERNELS)
    furthest("lucas_kanade, whole", found, search(image, other, finest, TWINS), 5e-3)  # pixels
    inner = found.cpu()[:, 10:-10, 10:-10]
    assert (inner - torch.tensor([-3.0, 2.0]).view(2, 1, 1)).norm(dim=0).median() < 0.1


def test_what_does_not_fit_is_said(device):
    plane, flow = torch.rand(1, 5, 6, device=device), torch.zeros(2, 5, 6, device=device)
    with pytest.raises(ValueError, match="radius of 1 to 5"):
        cuda.lucas_kanade(plane, plane, flow, 6, 1.0, 1.0)
    with pytest.raises(ValueError, match="is not half of"):
        cuda.enlarge(flow, 5, 6)
    with pytest.raises(ValueError, match="backward is"):
        cuda.trust_mask(plane, flow, 0.25)
    with pytest.raises(ValueError, match=r"\[3, H, W\]"):
        cuda.luma(plane)
