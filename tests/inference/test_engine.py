"""Engines give what eager torch gives, own what they return, and load from the cache."""

import hashlib
import os
import socket
import subprocess
import sys

import pytest
import torch
from torch import nn

from streamfx.errors import StreamfxError
from streamfx.inference import cuda_graph, openvino
from streamfx.inference.cuda_graph import half_inputs, halved
from streamfx.inference.engine import build_engine
from streamfx.inference.precision import rates
from streamfx.styletransfer.network import Sizes, StyleNetwork

CPU = torch.device("cpu")
SIZES = Sizes(16, 24, 24, encoder4=1, encoder8=1, bottleneck=1, decoder8=1, decoder4=1)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rates()  # cached in this process: its trial networks are not in this folder
    return tmp_path / "streamfx" / "engines"


class OneInput(nn.Module):
    """A small style network that takes the frame alone."""

    def __init__(self):
        super().__init__()
        self.network = StyleNetwork(SIZES)
        nn.init.normal_(self.network.style, std=0.3)

    def forward(self, frame):
        return self.network(frame, self.network.style[:1])


def new_module(seed=2):
    torch.manual_seed(seed)
    return OneInput().eval().requires_grad_(False)


@pytest.fixture
def module():
    return new_module()


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("hint", ["f32", "bf16", None])
@pytest.mark.parametrize("size", [(1, 1), (33, 5), (50, 71)])
def test_engine_equals_eager(module, size, hint):
    frame = torch.rand(1, 3, *size)
    with torch.no_grad():
        expected = module(frame)
    engine = build_engine(module, [frame.shape], CPU, hint=hint)
    torch.testing.assert_close(engine(frame), expected, atol=1e-3 if hint == "f32" else 0.05, rtol=0)


@pytest.mark.usefixtures("cache")
def test_a_later_call_does_not_change_an_earlier_result(module):
    run = build_engine(module, [(1, 3, 16, 16)], CPU)
    first = run(torch.zeros(1, 3, 16, 16))
    kept = first.clone()
    second = run(torch.ones(1, 3, 16, 16))
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


@pytest.mark.usefixtures("cache")
def test_other_memory_layouts_are_read_correctly(module):
    frame = torch.rand(1, 16, 20, 3).permute(0, 3, 1, 2)
    run = build_engine(module, [(1, 3, 16, 20)], CPU)
    assert torch.equal(run(frame), run(frame.contiguous()))


@pytest.mark.usefixtures("cache")
def test_copied_inputs_live_until_they_are_read():
    """An input in another layout is copied; the copy must survive setting the next input."""
    torch.manual_seed(2)
    network = StyleNetwork(SIZES).eval().requires_grad_(False)
    frame, style = torch.rand(1, 480, 640, 3).permute(0, 3, 1, 2), 0.3 * torch.randn(1, network.style.shape[1])
    expected = network(frame, style)
    run = build_engine(network, [frame.shape, style.shape], CPU, hint="f32")
    for _ in range(3):
        torch.testing.assert_close(run(frame, style), expected, atol=0.01, rtol=0)


@pytest.mark.usefixtures("cache")
def test_other_shapes_are_refused(module):
    with pytest.raises(ValueError, match="built for"):
        build_engine(module, [(1, 3, 16, 16)], CPU)(torch.rand(1, 3, 16, 20))


def test_the_second_start_converts_nothing(module, cache, monkeypatch):
    frame = torch.rand(1, 3, 16, 16)
    first = build_engine(module, [frame.shape], CPU)(frame)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.delattr(openvino, "_convert")
    assert torch.equal(build_engine(module, [frame.shape], CPU)(frame), first)


def test_other_weights_sizes_and_quantization_have_their_own_entries(module, cache):
    build_engine(module, [(1, 3, 16, 16)], CPU)
    build_engine(module, [(1, 3, 16, 20)], CPU)
    build_engine(new_module(3), [(1, 3, 16, 16)], CPU)
    module.network.quantize()
    build_engine(module, [(1, 3, 16, 16)], CPU)
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 5000])
def test_damaged_entries_are_rebuilt(module, cache, damage):
    frame = torch.rand(1, 3, 16, 16)
    first = build_engine(module, [frame.shape], CPU)(frame)
    (entry,) = cache.iterdir()
    entry.write_bytes(damage)
    assert torch.equal(build_engine(module, [frame.shape], CPU)(frame), first)
    stored = entry.read_bytes()  # OpenVINO does not write the same bytes twice, but they match their checksum
    assert hashlib.sha256(stored[32:]).digest() == stored[:32]
    assert len(stored) > 5000 + len(damage)


def test_engines_work_without_a_cache_folder(module, tmp_path, monkeypatch):
    rates()
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert build_engine(module, [(1, 3, 8, 8)], CPU)(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_nothing_is_printed_sent_or_written_to_the_home_folder(tmp_path):
    program = (
        "import socket, sys, torch\n"
        "def refuse(*arguments): raise AssertionError(f'looked up {arguments}')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from streamfx.inference.engine import build_engine\n"
        "build_engine(torch.nn.Conv2d(3, 3, 3), [(1, 3, 8, 8)], torch.device('cpu'))(torch.rand(1, 3, 8, 8))\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.iterdir()) == []
    assert socket.getaddrinfo  # this process is untouched


def test_devices_without_an_engine_are_refused():
    with pytest.raises(StreamfxError, match="cpu or cuda"):
        build_engine(nn.Identity(), [(1,)], torch.device("meta"))


# --- CUDA, and what of it can be checked without


def test_half_precision_is_close(module):
    """What runs on a GPU, on the CPU: in float16, with images channels last and styles as they are."""
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
