"""Kernel sources are complete, and kernels are used only where they can run."""

import sys

import pytest
import torch

from streamfx.ops import cuda, launch
from streamfx.resources import resource


def test_every_file_is_a_family():
    assert {path.stem for path in resource("cuda_kernels").glob("*.cu")} == set(cuda.FAMILIES)


@pytest.mark.parametrize("family", cuda.FAMILIES)
def test_sources_are_complete(family):
    text = cuda.source(family)
    assert "#include" not in text
    assert text.count("enum Border") == 1
    assert text.count('extern "C" __global__') >= 2
    borders = "".join(text.split("enum Border {")[1].split("}")[0].lower().split()).split(",")
    assert tuple(borders) == launch.BORDERS


def test_cpu_tensors_are_not_supported():
    assert not cuda.supports(torch.rand(3, 4, 5))
    with pytest.raises(ValueError, match="kernel luma runs on cuda, not on cpu"):
        cuda.luma(torch.rand(3, 4, 5))
    assert "cupy" not in sys.modules or cuda.installed()


@pytest.mark.needs_cuda
def test_supported_gpu_tensors():
    image = torch.rand(3, 4, 5, device="cuda")
    assert cuda.supports(image, image)
    assert cuda.supports(image.half())
    assert not cuda.supports(image, image.half())
    assert not cuda.supports(image.double())
    assert not cuda.supports(image, image.cpu())
    assert not cuda.supports(image.requires_grad_())
    with torch.no_grad():
        assert cuda.supports(image)


@pytest.mark.needs_cuda
def test_kernels_run_in_the_current_stream():
    """On a stream other than the default, after work that takes long."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        busy = torch.rand(4096, 4096, device="cuda")
        for _ in range(20):
            busy = busy @ busy / busy.norm()
        image = busy[:96, :96].expand(3, 96, 96) * 0 + 0.25
        mixed = cuda.blend(image, torch.ones_like(image), torch.full_like(image[:1], 0.5)) * 1
    stream.synchronize()
    assert torch.equal(mixed.cpu(), torch.full((3, 96, 96), 0.625))
