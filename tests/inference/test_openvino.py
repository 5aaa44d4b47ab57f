"""Networks compiled by OpenVINO equal eager torch, own their outputs, and load from the cache."""

import hashlib
import os
import socket
import subprocess
import sys

import pytest
import torch
from torch import nn

from streamfx.inference import openvino
from streamfx.inference.cache import store
from streamfx.inference.openvino import (
    build_cpu_engine,
    import_openvino,
    processor_name,
    supports_bf16,
)
from streamfx.media.threads import available_threads

pytestmark = pytest.mark.usefixtures("cache")


def test_a_later_call_does_not_change_an_earlier_result(module):
    run = build_cpu_engine(module, [(1, 3, 16, 16)], "f32")
    first = run(torch.zeros(1, 3, 16, 16))
    kept = first.clone()
    second = run(torch.ones(1, 3, 16, 16))
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


def test_other_memory_layouts_are_read_correctly(module):
    frame = torch.rand(1, 16, 20, 3).permute(0, 3, 1, 2)
    run = build_cpu_engine(module, [(1, 3, 16, 20)], "f32")
    assert torch.equal(run(frame), run(frame.contiguous()))


def test_copied_inputs_live_until_they_are_read(new_module):
    """An input in another layout is copied; the copy must survive setting the next input."""
    network = new_module().network
    frame, style = torch.rand(1, 480, 640, 3).permute(0, 3, 1, 2), 0.3 * torch.randn(1, network.style.shape[1])
    expected = network(frame, style)
    run = build_cpu_engine(network, [frame.shape, style.shape], "f32")
    for _ in range(3):
        torch.testing.assert_close(run(frame, style), expected, atol=0.01, rtol=0)


def test_other_shapes_are_refused(module):
    with pytest.raises(ValueError, match="built for"):
        build_cpu_engine(module, [(1, 3, 16, 16)], "f32")(torch.rand(1, 3, 16, 20))


def test_the_second_start_converts_nothing(module, cache, monkeypatch):
    frame = torch.rand(1, 3, 16, 16)
    first = build_cpu_engine(module, [frame.shape], "f32")(frame)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.delattr(openvino, "_convert")
    assert torch.equal(build_cpu_engine(module, [frame.shape], "f32")(frame), first)


@pytest.mark.parametrize("damage", ["truncated", "not an engine"])
def test_damaged_entries_are_rebuilt(cache, damage):
    layer, frame = nn.Conv2d(3, 8, 3).eval(), torch.rand(1, 3, 16, 16)
    first = build_cpu_engine(layer, [frame.shape], "f32")(frame)
    (entry,) = cache.iterdir()
    if damage == "truncated":
        entry.write_bytes(b"short")
    else:
        store(b"x" * 5000, entry)  # with a valid checksum
    assert torch.equal(build_cpu_engine(layer, [frame.shape], "f32")(frame), first)
    stored = entry.read_bytes()  # OpenVINO does not write the same bytes twice, but they match their checksum
    assert hashlib.sha256(stored[32:]).digest() == stored[:32]
    assert len(stored) > 1000


def test_engines_work_without_a_cache_folder(module, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert build_cpu_engine(module, [(1, 3, 8, 8)], "f32")(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_nothing_is_printed_sent_or_written_to_the_home_folder(tmp_path):
    program = (
        "import socket, sys, torch\n"
        "def refuse(*arguments): raise AssertionError(f'looked up {arguments}')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from streamfx.inference.openvino import build_cpu_engine\n"
        "build_cpu_engine(torch.nn.Conv2d(3, 3, 3), [(1, 3, 8, 8)], 'f32')(torch.rand(1, 3, 8, 8))\n"
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


def test_precision_and_threads_have_their_own_entries(cache):
    layer, shape = nn.Conv2d(3, 3, 3).eval(), (1, 3, 8, 8)
    for hint, threads in (("f32", None), ("bf16", None), ("f32", 1), ("f32", available_threads()), ("bf16", None)):
        build_cpu_engine(layer, [shape], hint, threads=threads)
    assert len(list(cache.iterdir())) == (2 if available_threads() == 1 else 3)


def test_another_module_is_written_only_if_none_is_cached():
    layer, shape = nn.Conv2d(1, 1, 1).eval().requires_grad_(False), (1, 1, 2, 2)
    layer.weight.fill_(2.0)
    layer.bias.fill_(0.0)
    written = []

    def write(module):
        written.append(module)
        return nn.Sequential(module, module)

    for _ in range(2):
        assert build_cpu_engine(layer, [shape], "f32", write)(torch.ones(shape)).unique().tolist() == [4.0]
    assert written == [layer]


def test_inputs_of_other_types_are_converted():
    run = build_cpu_engine(nn.ReLU(), [(2, 3)], "f32")
    for dtype in (torch.float64, torch.float16, torch.int64):
        output = run(torch.arange(6).reshape(2, 3).to(dtype))
        assert output.dtype == torch.float32
        assert output.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_number_of_inputs_is_checked():
    run = build_cpu_engine(nn.ReLU(), [(2,)], "f32")
    with pytest.raises(ValueError, match="zip"):
        run(torch.zeros(2), torch.zeros(2))


def test_the_processor():
    name = processor_name()
    assert import_openvino().__version__ in name
    assert len(name) > len(import_openvino().__version__) + 3
    assert supports_bf16() in (True, False)


def test_signals_are_handled_after_engines_are_deleted(tmp_path):
    """In the order in which they were built."""
    code = """
import os, signal, torch
from streamfx.inference.openvino import build_cpu_engine
engines = [build_cpu_engine(torch.nn.Conv2d(3, 3, size), [(1, 3, 8, 8)], "f32") for size in (1, 3)]
while engines:
    del engines[0]
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
