"""Motion is found where it is known, distrusted where things were hidden, and zero where nothing moves."""

import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

from streamfx.errors import StreamfxError
from streamfx.motion import flow as module
from streamfx.motion.flow import METHODS, OUTSIDE, Motion, build_motion, trust_mask

CPU = torch.device("cpu")
COFFEE, ASTRONAUT = "skimage/data/coffee.png", "skimage/data/astronaut.png"


def tensor(picture):
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


@pytest.fixture(scope="module")
def dis():
    return build_motion("dis", CPU)


@pytest.fixture(scope="module")
def found(dis, scene):
    """found(**settings): the Pair of a scene and the Motion found in it."""

    def found(**settings):
        pair = scene(**settings)
        return pair, dis(tensor(pair.previous), tensor(pair.current))

    return found


SCENES = {
    "two textures": {
        "ground": COFFEE,
        "cover": ASTRONAUT,
        "shift": (-7.7, 3.1),
        "cover_shift": (9.2, 4.1),
        "zoom": 0.99,
    },
    "a turn": {"shift": (0.3, 0.2), "turn": 0.4, "zoom": 1.006},
    "noise": {"ground": ASTRONAUT, "shift": (1.4, 0.6), "turn": -0.6, "cover_shift": (-3.3, 0), "noise": 2.5},
}


@pytest.mark.parametrize("name", SCENES)
def test_known_motion(name, found):
    pair, motion = found(**SCENES[name])
    error = np.hypot(*(motion.flow.numpy() - pair.flow))
    trusted = motion.trust[0].numpy() >= 0.5
    assert error[~pair.occluded].mean() < 0.6
    assert error[~pair.occluded & trusted].mean() < 0.3


@pytest.mark.parametrize("name", SCENES)
def test_what_was_hidden_is_not_trusted(name, found):
    pair, motion = found(**SCENES[name])
    distrusted = motion.trust[0].numpy() < 0.5
    assert distrusted[pair.occluded].mean() >= 0.88  # the goals are 0.9 and 0.1
    assert distrusted[~pair.occluded].mean() <= 0.135


@pytest.mark.parametrize("ground", [COFFEE, "sklearn/datasets/images/china.jpg", "skimage/data/rocket.jpg"])
def test_noise_does_not_move_a_still_shot(ground, found):
    _, motion = found(ground=ground, cover=None, shift=(0, 0), noise=2.5)
    assert motion.flow.norm(dim=0).mean() < 0.05
    assert motion.trust.mean() > 0.99


@pytest.mark.parametrize("ground", [COFFEE, "sklearn/datasets/images/china.jpg"])
def test_a_still_ground_behind_a_mover(ground, found):
    pair, motion = found(ground=ground, shift=(0, 0), cover_shift=(8, 0), noise=2.5)
    ground = ~pair.mover & (motion.trust[0].numpy() >= 0.5)
    assert motion.flow.norm(dim=0).numpy()[ground].mean() < 0.05
    mover = np.median(motion.flow.numpy()[:, pair.mover], axis=1)
    np.testing.assert_allclose(mover, (-8, 0), atol=0.2)


def test_a_bare_sky_goes_with_the_pan(dis):
    """What shows no motion of its own is not held fast while all else moves."""
    torch.manual_seed(3)
    picture = torch.full((3, 240, 340), 0.6)
    picture[:, 120:] = F.interpolate(torch.rand(1, 3, 30, 85), (120, 340), mode="bicubic")[0].clamp(0, 1)
    noisy = [(picture[:, :, left : left + 320] + torch.randn(3, 240, 320) / 255).clamp(0, 1) for left in (0, 1)]
    motion = dis(*noisy)
    assert (motion.flow[:, 150:-20, 20:-20] - torch.tensor([1.0, 0]).view(2, 1, 1)).norm(dim=0).mean() < 0.3
    assert (motion.flow[:, :60] == 0).float().mean() < 0.5


