"""Dense inverse search in torch: as accurate as OpenCV's on known motion, at any size."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from streamfx.motion.dis import build_dis
from streamfx.motion.flow import build_motion

estimate = build_motion("dis", torch.device("meta"))  # not OpenCV, which is for the CPU

ASTRONAUT, COFFEE = "skimage/data/astronaut.png", "skimage/data/coffee.png"
SCENES = {
    "rotation": {"shift": (0.3, 0.2), "turn": 0.4, "zoom": 1.006},
    "fast": {"background": COFFEE, "foreground": ASTRONAUT, "shift": (9, -3), "foreground_shift": (-10, 2.5)},
}


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


@pytest.mark.parametrize("name", SCENES)
def test_accuracy_compared_with_opencv(name, scene):
    """Goal: a mean error of at most 1.05 times that of OpenCV's dense inverse search."""
    pair = scene(height=360, width=640, **SCENES[name])
    images = tensor(pair.previous), tensor(pair.current)
    motion, expected = estimate(*images), build_dis()(*images)
    errors = [np.hypot(*(m.flow.numpy() - pair.flow))[~pair.occluded].mean() for m in (motion, expected)]
    assert errors[0] <= 1.05 * errors[1]
    rejected = motion.confidence[0].numpy() < 0.5
    assert rejected[pair.occluded].mean() >= 0.88
    assert rejected[~pair.occluded].mean() <= 0.135


def test_noise_causes_no_motion_behind_a_moving_object(scene):
    pair = scene(height=360, width=640, shift=(0, 0), foreground_shift=(8, 0), noise=2.5)
    motion = estimate(tensor(pair.previous), tensor(pair.current))
    still = ~pair.mover & (motion.confidence[0].numpy() >= 0.5)
    assert motion.flow.norm(dim=0).numpy()[still].mean() < 0.06
    mover = np.median(motion.flow.numpy()[:, pair.mover], axis=1)
    np.testing.assert_allclose(mover, (-8, 0), atol=0.25)


def test_brightness_changes(scene):
    image = 0.8 * tensor(scene(foreground=None, shift=(0, 0), height=96, width=128).current)
    assert estimate(image, image).confidence.min() > 0.99
    assert estimate(image, image + 20 / 255).confidence.max() < 0.05
    dimmer = estimate(image, image - 2 / 255)
    assert dimmer.confidence.min() > 0.9
    assert dimmer.flow.norm(dim=0).mean() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (31, 40), (33, 47), (16, 700), (65, 31), (120, 161)])
def test_any_size(size):
    torch.manual_seed(0)
    image = torch.rand(3, *size)
    motion = estimate(image, image)
    assert (motion.flow.shape, motion.confidence.shape) == ((2, *size), (1, *size))
    assert motion.flow.dtype == motion.confidence.dtype == torch.float32
    assert motion.flow.abs().max() == 0
    assert motion.confidence.min() > 0.99
    inverse = estimate(image, 1 - image)
    assert inverse.flow.isfinite().all()
    assert 0 <= inverse.confidence.min() <= inverse.confidence.max() <= 1


def test_inputs_are_not_modified_and_need_no_gradient():
    image = F.interpolate(torch.rand(1, 3, 12, 16), (60, 80), mode="bicubic")[0].clamp(0, 1)
    copy = image.clone()
    motion = estimate(image.requires_grad_(), image.detach().flip(2))
    assert torch.equal(image, copy)
    assert not motion.flow.requires_grad


def test_images_of_different_sizes_are_an_error():
    with pytest.raises(ValueError, match="two images"):
        estimate(torch.rand(3, 40, 40), torch.rand(3, 40, 41))
