"""`streamfx doctor --gpu`: the whole of it on the CPU, where a stand-in is the GPU and the kernels run by g++."""

import numpy as np
import pytest
import torch
from standin import StandIn, laid_out

from streamfx.cli import _gpu as gpu
from streamfx.media.gpu import nvidia as drivers

EVENTS = [
    {"cat": "gpu_memcpy", "name": "Memcpy HtoD (Pageable -> Device)", "args": {"bytes": 4}},
    {"cat": "gpu_memcpy", "name": "Memcpy HtoD (Pinned -> Device)", "args": {"bytes": 3110400}},
    {"cat": "gpu_memcpy", "name": "Memcpy DtoH (Device -> Pinned)", "args": {"bytes": 1 << 16}},
    {"cat": "gpu_memcpy", "name": "Memcpy DtoH (Device -> Pageable)", "args": {"bytes": 9216}},
    {"cat": "gpu_memcpy", "name": "Memcpy DtoD (Device -> Device)", "args": {"bytes": 3110400}},
    {"cat": "kernel", "name": "nv12_to_rgb", "args": {}},
    {"name": "process_name", "args": {"name": "python"}},
]


def test_copies_are_counted_by_way_and_size():
    assert gpu.count_copies({"traceEvents": EVENTS}) == {"up": 1, "down": 1, "small": 2}


@pytest.fixture
def examined(device, monkeypatch):
    """examined(stand_in): the table, and the lines that are wrong."""

    def examined(stand_in):
        if device.type == "cpu":
            monkeypatch.setitem(drivers.DRIVERS, "cpu", lambda device: stand_in)
        monkeypatch.setattr(gpu, "RUNS", 1)
        monkeypatch.setattr(gpu, "LENGTHS", (2, 6))
        monkeypatch.setattr(gpu, "films", lambda: {"nothing": lambda: [gpu.Same()]})
        lines = list(gpu.examine(device, (54, 96) if device.type == "cpu" else (540, 960)))
        return "\n".join(line for line, _ in lines), [line for line, right in lines if not right]

    return examined


def test_all_of_it(examined, device):
    table, wrong = examined(StandIn())
    assert wrong == []
    assert table.count("| lucas_kanade, whole") == 2
    assert "| nv12_to_rgb, half |" in table
    assert f"decoded on {device}; encoding " in table


@pytest.mark.parametrize("device", [torch.device("cpu")], ids=str)  # a stand-in's mistake
def test_what_is_wrong_is_marked(examined, device):
    class Wrong(StandIn):
        """Its colours are right in the first pictures only."""

        def decoded(self, picture, number):
            made = laid_out(picture, self.gap)
            if number > 3:
                np.frombuffer(memoryview(made.planes[1]), np.uint8)[:] = 0
            return made

    _, wrong = examined(Wrong())
    assert len(wrong) == 1
    assert "| nothing |" in wrong[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA works here")
def test_without_a_gpu_it_says_so(streamfx):
    done = streamfx("doctor", "--gpu")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith("streamfx: CUDA does not work here: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.needs_cuda
def test_the_whole_command(streamfx):
    done = streamfx("doctor", "--gpu")
    assert done.returncode == 0, done.stderr + done.stdout.decode()
