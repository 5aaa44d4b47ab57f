"""CUDA graphs, and what of them can be tested without CUDA."""

import logging

import pytest
import torch
from torch import nn

from streamfx.inference import cuda_graph
from streamfx.inference.cuda_graph import check_shapes, half_inputs, halved, record
from streamfx.inference.engine import build_engine

CPU = torch.device("cpu")


def test_half_precision_is_close(module):
    """What runs on a GPU, on the CPU: in float16, with images channels last and styles contiguous."""
    frame, style = torch.rand(1, 3, 24, 32), module.network.style[:1]
    expected = module.network(frame, style)
    fast = halved(module.network, CPU)
    inputs = half_inputs([frame.shape, style.shape], CPU)
    for buffer, x in zip(inputs, (frame, style)):
        buffer.copy_(x)
    image = fast(*inputs)
    assert image.dtype == torch.float16
    assert inputs[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(image.float(), expected, atol=0.01, rtol=0)
    assert next(module.parameters()).dtype == torch.float32


def test_the_module_is_copied_for_inference():
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Dropout()).train()
    fast = halved(module, CPU, torch.bfloat16)
    assert fast[0].weight.dtype == torch.bfloat16
    assert fast[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not fast.training
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert module.training
    assert module[0].weight.dtype == torch.float32
    assert module[0].weight.requires_grad


def test_only_images_are_channels_last():
    image, style, flow = half_inputs([(2, 3, 4, 5), (2, 7), (2, 4, 5)], CPU)
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert not image.is_contiguous()
    assert style.is_contiguous()
    assert flow.is_contiguous()
    assert {x.dtype for x in (image, style, flow)} == {torch.float16}
    assert not any(x.any() for x in (image, style, flow))
    assert half_inputs([(1,)], CPU, torch.float32)[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([(2, 3), (4,)], None),
        ([[2, 3], torch.Size((4,))], None),
        ([(2, 3), (5,)], r"input 1 is \(4,\), but the engine was built for \(5,\)"),
        ([(3, 2), (4,)], r"input 0 is \(2, 3\)"),
        ([(1, 2, 3), (4,)], "input 0"),
        ([(2, 3)], "zip"),
        ([(2, 3), (4,), (1,)], "zip"),
    ],
)
def test_inputs_must_have_the_shapes_of_the_engine(shapes, reason):
    inputs = torch.zeros(2, 3), torch.zeros(4)
    if reason is None:
        check_shapes(inputs, shapes)
        return
    with pytest.raises(ValueError, match=reason):
        check_shapes(inputs, shapes)


def test_inputs_are_checked_before_the_work_is_recorded():
    run = record(torch.relu, [(2, 3)], CPU)
    with pytest.raises(ValueError, match="built for"):
        run(torch.zeros(3, 2))


@pytest.mark.needs_cuda
def test_cuda_equals_full_precision(module, monkeypatch):
    monkeypatch.setattr(cuda_graph, "_GRAPHS", 2)
    cuda = torch.device("cuda", 0)
    frames = [torch.rand(1, 3, *size) for size in [(24, 32), (50, 71), (33, 40)]]
    engines = [build_engine(module, [frame.shape], cuda) for frame in frames]
    expected = [module(frame) for frame in frames]
    for _ in range(2):  # more sizes than recordings are kept
        images = [run(frame.to(cuda)) for run, frame in zip(engines, frames)]
        zeros = [run(torch.zeros_like(frame).to(cuda)) for run, frame in zip(engines, frames)]
        for image, zero, right in zip(images, zeros, expected):
            torch.testing.assert_close(image.cpu(), right, atol=0.02, rtol=0)
            assert not torch.equal(image, zero)


@pytest.mark.needs_cuda
def test_each_call_returns_another_tensor():
    run = record(lambda x: 2 * x, [(3,)], torch.device("cuda", 0))
    first = run(torch.ones(3, device="cuda"))
    second = run(torch.zeros(3, device="cuda"))
    assert (first.tolist(), second.tolist()) == ([2.0] * 3, [0.0] * 3)


@pytest.mark.needs_cuda
def test_work_that_cannot_be_recorded_runs_with_a_warning(caplog):
    def work(x):
        return x * float(x.sum())  # reads a result on the CPU

    caplog.set_level(logging.WARNING, "streamfx")
    run = record(work, [(3,)], torch.device("cuda", 0))
    for value in (1.0, 2.0):
        assert run(torch.full((3,), value, device="cuda")).tolist() == [3 * value * value] * 3
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("running on the GPU without a CUDA graph, which is slower: ")
    assert run(torch.zeros(3, device="cuda")).tolist() == [0.0] * 3