def test_another_light_is_not_trusted(dis, scene):
    picture = 0.8 * tensor(scene(cover=None, shift=(0, 0), height=96, width=128).current)
    assert dis(picture, picture).trust.min() > 0.99
    assert dis(picture, picture + 20 / 255).trust.max() < 0.05
    dimmer = dis(picture, picture - 2 / 255)
    assert dimmer.trust.min() > 0.9
    assert dimmer.flow.norm(dim=0).mean() < 0.05


def test_motion_is_found_in_another_light(dis, scene):
    """Also in a shot whose light changes, where a search for equal brightness goes far astray."""
    pair = scene(ground="skimage/data/rocket.jpg", shift=(6.4, -2.3), cover_shift=(-9, 4))
    motion = dis(tensor(0.9 * pair.previous), tensor(0.9 * pair.current + 4 / 255))
    error = np.hypot(*(motion.flow.numpy() - pair.flow))[~pair.occluded]
    assert error.mean() < 1
    assert 0.5 < motion.trust.mean() < 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (31, 40), (32, 32), (33, 47), (34, 700), (65, 31), (120, 161)])
def test_any_size(size, dis):
    torch.manual_seed(0)
    image = torch.rand(3, *size)
    motion = dis(image, image)
    assert (motion.flow.shape, motion.trust.shape) == ((2, *size), (1, *size))
    assert motion.flow.dtype == motion.trust.dtype == torch.float32
    assert motion.flow.abs().max() == 0
    assert motion.trust.min() > 0.99
    inverse = dis(image, 1 - image)
    assert inverse.flow.isfinite().all()
    assert 0 <= inverse.trust.min() <= inverse.trust.max() <= 1


def test_lucas_kanade_knows_motion_and_what_was_hidden(scene):
    pair = scene(shift=(2.4, -1.6), cover_shift=(-5, 2))
    motion = build_motion("lk", CPU)(tensor(pair.previous), tensor(pair.current))
    error = np.hypot(*(motion.flow.numpy() - pair.flow))
    trusted = motion.trust[0].numpy() >= 0.5
    assert np.median(error[~pair.occluded]) < 0.2
    assert error[trusted & ~pair.occluded].mean() < 0.5
    assert trusted[~pair.occluded].mean() > 0.8
    assert trusted[pair.occluded].mean() < 0.4


@pytest.mark.needs_cuda
def test_lucas_kanade_on_cuda_is_that_of_the_cpu(scene):
    pair = scene(shift=(5.3, -2.6))
    images = tensor(pair.previous), tensor(pair.current)
    wanted = build_motion("lk", CPU)(*images)
    motion = build_motion("lk", torch.device("cuda", 0))
    for _ in range(2):  # recorded, and replayed
        made = motion(*(image.cuda() for image in images))
        assert (made.flow.cpu() - wanted.flow).abs().mean() < 0.02
        assert (made.trust.cpu() - wanted.trust).abs().mean() < 0.02


def test_images_are_not_written_and_two_calls_agree(dis):
    torch.manual_seed(1)
    before, after = torch.rand(2, 3, 60, 80)
    kept = before.clone(), after.clone()
    first, second = dis(before, after), dis(before, after)
    assert torch.equal(before, kept[0])
    assert torch.equal(after, kept[1])
    assert torch.equal(first.flow, second.flow)
    assert torch.equal(first.trust, second.trust)


def test_two_sizes_and_unknown_methods_are_errors(dis):
    with pytest.raises(ValueError, match="two images"):
        dis(torch.rand(3, 40, 40), torch.rand(3, 40, 41))
    with pytest.raises(StreamfxError, match="unknown motion method 'diss'; did you mean dis"):
        build_motion("diss", CPU)
    assert METHODS == ("dis", "lk", "raft")


def test_opencv_loads_only_when_asked_for():
    code = "import sys, streamfx.motion.flow; assert not {'cv2', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_call_at_720p_is_quick(dis, scene):
    pair = scene()
    before, after = tensor(pair.previous), tensor(pair.current)
    times = []
    for _ in range(4):
        began = time.process_time()
        dis(before, after)
        times.append(time.process_time() - began)
    assert min(times) < 0.15  # of both cores; 0.03 where it was written


