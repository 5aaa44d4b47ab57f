"""Motion by the method of choice; Lucas-Kanade with confidence on known motion."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.motion.flow import METHODS, build_motion

CPU = torch.device("cpu")


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


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


@pytest.mark.parametrize("method", ["dis", "lk"])
def test_images_of_different_sizes_are_errors(method):
    with pytest.raises(ValueError, match="two images"):
        build_motion(method, CPU)(torch.rand(3, 40, 40), torch.rand(3, 40, 41))


def test_unknown_methods_are_errors():
    with pytest.raises(StreamfxError, match="unknown motion method 'diss'; did you mean dis"):
        build_motion("diss", CPU)
    assert METHODS == ("dis", "lk", "raft")


def test_opencv_is_imported_lazily():
    code = "import sys, streamfx.motion.flow; assert not {'cv2', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
