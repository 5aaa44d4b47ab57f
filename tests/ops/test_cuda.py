"""Kernels are not asked for where they cannot run, and what they are compiled from is whole."""

import sys

import pytest
import torch

from streamfx.ops import cuda, launch
from streamfx.resources import resource


def test_every_file_is_a_family():
    assert {path.stem for path in resource("cuda_kernels").glob("*.cu")} == set(cuda.FAMILIES)


@pytest.mark.parametrize("family", cuda.FAMILIES)
def test_sources_are_whole(family):
    text = cuda.source(family)
    assert "#include" not in text
    assert text.count("enum Border") == 1
    assert text.count('extern "C" __global__') >= 3
    borders = "".join(text.split("enum Border {")[1].split("}")[0].lower().split()).split(",")
    assert tuple(borders) == launch.BORDERS


def test_cpu_tensors_are_left_to_torch():
    assert not cuda.takes(torch.rand(3, 4, 5))
    with pytest.raises(ValueError, match="kernel fade runs on cuda, not on cpu"):
        cuda.fade(torch.rand(3, 4, 5), (0, 0, 0), 0.5)
    assert "cupy" not in sys.modules or cuda.installed()


@pytest.mark.needs_cuda
def test_what_a_gpu_takes():
    image = torch.rand(3, 4, 5, device="cuda")
    assert cuda.takes(image, image)
    assert cuda.takes(image.half())
    assert not cuda.takes(image, image.half())
    assert not cuda.takes(image.double())
    assert not cuda.takes(image, image.cpu())
    assert not cuda.takes(image.requires_grad_())
    with torch.no_grad():
        assert cuda.takes(image)


@pytest.mark.needs_cuda
def test_kernels_run_behind_what_the_stream_has_to_do():
    """On another stream than the default one, right after work that takes long."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        busy = torch.rand(4096, 4096, device="cuda")
        for _ in range(20):
            busy = busy @ busy / busy.norm()
        image = busy[:96, :96].expand(3, 96, 96) * 0 + 0.25
        made = cuda.fade(image, (1.0, 1.0, 1.0), 0.5) * 1
    stream.synchronize()
    assert torch.equal(made.cpu(), torch.full((3, 96, 96), 0.625))