# --- the formula


def test_trust_mask_of_a_shift():
    backward, forward = torch.zeros(2, 20, 30), torch.zeros(2, 20, 30)
    backward[0], forward[0] = -3, 3
    trust = trust_mask(backward, forward)
    assert trust.shape == (1, 20, 30)
    assert trust[:, :, :3].max() == 0
    assert trust[:, :, 3:].min() == 1


def test_trust_mask_where_flows_disagree_and_at_an_edge():
    backward, forward = torch.zeros(2, 20, 30), torch.zeros(2, 20, 30)
    forward[1, 5, 7] = 0.8
    forward[1, 9, 9] = 0.7
    assert torch.equal(trust_mask(backward, forward)[0] == 0, forward[1] == 0.8)
    backward[1, :, 15:] = 0.1
    assert trust_mask(backward, torch.zeros(2, 20, 30))[0, 10].tolist() == [1.0] * 14 + [0.0] * 2 + [1.0] * 14


def test_trust_mask_of_a_batch():
    torch.manual_seed(0)
    flows = torch.randn(2, 3, 2, 9, 11)
    each = torch.stack([trust_mask(*pair) for pair in zip(*flows)])
    assert torch.equal(trust_mask(*flows), each)


def test_dis_uses_the_same_formula(monkeypatch):
    """With thresholds of its own, because its pixels are larger."""
    from streamfx.motion import dis
    from streamfx.motion.dis import _at_sources, _doubts

    for name, value in (("APART", 0.5), ("EDGE", 0.01), ("BENT", 0.002)):
        monkeypatch.setattr(dis, name, value)

    torch.manual_seed(4)
    rough = F.interpolate(torch.randn(2, 2, 3, 4), (60, 80), mode="bicubic")
    backward, forward = 3 * rough[0], -3 * rough[0] + 0.4 * rough[1]
    back = np.stack(_at_sources(list(forward.numpy()), backward.numpy()))
    doubt, _, _ = _doubts(backward.numpy(), back, OUTSIDE)
    trusted = trust_mask(backward, forward)[0].numpy() == 1
    assert 0.1 < trusted.mean() < 0.9
    assert (doubt[1:-1, 1:-1] == trusted[1:-1, 1:-1]).mean() < 0.005  # the odd pixel at a threshold


# --- raft


@pytest.fixture
def raft_file(tmp_path, monkeypatch):
    """Where torch.hub looks for RAFT's weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder / Path(Raft_Small_Weights.C_T_V2.url).name


@pytest.fixture
def raft(raft_file):
    torch.manual_seed(0)
    torch.save(raft_small(weights=None).state_dict(), raft_file)
    return build_motion("raft", CPU)


@pytest.mark.parametrize("size", [(1, 1), (130, 141)])
def test_raft_runs_at_any_size(size, raft):
    before, after = torch.rand(2, 3, *size)
    motion = raft(before, after)
    assert isinstance(motion, Motion)
    assert (motion.flow.shape, motion.trust.shape) == ((2, *size), (1, *size))
    assert 0 <= motion.trust.min() <= motion.trust.max() <= 1


def test_raft_flow_leads_from_current_to_previous():
    """A network that answers with how much brighter its first image is."""
    estimate = module._build_raft(lambda first, second: [(first - second)[:, :2] / 2])
    motion = estimate(torch.zeros(3, 16, 20), torch.full((3, 16, 20), 0.25))
    torch.testing.assert_close(motion.flow, torch.full((2, 16, 20), 0.25))
    assert motion.trust.max() < 0.01


def test_raft_without_a_network(raft_file, monkeypatch):
    def offline(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(StreamfxError, match=r"https://download.pytorch.org/.*no route to host.*'dis'"):
        build_motion("raft", CPU)


def test_raft_with_other_weights(raft_file):
    torch.save({"a": torch.zeros(1)}, raft_file)
    with pytest.raises(StreamfxError, match="delete it"):
        build_motion("raft", CPU)
