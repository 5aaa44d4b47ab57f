"""Dream metrics tell rainbow noise, foreign colors, clipping and missing large forms from the start image."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from skimage import data

from streamfx.evaluation.dream import measure_dream
from streamfx.frame import Frame

CAT = torch.from_numpy(np.ascontiguousarray(data.chelsea().transpose(2, 0, 1))) / 255


def frame(image, second=0):
    return Frame(image.clamp(0, 1), Fraction(second), Fraction(1))


def rows(*images):
    return list(measure_dream(frame(CAT), [frame(image, second) for second, image in enumerate(images)]))


def test_the_start_image_has_no_distance_from_itself():
    start, same = rows(CAT)
    assert (start.time, same.time) == (-1.0, 0.0)
    assert same.palette == pytest.approx(0, abs=1e-6)
    assert 0.1 < same.rainbow < 0.7


def test_noise_of_colors_and_of_brightness():
    torch.manual_seed(0)
    _, colored, gray = rows(CAT + 0.1 * torch.randn(CAT.shape), CAT + 0.1 * torch.randn(1, *CAT.shape[1:]))
    assert colored.rainbow > 1 > gray.rainbow
    assert gray.coarse < 0.8 * rows(CAT)[0].coarse


def test_foreign_colors_and_clipping():
    _, blue, bright = rows(CAT * torch.tensor([0.3, 0.5, 1.0]).view(3, 1, 1), CAT * 2)
    assert blue.palette > 0.5
    assert bright.clipped > 0.3 > rows(CAT)[0].clipped


def test_one_frame_per_interval():
    frames = [Frame(CAT, Fraction(number, 4), Fraction(1, 4)) for number in range(9)]
    assert [row.time for row in measure_dream(frame(CAT), frames)] == [-1.0, 0.0, 1.0, 2.0]
