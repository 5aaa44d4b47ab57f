"""Flow is accurate for known motion, has low confidence at disocclusions, and is zero in still areas."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.motion.flow import METHODS, build_motion

CPU = torch.device("cpu")
COFFEE, ASTRONAUT = "skimage/data/coffee.png", "skimage/data/astronaut.png"


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


@pytest.fixture(scope="module")
def dis():
    return build_motion("dis", CPU)


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


def test_lucas_kanade_on_known_motion(scene):
    pair = scene(shift=(2.4, -1.6), foreground_shift=(-5, 2))
    motion = build_motion("lk", CPU)(tensor(pair.previous), tensor(pair.current))
    error = np.hypot(*(motion.flow.numpy() - pair.flow))
    confident = motion.confidence[0].numpy() >= 0.5
    assert np.median(error[~pair.occluded]) < 0.2
    assert error[confident & ~pair.occluded].mean() < 0.5
    assert confident[~pair.occluded].mean() > 0.8
    assert confident[pair.occluded].mean() < 0.4


@pytest.mark.needs_cuda
def test_lucas_kanade_on_cuda_matches_the_cpu(scene):
    pair = scene(shift=(5.3, -2.6))
    images = tensor(pair.previous), tensor(pair.current)
    expected = build_motion("lk", CPU)(*images)
    motion = build_motion("lk", torch.device("cuda", 0))
    for _ in range(2):  # recorded, then replayed
        result = motion(*(image.cuda() for image in images))
        assert (result.flow.cpu() - expected.flow).abs().mean() < 0.02
        assert (result.confidence.cpu() - expected.confidence).abs().mean() < 0.02


def test_inputs_are_not_modified_and_calls_are_reproducible(dis):
    torch.manual_seed(1)
    before, after = torch.rand(2, 3, 60, 80)
    copies = before.clone(), after.clone()
    first, second = dis(before, after), dis(before, after)
    assert torch.equal(before, copies[0])
    assert torch.equal(after, copies[1])
    assert torch.equal(first.flow, second.flow)
    assert torch.equal(first.confidence, second.confidence)


def test_different_sizes_and_unknown_methods_are_errors(dis):
    with pytest.raises(ValueError, match="two images"):
        dis(torch.rand(3, 40, 40), torch.rand(3, 40, 41))
    with pytest.raises(StreamfxError, match="unknown motion method 'diss'; did you mean dis"):
        build_motion("diss", CPU)
    assert METHODS == ("dis", "lk", "raft")


def test_opencv_is_imported_lazily():
    code = "import sys, streamfx.motion.flow; assert not {'cv2', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
