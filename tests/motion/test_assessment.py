"""Still areas, confidence and size of the search match the implementation with OpenCV."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from streamfx.motion import dis
from streamfx.motion.assessment import AREA, _dilated, assess, halvings_of, median
from streamfx.motion.occlusion import OUTSIDE


def smooth(seed, channels, height, width, grain):
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, channels, height // grain + 2, width // grain + 2, generator=random)
    return F.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 1)


@pytest.mark.parametrize("brightness", [0.0, 12.0])
def test_assessment_matches_opencv(brightness):
    """On the left of the image nothing moves; the forward flow is wrong in some areas."""
    height, width = 96, 120  # whole blocks
    after = 255 * smooth(1, 1, height, width, 4)[0]
    motion = torch.zeros(2, 2, height, width)
    motion[0, 0, :, 50:] = 2
    motion[1, 0] = -motion[0, 0] + 3 * (smooth(2, 1, height, width, 30)[0] > 0.7)
    before = after.clone()
    before[:, 52:] = after[:, 50:-2]
    before = before + torch.randn(before.shape, generator=torch.Generator().manual_seed(4))
    planes = assess(torch.stack([after, before]), motion, torch.tensor(brightness), OUTSIDE, (1, 1))
    arrays = before.numpy(), after.numpy(), motion[0].permute(1, 2, 0).numpy().copy(), list(motion[1].numpy())
    flow, confidence = dis._assess(*arrays, brightness, OUTSIDE)
    assert np.abs(planes[:2].numpy() - flow).max() < 1e-3
    assert np.mean(np.abs(planes[2].numpy() - confidence) > 0.02) < 0.01  # OpenCV warps by 1/32 pixel
    assert 0.1 < planes[2].mean() < 0.9
    assert planes[0, :, :30].abs().max() == 0
    assert planes[0, :, 70:].min() > 1.9


def test_median_and_dilation_match_opencv():
    planes = torch.rand(2, 2, 13, 18, generator=torch.Generator().manual_seed(0))
    expected = [[cv2.medianBlur(plane, 5) for plane in pair] for pair in planes.numpy()]
    np.testing.assert_array_equal(median(planes), expected)
    mask = planes[0, 0] > 0.95
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    np.testing.assert_array_equal(_dilated(mask), cv2.dilate(mask.numpy().astype(np.uint8), kernel) > 0)


@pytest.mark.parametrize(
    ("size", "halvings"),
    [
        ((1, 1), 0),
        ((180, 320), 0),
        ((240, 426), 0),
        ((360, 640), 1),
        ((480, 854), 1),
        ((720, 1280), 2),
        ((1080, 1920), 2),
        ((2160, 3840), 3),
        ((1920, 1080), 2),
    ],
)
def test_frames_are_halved_to_about_320x180(size, halvings):
    assert halvings_of(*size) == halvings


@given(height=st.integers(1, 5000), width=st.integers(1, 5000))
def test_reduced_frames_have_a_similar_area(height, width):
    halvings = halvings_of(height, width)
    area = height * width / 4**halvings
    assert area < 2.7 * AREA  # 4 to the power of 0.7
    assert halvings == 0 or area > 0.6 * AREA
