"""Dense Lucas-Kanade on known motion."""

import pytest
import torch
from torch.nn import functional as F

from streamfx.motion.lucas_kanade import lucas_kanade


@pytest.fixture(scope="module")
def photo():
    """An image [3, 170, 230] with details of 3 to 30 pixels."""
    random = torch.Generator().manual_seed(1)
    layers = [
        F.interpolate(
            torch.rand(1, 3, 170 // grain + 3, 230 // grain + 3, generator=random), (170, 230), mode="bicubic"
        )
        for grain in (4, 12, 30)
    ]
    return (sum(layers) / 3)[0].clamp(0, 1)


def error(flow, across, down):
    """Median and mean distance from a shift, excluding the borders."""
    distance = (flow[:, 12:-12, 12:-12] - torch.tensor([across, down]).view(2, 1, 1)).norm(dim=0)
    return distance.median(), distance.mean()


@pytest.mark.parametrize("shift", [(0, 0), (1, -2), (7, 4), (-14, 9)])
def test_shifts(shift, photo):
    across, down = shift
    image, other = photo[:, 15:151, 15:211], photo[:, 15 - down : 151 - down, 15 - across : 211 - across]
    median, mean = error(lucas_kanade(image, other), across, down)
    assert median < 0.05
    assert mean < 0.15


def test_half_a_pixel_at_full_size(photo):
    between = (photo[:, :, 1:] + photo[:, :, :-1]) / 2
    median, mean = error(lucas_kanade(photo[:, :, :-1], between, finest=0), -0.5, 0.0)
    assert median < 0.05
    assert mean < 0.1


def test_brightness_changes_are_not_motion(photo):
    median, mean = error(lucas_kanade(0.8 * photo, 0.8 * photo + 0.1), 0.0, 0.0)
    assert median < 0.01
    assert mean < 0.01


def test_noise_causes_little_motion(photo):
    random = torch.Generator().manual_seed(2)
    noisy = [photo + torch.randn(photo.shape, generator=random) * 2.5 / 255 for _ in range(2)]
    assert lucas_kanade(*noisy).norm(dim=0).mean() < 0.15


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2), (31, 65), (64, 47)])
@pytest.mark.parametrize("finest", [0, 1, 2])
def test_any_size(size, finest):
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3))
    flow = lucas_kanade(*images, finest=finest)
    assert flow.shape == (2, *size)
    assert flow.isfinite().all()
    assert lucas_kanade(images[0], images[0], finest).abs().max() < 1e-3


def test_different_sizes_are_an_error():
    with pytest.raises(ValueError, match="two images"):
        lucas_kanade(torch.rand(3, 8, 9), torch.rand(3, 9, 8))
