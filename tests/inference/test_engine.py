"""Engines equal eager torch with every precision, on the devices that have one."""

import pytest
import torch
from torch import nn

from streamfx.inference.engine import build_engine
from streamfx.inference.openvino import build_cpu_engine

CPU = torch.device("cpu")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("hint", ["f32", "bf16", None])
@pytest.mark.parametrize("size", [(1, 1), (33, 5), (50, 71)])
def test_engine_equals_eager(module, size, hint):
    frame = torch.rand(1, 3, *size)
    with torch.no_grad():
        expected = module(frame)
    engine = build_engine(module, [frame.shape], CPU, hint=hint)
    torch.testing.assert_close(engine(frame), expected, atol=1e-3 if hint == "f32" else 0.05, rtol=0)


def test_written_modules_have_full_precision_by_default(cache):
    layer = nn.Conv2d(3, 3, 3).eval()
    build_engine(layer, [(1, 3, 8, 8)], CPU, write=lambda module: module)
    build_cpu_engine(layer, [(1, 3, 8, 8)], "f32")
    assert len(list(cache.iterdir())) == 1  # the same engine
    build_engine(layer, [(1, 3, 8, 8)], CPU, write=lambda module: module, hint="bf16")
    assert len(list(cache.iterdir())) == 2


def test_other_devices_run_the_module_as_it_is():
    engine = build_engine(nn.Conv2d(3, 4, 1), [(1, 3, 5, 6)], torch.device("meta"))
    output = engine(torch.empty(1, 3, 5, 6, device="meta"))
    assert output.shape == (1, 4, 5, 6)
    assert not output.requires_grad
