"""Dense inverse search: accurate for known motion, unsure at disocclusions, and zero in still areas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from streamfx.motion import dis as dis_module
from streamfx.motion.dis import build_dis
from streamfx.motion.occlusion import OUTSIDE, consistency_mask

COFFEE, ASTRONAUT = "skimage/data/coffee.png", "skimage/data/astronaut.png"


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


@pytest.fixture(scope="module")
def dis():
    return build_dis()


@pytest.fixture(scope="module")
def estimated(dis, scene):
    """estimated(**settings): the Pair of a scene, and its estimated Motion."""

    def estimated(**settings):
        pair = scene(**settings)
        return pair, dis(tensor(pair.previous), tensor(pair.current))

    return estimated


SCENES = {
    "two textures": {
        "background": COFFEE,
        "foreground": ASTRONAUT,
        "shift": (-7.7, 3.1),
        "foreground_shift": (9.2, 4.1),
        "zoom": 0.99,
    },
    "rotation": {"shift": (0.3, 0.2), "turn": 0.4, "zoom": 1.006},
    "noise": {"background": ASTRONAUT, "shift": (1.4, 0.6), "turn": -0.6, "foreground_shift": (-3.3, 0), "noise": 2.5},
}


@pytest.mark.parametrize("name", SCENES)
def test_known_motion(name, estimated):
    pair, motion = estimated(**SCENES[name])
    error = np.hypot(*(motion.flow.numpy() - pair.flow))
    confident = motion.confidence[0].numpy() >= 0.5
    assert error[~pair.occluded].mean() < 0.6
    assert error[~pair.occluded & confident].mean() < 0.3


@pytest.mark.parametrize("name", SCENES)
def test_disocclusions_have_low_confidence(name, estimated):
    pair, motion = estimated(**SCENES[name])
    rejected = motion.confidence[0].numpy() < 0.5
    assert rejected[pair.occluded].mean() >= 0.88  # the goals are 0.9 and 0.1
    assert rejected[~pair.occluded].mean() <= 0.135


@pytest.mark.parametrize("background", [COFFEE, "sklearn/datasets/images/china.jpg", "skimage/data/rocket.jpg"])
def test_noise_causes_no_motion(background, estimated):
    _, motion = estimated(background=background, foreground=None, shift=(0, 0), noise=2.5)
    assert motion.flow.norm(dim=0).mean() < 0.05
    assert motion.confidence.mean() > 0.99


@pytest.mark.parametrize("background", [COFFEE, "sklearn/datasets/images/china.jpg"])
def test_still_background_behind_a_moving_object(background, estimated):
    pair, motion = estimated(background=background, shift=(0, 0), foreground_shift=(8, 0), noise=2.5)
    still = ~pair.mover & (motion.confidence[0].numpy() >= 0.5)
    assert motion.flow.norm(dim=0).numpy()[still].mean() < 0.05
    mover = np.median(motion.flow.numpy()[:, pair.mover], axis=1)
    np.testing.assert_allclose(mover, (-8, 0), atol=0.2)


def test_untextured_sky_moves_with_the_pan(dis):
    """Areas without texture are not set to zero motion while everything else moves."""
    torch.manual_seed(3)
    image = torch.full((3, 240, 340), 0.6)
    image[:, 120:] = F.interpolate(torch.rand(1, 3, 30, 85), (120, 340), mode="bicubic")[0].clamp(0, 1)
    noisy = [(image[:, :, left : left + 320] + torch.randn(3, 240, 320) / 255).clamp(0, 1) for left in (0, 1)]
    motion = dis(*noisy)
    assert (motion.flow[:, 150:-20, 20:-20] - torch.tensor([1.0, 0]).view(2, 1, 1)).norm(dim=0).mean() < 0.3
    assert (motion.flow[:, :60] == 0).float().mean() < 0.5


def test_brightness_changes_lower_the_confidence(dis, scene):
    image = 0.8 * tensor(scene(foreground=None, shift=(0, 0), height=96, width=128).current)
    assert dis(image, image).confidence.min() > 0.99
    assert dis(image, image + 20 / 255).confidence.max() < 0.05
    dimmer = dis(image, image - 2 / 255)
    assert dimmer.confidence.min() > 0.9
    assert dimmer.flow.norm(dim=0).mean() < 0.05


def test_motion_with_brightness_change(dis, scene):
    """A search for equal brightness would fail here."""
    pair = scene(background="skimage/data/rocket.jpg", shift=(6.4, -2.3), foreground_shift=(-9, 4))
    motion = dis(tensor(0.9 * pair.previous), tensor(0.9 * pair.current + 4 / 255))
    error = np.hypot(*(motion.flow.numpy() - pair.flow))[~pair.occluded]
    assert error.mean() < 1
    assert 0.5 < motion.confidence.mean() < 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (31, 40), (32, 32), (33, 47), (34, 700), (65, 31), (120, 161)])
def test_any_size(size, dis):
    torch.manual_seed(0)
    image = torch.rand(3, *size)
    motion = dis(image, image)
    assert (motion.flow.shape, motion.confidence.shape) == ((2, *size), (1, *size))
    assert motion.flow.dtype == motion.confidence.dtype == torch.float32
    assert motion.flow.abs().max() == 0
    assert motion.confidence.min() > 0.99
    inverse = dis(image, 1 - image)
    assert inverse.flow.isfinite().all()
    assert 0 <= inverse.confidence.min() <= inverse.confidence.max() <= 1


def test_inputs_are_not_modified_and_calls_are_reproducible(dis):
    torch.manual_seed(1)
    before, after = torch.rand(2, 3, 60, 80)
    copies = before.clone(), after.clone()
    first, second = dis(before, after), dis(before, after)
    assert torch.equal(before, copies[0])
    assert torch.equal(after, copies[1])
    assert torch.equal(first.flow, second.flow)
    assert torch.equal(first.confidence, second.confidence)


def test_dis_uses_the_same_formula(monkeypatch):
    """With different thresholds, because it works at reduced size."""
    for name, value in (("MAX_ERROR", 0.5), ("MAX_SLOPE", 0.01), ("MIN_SLOPE", 0.002)):
        monkeypatch.setattr(dis_module, name, value)

    torch.manual_seed(4)
    rough = F.interpolate(torch.randn(2, 2, 3, 4), (60, 80), mode="bicubic")
    backward, forward = 3 * rough[0], -3 * rough[0] + 0.4 * rough[1]
    back = np.stack(dis_module._at_sources(list(forward.numpy()), backward.numpy()))
    invalid, _, _ = dis_module._checks(backward.numpy(), back, OUTSIDE)
    valid = consistency_mask(backward, forward)[0].numpy() == 1
    assert 0.1 < valid.mean() < 0.9
    assert (invalid[1:-1, 1:-1] == valid[1:-1, 1:-1]).mean() < 0.005  # single pixels at a threshold


def test_images_of_different_sizes_are_an_error(dis):
    with pytest.raises(ValueError, match="two images"):
        dis(torch.rand(3, 40, 40), torch.rand(3, 40, 41))


def test_the_result_does_not_depend_on_earlier_calls(dis):
    """The luma of the last image is kept for the next call."""
    torch.manual_seed(2)
    smooth = F.interpolate(torch.rand(3, 3, 12, 16), (60, 80), mode="bicubic").clamp(0, 1)
    first, second, third = smooth
    pairs = [(first, second), (second, third), (third, first), (first.clone(), second)]
    for result, pair in zip([dis(*pair) for pair in pairs], pairs):
        expected = build_dis()(*pair)
        assert torch.equal(result.flow, expected.flow)
        assert torch.equal(result.confidence, expected.confidence)


def test_gradients_are_not_needed(dis):
    image = torch.rand(3, 40, 50, requires_grad=True)
    motion = dis(image, image)
    assert not motion.flow.requires_grad
    assert motion.flow.abs().max() == 0


# --- reduced size


def test_luma_of_colors():
    colors = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1.5, 1.5, 1.5]]).float()
    luma = dis_module._small_luma(colors.T[:, None].contiguous(), 0)
    assert luma.dtype == np.float32
    np.testing.assert_allclose(luma[0], [0, 255, 54.2, 182.4, 18.4, 255], atol=0.1)


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_reduced_luma_is_the_average(halvings):
    torch.manual_seed(0)
    image = torch.rand(3, 16, 24)
    factor = 2**halvings
    expected = F.avg_pool2d(image[None], factor)[0] * 255
    expected = 0.2126 * expected[0] + 0.7152 * expected[1] + 0.0722 * expected[2]
    np.testing.assert_allclose(dis_module._small_luma(image, halvings), expected.numpy(), atol=0.01)


@given(height=st.integers(1, 40), width=st.integers(1, 40), halvings=st.integers(0, 3))
def test_odd_sides_are_rounded_up(height, width, halvings):
    luma = dis_module._small_luma(torch.full((3, height, width), 0.5), halvings)
    expected = [height, width]
    for _ in range(halvings):
        expected = [-(-side // 2) for side in expected]
    assert list(luma.shape) == expected
    np.testing.assert_allclose(luma, 127.5, atol=0.01)


def test_enlarged_flow_is_in_pixels_of_the_image():
    flow = np.stack([np.full((4, 5), 1.5, np.float32), np.full((4, 5), -2.0, np.float32)])
    motion = dis_module._enlarged(flow, np.full((4, 5), 0.25, np.float32), torch.zeros(3, 12, 10))
    assert motion.flow.shape == (2, 12, 10)
    torch.testing.assert_close(motion.flow[0], torch.full((12, 10), 3.0))  # twice as wide
    torch.testing.assert_close(motion.flow[1], torch.full((12, 10), -6.0))  # three times as high
    torch.testing.assert_close(motion.confidence, torch.full((1, 12, 10), 0.25))
